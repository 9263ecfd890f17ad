"""Addresses and limits that cannot be asked with are refused before anything is sent."""

import pytest

from files.errors import InputError
from llm.endpoint import Endpoint, Patience


@pytest.mark.parametrize(
    "address",
    ["ftp://host/v1", "http://[::1", "http://host:99999/v1", "http://host:abc/v1", "http://host:0/v1", "http://a/\nb"],
)
def test_an_address_that_cannot_be_asked_is_refused(address):
    with pytest.raises(InputError, match="'--base_url': is not an address"):
        Endpoint(address, "m").check()
    Endpoint("http://[::1]:8000/v1", "m").check()


@pytest.mark.parametrize(
    ("name", "value"), [("retries", 101), ("retries", -1), ("concurrency", 0), ("bad_answers", 101)]
)
def test_limits_beyond_use_are_refused(name, value):
    with pytest.raises(InputError, match=f"'--{name}': is too"):
        Patience(**{name: value}).check()
