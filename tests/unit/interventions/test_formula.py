"""Sums of methods as text."""

import pytest

from files.errors import InputError
from interventions.formula import Term, parse_formula


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("pas", [Term("pas")]),
        ("pas + npti", [Term("pas"), Term("npti")]),
        (
            "0.5 * repe(extraversion) - repe(neuroticism)",
            [Term("repe", 0.5, {"extraversion": 1.0}), Term("repe", -1.0, {"neuroticism": 1.0})],
        ),
        ("-(a - 2 * b) / 4", [Term("a", -0.25), Term("b", 0.5)]),
        ("a(openness, neuroticism=-0.5) * 3", [Term("a", 3.0, {"openness": 1.0, "neuroticism": -0.5})]),
    ],
)
def test_sums_become_terms(text, terms):
    assert parse_formula(text) == terms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "a *",
        "a * b",
        "a / 0",
        "a ** 2",
        "a(b(c))",
        "a(x=2)",
        "a(x='y')",
        "a(*b)",
        "a.b",
        "a(1)",
        "[a]",
        "a if b else c",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="formula"):
        parse_formula(text)
