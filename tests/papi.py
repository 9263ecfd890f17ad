"""A small PAPI data set for tests."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

LETTERS = "OCEAN"
ITEMS, DESCRIBING = 40, 20


def answers_of(person: int, items: int = ITEMS) -> list[int]:
    """Answers of somebody whose traits follow from the number."""
    rng = Random(person)
    levels = {letter: rng.choice((-1, 1)) for letter in LETTERS}
    return [3 + key_of(item) * levels[letter_of(item)] * rng.choice((1, 2)) for item in range(items)]


def letter_of(item: int) -> str:
    return LETTERS[item % len(LETTERS)]


def key_of(item: int) -> int:
    return 1 if (item // len(LETTERS)) % 2 == 0 else -1


def person_row(person: int, items: int = ITEMS, **changes) -> dict:
    """One person in the published schema."""
    row = {"case": 100 + person, "sex": 1, "age": 30, "country": "Norland"}
    return {**row, **{f"i{n + 1}": answer for n, answer in enumerate(answers_of(person, items))}, **changes}


def item_row(item: int, **changes) -> dict:
    """One item of the item key in the published schema."""
    code = f"{letter_of(item)}{item // 10 % 6 + 1}"
    sign = "+" if key_of(item) > 0 else "-"
    row = {"Full#": item + 1, "Short#": item + 1 if item < DESCRIBING else "", "Sign": f"{sign}{code}", "Key": code}
    return {**row, "Facet": "Trust", "Item": f"Do thing {item}.", **changes}


def as_csv(rows: list[dict]) -> str:
    lines = [",".join(map(str, rows[0])), *(",".join(map(str, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


def write_papi(folder: Path, people: int = 4, items: int = ITEMS, describing: int = DESCRIBING) -> Path:
    """Write every file of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [person_row(person, items) for person in range(people)]
    (folder / "Test-set.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "IPIP-NEO-ItemKey.csv").write_text(as_csv([item_row(item) for item in range(items)]), encoding="utf-8")
    numbers = list(range(1, items + 1))
    split = {"train_index": numbers[:describing], "test_index": numbers[describing:]}
    (folder / "mpi_300_split.json").write_text(json.dumps(split), encoding="utf-8")
    written = [{"output": [f"You are person {person}."]} for person in range(people)]
    (folder / "personality_prompt.json").write_text(json.dumps(written), encoding="utf-8")
    return folder
