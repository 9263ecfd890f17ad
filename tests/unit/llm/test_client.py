"""The client against a real server on this machine: every answer once, every failure counted, no budget exceeded."""

import sqlite3
import time

import pytest

from files.errors import InputError
from llm.client import ChatClient
from llm.endpoint import ClientSettings, Endpoint, Patience
from llm.ledger import Limits, Prices
from llm.requests import ChatAnswer, ChatFailure, ChatRequest
from tests.faults.endpoint import FAULTS, FaultyEndpoint

SECRET = "sk-not-to-be-seen-anywhere"
QUICK = {"first_pause": 0.01, "longest_pause": 0.1, "timeout": 3.0}


def client(endpoint, folder, limits=None, prices=None, **patience):
    settings = ClientSettings(
        Endpoint(endpoint.base_url, "m"),
        str(folder / "answers.sqlite"),
        Patience(**{**QUICK, **patience}),
        prices or Prices(),
        limits or Limits(),
        progress=False,
    )
    return ChatClient(settings, {"OPENAI_API_KEY": SECRET})


def say(text, **more):
    return ChatRequest([{"role": "user", "content": text}], max_tokens=20, **more)


def ask_all(asker, requests):
    outcomes = []
    tally = asker.run(requests, lambda number, outcome: outcomes.append((number, outcome)))
    assert [number for number, _ in outcomes] == list(range(len(outcomes)))
    return tally, [outcome for _, outcome in outcomes]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("slow", "401", "quotes the key")])
def test_a_fault_that_passes_is_overcome(fault, tmp_path):
    with FaultyEndpoint(lambda said, attempt: fault if attempt == 1 else None) as endpoint:
        outcome = client(endpoint, tmp_path).ask(say("hello"))
    assert isinstance(outcome, ChatAnswer)
    assert (outcome.text, outcome.attempts, outcome.cached) == ("Answer to hello", 2, False)
    assert endpoint.asked["hello"] == 2 and endpoint.keys == {SECRET}


def test_an_answer_that_drips_in_is_given_up_in_time(tmp_path):
    with FaultyEndpoint(lambda said, attempt: "slow") as endpoint:
        outcome = client(endpoint, tmp_path, retries=0, timeout=0.5).ask(say("hello"))
    assert isinstance(outcome, ChatFailure) and outcome.reason == "timeout"


@pytest.mark.parametrize(
    ("fault", "reason", "attempts"),
    [
        ("429", "limit", 3),
        ("500", "server", 3),
        ("cut", "connection", 3),
        ("no json", "malformed", 2),
        ("no choices", "malformed", 2),
        ("refusal", "refusal", 2),
        ("quotes the key", "rejected", 1),
    ],
)
def test_a_fault_that_stays_is_one_counted_failure(fault, reason, attempts, tmp_path):
    plan = {"bad": fault}
    with FaultyEndpoint(lambda said, attempt: plan.get(said)) as endpoint:
        asker = client(endpoint, tmp_path, retries=2, bad_answers=1)
        tally, outcomes = ask_all(asker, [say("good"), say("bad"), say("fine")])
    assert [type(outcome) for outcome in outcomes] == [ChatAnswer, ChatFailure, ChatAnswer]
    assert (outcomes[1].reason, outcomes[1].attempts) == (reason, attempts)
    assert tally.answered == 2 and dict(tally.failures) == {reason: 1} and tally.attempts == 2 + attempts
    assert SECRET not in outcomes[1].detail


def test_an_address_where_nothing_listens_ends_the_run_with_its_first_request(tmp_path):
    with FaultyEndpoint() as gone:
        pass
    asker = client(gone, tmp_path, Limits(tokens=1000), retries=1, concurrency=1)
    received = []
    with pytest.raises(InputError, match="cannot be reached") as error:
        asker.run([say(f"q{number}") for number in range(50)], lambda *outcome: received.append(outcome))
    assert error.value.field == "--base_url" and received == []
    assert asker.cache.spent() == (0, 0.0)


def test_answers_are_asked_for_once(tmp_path):
    with FaultyEndpoint() as endpoint:
        ask_all(client(endpoint, tmp_path), [say("a"), say("b"), say("a"), say("a", draw=1)])
        tally, outcomes = ask_all(client(endpoint, tmp_path), [say("a"), say("b"), say("c")])
    assert endpoint.asked == {"a": 2, "b": 1, "c": 1}
    assert [outcome.cached for outcome in outcomes] == [True, True, False]
    assert (tally.answered, tally.cached, tally.attempts) == (3, 2, 1)


def test_another_model_or_setting_is_another_request(tmp_path):
    keys = {say("a").key("e", "m"), say("a").key("e", "n"), say("a", temperature=0.0).key("e", "m")}
    assert len(keys | {say("a", seed=1).key("e", "m"), say("a").key("f", "m")}) == 5


def test_an_answer_that_is_not_as_asked_is_asked_for_again(tmp_path):
    said = iter(["nonsense", "yes: fine"])
    with FaultyEndpoint(answer=lambda _: next(said)) as endpoint:
        outcome = client(endpoint, tmp_path).ask(say("?", check=lambda text: None if "yes" in text else "no yes"))
    assert outcome.text == "yes: fine" and outcome.attempts == 2


