"""Files gone wrong: whole ones that are cut, flipped, filled with what breaks readers, or of other values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

from hypothesis import strategies as st

PIECES = [
    *(b"\x00", b"\x00" * 300, b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b'"', b",", b"\t", b"'", b"\\", b"\x1a"),
    *(b"NaN", b"Infinity", b"-", b"1e999", b"9" * 5000, b"-" + b"9" * 25, b"0x1F", b"1_000", b"null", b"true"),
    *(b"[" * 3000, b'{"a":' * 1500, b"]", b"}", b"{}", b"[[]]", b'"\\ud800"', b"\\ud83d", b'"\\u0000"', b"x" * 200_000),
    *(b"../../../../tmp/out", b"/etc/passwd", b"{topic.__class__}", b"{0}", b"{", b"%s%n", b"{{x}}", b"{% x %}"),
    *(b"!!python/object/apply:os.system [ls]", b"&a [*a]", b"*a", b"<<: *a", b"- - - -", b": :", b"? ", b"|\n", b"#"),
    *("\u202e\u0000\u2028\U0010ffff".encode(), "é".encode("latin-1"), "e\u0301".encode(), b"=1+1", b"PK\x03\x04"),
]
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 7, 2**31, 2**62, 0.5, -0.0, 1e300, 5e-324, "", " ", "\x00", "x" * 3000, "1", "-1"),
    *("nan", "inf", "../../x", "a/b", "{topic.__class__}", "{", "\ud800", "é", "\n", [], {}, [[]], [None], {"": None}),
    *([0] * 50, {"a": {"b": {"c": []}}}, ["x", 3], "extraversion", [{"role": "user", "content": "Hi"}]),
]
WAYS = ("any", "cut", "flip", "insert", "repeat", "values", "values", "values", "values")


def hostile(sample: bytes) -> st.SearchStrategy[bytes]:
    """Faulty files made of a whole one, and some that never were one.

    What is done to the whole file follows from a number: hypothesis draws too slowly to choose every byte itself.
    """
    numbers = st.integers(0, 2**48)
    spoilt = numbers.map(lambda number: spoil(sample, Random(number)))
    return st.one_of(spoilt, spoilt, spoilt, spoilt, spoilt, spoilt, st.binary(max_size=300))


def spoil(sample: bytes, rng: Random) -> bytes:
    """One faulty file made of a whole one."""
    way = rng.choice(WAYS)
    if way == "values" and (changed := _with_other_values(sample, rng)) is not None:
        return changed
    if way == "any":
        return _encoded(_any_value(rng))
    content = bytearray(sample)
    start, end = sorted(rng.randrange(len(sample) + 1) for _ in range(2))
    if way == "cut":
        del content[start:end]
    elif way == "insert":
        content[start:start] = rng.choice(PIECES)
    elif way == "repeat":
        content[start:start] = content[start : min(end, start + 5000)]
    else:
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def _with_other_values(sample: bytes, rng: Random) -> bytes | None:
    """A JSON file, or one of JSON lines, with up to three values, keys or items changed; None for other files."""
    lines = False
    try:
        content = json.loads(sample)
    except ValueError:
        lines = True
        try:
            content = [json.loads(line) for line in sample.splitlines() if line.strip()]
        except ValueError:
            return None
    for _ in range(rng.randint(1, 3)):
        places = list(_places(content))
        if not places:
            break
        inside, key = rng.choice(places)
        what = rng.choice(("replace", "replace", "remove", "double"))
        if what == "replace":
            inside[key] = deepcopy(rng.choice(VALUES))
        elif what == "remove":
            del inside[key]
        elif isinstance(inside, list):
            inside.insert(key, deepcopy(inside[key]))
        else:
            inside[f"{key}2"] = inside.pop(key)
    return "\n".join(map(json.dumps, content)).encode() if lines else _encoded(content)


def _any_value(rng: Random, depth: int = 0) -> Any:
    """Lists and objects of anything."""
    kind = rng.choice(("value", "list", "object")) if depth < 4 else "value"
    if kind == "value":
        return rng.choice(VALUES)
    inner = [_any_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return inner if kind == "list" else {rng.choice("ab") + str(n): value for n, value in enumerate(inner)}


def _encoded(content: Any) -> bytes:
    return json.dumps(content).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value, as what holds it and where in it."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(inner):
        yield content, key
        yield from _places(value)
