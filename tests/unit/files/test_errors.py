import pickle

import pytest
from jsonargparse import ArgumentParser

from files.errors import InputError, check_at_least, exit_on_input_error, shortened


def test_message_gives_place_fault_expectation_value_and_next_step():
    error = InputError("is empty", file="a/b.json", row=3, field="ent", expected="text", got="", fix="fill it in")
    assert str(error).splitlines() == [
        "a/b.json, row 3, field 'ent': is empty",
        "  expected: text",
        "  got: ''",
        "  next step: fill it in",
    ]


def test_parts_that_were_not_given_are_not_shown():
    assert str(InputError("no such trait")) == "no such trait"
    assert str(InputError("bad", row="line 3, column 4")) == "line 3, column 4: bad"


def test_a_value_of_none_is_shown_as_what_came():
    assert "got: None" in str(InputError("bad", got=None))


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), {"a": "b" * 500}, 10**300, [["y" * 99] * 50]])
def test_long_values_are_cut(value):
    assert len(shortened(value)) <= 80


def test_a_value_with_line_ends_stays_on_one_line():
    class Table:
        def __repr__(self) -> str:
            return "one\ntwo"

    assert shortened(Table()) == "one two"


def test_survives_the_way_between_processes():
    error = InputError("bad", file="a.json", row=1, got=None, fix="mend it")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own object


def test_input_error_ends_with_exit_code_2_and_no_traceback(capsys):
    with pytest.raises(SystemExit) as ended, exit_on_input_error():
        raise InputError("bad", file="a.json")
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err, captured.out) == (2, "error: a.json: bad\n", "")


def test_interrupt_ends_with_exit_code_130(capsys):
    @exit_on_input_error()
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), exit_on_input_error():
        raise ZeroDivisionError


class Part:
    pass


class Faulty(Part):
    def __init__(self, size: int = 0) -> None:
        raise InputError("too small", field="size", got=size, fix="take a larger one")


@pytest.mark.parametrize("hint", [Part, Part | None, list[Part] | Part | None, Part | bool | list[Part] | None])
@pytest.mark.parametrize("many", [False, True])
def test_an_input_error_is_found_behind_that_of_a_parser(hint, many, capsys):
    """Whichever of several types the parser tried first."""
    if many and "list" not in str(hint):
        hint = list[hint]
    value = {"class_path": f"{__name__}.Faulty", "init_args": {"size": 3}}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--part", type=hint)
    settings = parser.parse_object({"part": [value] if many else value})
    with pytest.raises(SystemExit) as ended, exit_on_input_error():
        parser.instantiate(settings)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: field 'size': too small\n  got: 3\n  next step: take a larger one\n"


def test_another_value_error_keeps_its_traceback():
    with pytest.raises(ValueError, match="of the program"), exit_on_input_error():
        try:
            raise KeyError("a")
        except KeyError as error:
            raise ValueError("of the program") from error


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "not a number"), (0.5, "too small")])
def test_an_option_must_be_a_number_and_large_enough(value, message):
    check_at_least("model.init_args.rank", 1, 1)
    with pytest.raises(InputError, match=message):
        check_at_least("model.init_args.rank", value, 1)