def test_no_more_at_once_than_agreed_and_no_further_ahead_than_needed(tmp_path):
    taken, ahead = [], []

    def requests():
        for number in range(60):
            taken.append(number)
            yield say(f"q{number}")

    with FaultyEndpoint(pause=0.01) as endpoint:
        client(endpoint, tmp_path, concurrency=3).run(requests(), lambda n, _: ahead.append(len(taken) - n))
    assert 1 < endpoint.most_at_once <= 3
    assert max(ahead) <= 4 * 3


def test_a_rate_limit_is_kept(tmp_path):
    with FaultyEndpoint() as endpoint:
        asker = client(endpoint, tmp_path, requests_per_minute=600)
        asker.ask(say("warm"))
        begin = time.monotonic()
        ask_all(asker, [say(f"q{number}") for number in range(6)])
    assert time.monotonic() - begin >= 5 * 0.1


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_is_never_exceeded(concurrency, tmp_path):
    requests = [say(f"q{number}") for number in range(30)]
    most = requests[0].most_prompt_tokens() + 20
    with FaultyEndpoint() as endpoint:
        limits = Limits(tokens=10 * 15 + most)
        tally, outcomes = ask_all(client(endpoint, tmp_path, limits, concurrency=concurrency), requests)
        assert tally.tokens <= limits.tokens and tally.answered >= 10
        assert tally.failures["budget"] == 30 - tally.answered == 30 - endpoint.asked.total()
        again, _ = ask_all(client(endpoint, tmp_path, limits), requests)
        assert again.tokens <= limits.tokens and again.cached == tally.answered
        rest, _ = ask_all(client(endpoint, tmp_path), requests)
    assert rest.answered == 30 and endpoint.asked.total() == 30


def test_cost_is_counted_and_what_was_in_vain_too(tmp_path):
    prices = Prices(prompt=1000, completion=2000)
    with FaultyEndpoint(lambda said, attempt: "refusal" if attempt == 1 else None) as endpoint:
        tally, [outcome] = ask_all(client(endpoint, tmp_path, prices=prices, limits=Limits(cost=9)), [say("a")])
    assert outcome.cost == pytest.approx(0.02) and tally.cost == pytest.approx(0.04) and tally.tokens == 30


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"limits": Limits(cost=0.0), "prices": Prices(1, 1)}, ("--budget", "more than 0")),
        ({"limits": Limits(tokens=0)}, ("--token_budget", "more than 0")),
        ({"limits": Limits(cost=1.0)}, ("--budget", "--prompt_price")),
        ({"concurrency": 0}, ("--concurrency",)),
        ({"timeout": 0.0}, ("--timeout",)),
    ],
)
def test_settings_that_cannot_work_are_refused(change, parts, tmp_path):
    with FaultyEndpoint() as endpoint, pytest.raises(InputError) as error:
        client(endpoint, tmp_path, **change)
    assert all(part in str(error.value) for part in parts)


@pytest.mark.parametrize("url", ["ftp://a/v1", "127.0.0.1:8000", "http://me:secret@a/v1", "http://a/v1?key=secret"])
def test_addresses_that_cannot_be_asked_or_hold_a_secret_are_refused(url):
    with pytest.raises(InputError) as error:
        Endpoint(url, "m").check()
    assert "--base_url" in str(error.value) and "secret" not in str(error.value)


def test_a_missing_key_names_the_variable():
    with pytest.raises(InputError, match="MY_KEY"):
        Endpoint("https://example.org/v1", "m", "MY_KEY").key({})
    assert Endpoint("http://127.0.0.1:1/v1", "m", "MY_KEY").secret({}) == ""


def test_a_refused_key_stops_everything_and_is_not_shown(tmp_path):
    with FaultyEndpoint(lambda said, attempt: "401") as endpoint:
        with pytest.raises(InputError) as error:
            ask_all(client(endpoint, tmp_path), [say(f"q{number}") for number in range(50)])
    assert "OPENAI_API_KEY" in str(error.value) and SECRET not in str(error.value)
    assert endpoint.asked.total() <= 16


def test_the_cache_holds_one_row_a_request_and_no_key(tmp_path):
    with FaultyEndpoint() as endpoint:
        ask_all(client(endpoint, tmp_path), [say("a"), say("b")])
    with sqlite3.connect(tmp_path / "answers.sqlite") as store:
        assert store.execute("SELECT COUNT(*) FROM answers").fetchone() == (2,)
        assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "answers.sqlite").write_text("these are not the answers you are looking for" * 40)
    with FaultyEndpoint() as endpoint, pytest.raises(InputError, match="cache of answers"):
        client(endpoint, tmp_path)


def test_ctrl_c_keeps_what_was_answered(tmp_path):
    def stop(number, _):
        if number == 5:
            raise KeyboardInterrupt

    with FaultyEndpoint() as endpoint:
        with pytest.raises(KeyboardInterrupt):
            client(endpoint, tmp_path, concurrency=2).run([say(f"q{n}") for n in range(40)], stop)
        before = dict(endpoint.answered)
        assert len(before) < 40
        ask_all(client(endpoint, tmp_path), [say(f"q{n}") for n in range(40)])
    repeated = [said for said, count in endpoint.answered.items() if count > 1]
    assert len(endpoint.answered) == 40 and len(repeated) <= 2
