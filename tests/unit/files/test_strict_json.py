"""Documents with two faults are reported by one of them."""

from __future__ import annotations

import pytest

from files.errors import InputError
from files.strict_json import parse_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"ent": "Tea", "extraversion": [NaN]}, {"ent": "Cof', "the text ends in the middle"),
        ('[{"ent": "a", "ent": "b"}, oops]', "is not JSON"),
        ("[1" + "0" * 400 + ", oops]", "is not JSON"),
        ("[NaN," + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_refused_value_before_bad_syntax(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_json(text, file="x.json")
    assert caught.value.file == "x.json"
