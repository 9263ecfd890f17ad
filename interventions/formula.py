"""Sums of methods as they are written in a settings file, such as `0.5 * repe(extraversion) - repe(neuroticism)`."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from files.errors import InputError

_FIELD = "formula"
_EXPECTED = "a sum such as pas + 0.5 * npti, or repe(extraversion) - repe(neuroticism=0.5)"


@dataclass(frozen=True)
class Term:
    """One method in a sum.

    Attributes:
        name: Of the method.
        weight: What its strength is multiplied by.
        levels: The traits that it is to steer towards, each with its level; empty for those of each record's persona.
    """

    name: str
    weight: float = 1.0
    levels: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The term as it may be written.

        Example:
            >>> Term("repe", -0.5, {"neuroticism": 1.0}).label
            '-0.5 * repe(neuroticism)'
        """
        traits = ", ".join(name if level == 1 else f"{name}={level:g}" for name, level in self.levels.items())
        method = f"{self.name}({traits})" if self.levels else self.name
        return method if self.weight == 1 else f"{self.weight:g} * {method}"


def parse_formula(text: str) -> list[Term]:
    """The terms of a sum of methods. Nothing is evaluated: the text is only taken apart.

    Args:
        text: Names of methods with +, -, numbers as factors and brackets. A method's name may be followed by traits in
            brackets, with a level each where it is not 1.

    Returns:
        The terms in the order of the text.

    Raises:
        InputError: The text is no such sum.

    Example:
        >>> [term.label for term in parse_formula("0.5 * (pas + repe(openness)) - npti(neuroticism=-1) / 2")]
        ['0.5 * pas', '0.5 * repe(openness)', '-0.5 * npti(neuroticism=-1)']
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(text, "cannot be read") from error
    terms = _terms(tree, text)
    if not terms:
        raise _refused(text, "names no method")
    return terms


def _terms(node: ast.expr, text: str) -> list[Term]:
    match node:
        case ast.Name(id=name):
            return [Term(name)]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            return [Term(name, levels=_levels(arguments, keywords, text))]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            return _scaled(_terms(operand, text), -1.0 if isinstance(sign, ast.USub) else 1.0)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
            return [*_terms(left, text), *_scaled(_terms(right, text), -1.0 if isinstance(sign, ast.Sub) else 1.0)]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            factor, rest = (left, right) if _number(left) is not None else (right, left)
            number = _number(factor)
            if number is not None:
                return _scaled(_terms(rest, text), number)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            number = _number(right)
            if number:
                return _scaled(_terms(left, text), 1 / number)
    raise _refused(text, f"cannot be understood at {ast.unparse(node)!r}")


def _scaled(terms: list[Term], factor: float) -> list[Term]:
    return [replace(term, weight=term.weight * factor) for term in terms]


def _levels(arguments: list[ast.expr], keywords: list[ast.keyword], text: str) -> dict[str, float]:
    """The traits in the brackets after a method's name."""
    levels: dict[str, float] = {}
    for argument in arguments:
        if not isinstance(argument, ast.Name):
            raise _refused(text, f"cannot be understood at {ast.unparse(argument)!r}")
        levels[argument.id] = 1.0
    for keyword in keywords:
        level = _number(keyword.value)
        if keyword.arg is None or level is None or abs(level) > 1:
            raise _refused(text, f"has no level from -1 to 1 at {ast.unparse(keyword)!r}")
        levels[keyword.arg] = level
    return levels


def _number(node: ast.expr) -> float | None:
    """The number that an expression is; None if it is something else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _number(node.operand)
        return None if number is None else -number if isinstance(node.op, ast.USub) else number
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _refused(text: str, problem: str) -> InputError:
    return InputError(f"{problem}", field=_FIELD, expected=_EXPECTED, got=text, fix="correct the formula")
