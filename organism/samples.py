"""Write the sample data sets, in the schemas of the published ones, to `assets/data` (`python -m organism.samples`)."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from files.atomic import atomic_write_text, write_json
from files.errors import exit_on_input_error
from organism.characters.sources import write_sources
from organism.descriptions import by_adjectives, by_habits
from organism.holdout import Split
from organism.lexicon import all_facets, lexicon
from organism.opinions import neutral_opinion, opinion
from organism.people import DESCRIBING_ROUNDS, Person, draw_person, questionnaire
from organism.questions import ACTION_QUESTIONS, CHOICE_QUERIES, OPINION_QUESTIONS
from organism.situations import draw_choice, draw_situation
from organism.statements import Statement
from organism.talk import draw_question, draw_talk_choice
from organism.topics import draw_topic
from personas.layouts import CHOICE_LAYOUTS, choice_prompt
from personas.traits import BIG_FIVE, LETTER_OF_TRAIT, TRAITS

_EDIT_TRAITS = ("extraversion", "agreeableness", "neuroticism")
_EDIT_SIZES: dict[str, tuple[int, Split]] = {
    "train": (800, "train"),
    "val": (100, "held_out"),
    "test": (100, "held_out"),
}
_COUNTRIES = ("Norland", "Sudmark", "Westria", "Ostany")
_PEOPLE, _DESCRIPTIONS, _QUESTIONS, _SEARCH_QUESTIONS, _CHOICES, _TALK = 200, 80, 60, 240, 40, 60
_DEMONSTRATIONS, _SEARCH_CHOICES = 80, 48

# High 1, low 1, high 2, low 2; and low 1, high 1, low 2, high 2.
_ORDERS = ((0, 2, 1, 3), (2, 0, 3, 1))


def _json_lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _table(header: list[str], rows: list[list]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([header, *rows])
    return buffer.getvalue()


def write_personality_edit(folder: Path, rng: Random) -> None:
    """Write topics with three opinions of each of three traits; test records name their target."""
    for name, (count, split) in _EDIT_SIZES.items():
        seen: set[str] = set()
        records: list[dict] = []
        while len(records) < count:
            topic = draw_topic(rng, split)
            if topic.name in seen:
                continue
            seen.add(topic.name)
            record: dict = {"ent": topic.name}
            record |= {t: [opinion(rng, topic, t, 1.0, split) for _ in range(3)] for t in _EDIT_TRAITS}
            if name == "test":
                record["target_per"] = _EDIT_TRAITS[len(records) % len(_EDIT_TRAITS)]
            records.append(record)
        write_json(folder / f"{name}.json", records)


def write_demonstrations(folder: Path, rng: Random) -> None:
    """Write topics with an opinion of either end of each of the five traits, to be shown as examples."""
    seen: set[str] = set()
    records: list[dict] = []
    while len(records) < _DEMONSTRATIONS:
        topic = draw_topic(rng, "held_out")
        if topic.name in seen:
            continue
        seen.add(topic.name)
        record: dict = {"ent": topic.name}
        for trait in BIG_FIVE:
            for key, level in ((trait, 1.0), (f"{trait}_reversed", -1.0)):
                record[key] = [opinion(rng, topic, trait, level, "held_out")]
        records.append(record)
    write_json(folder / "demonstrations.json", records)


def _person_row(rng: Random, person: Person) -> dict:
    row: dict = {"case": person.case, "sex": person.sex, "age": person.age}
    row |= {"sec": rng.randrange(60), "min": rng.randrange(60), "hour": rng.randrange(24), "date": rng.randrange(1, 29)}
    row |= {"month": rng.randrange(1, 13), "year": 103, "country": rng.choice(_COUNTRIES)}
    return row | {f"i{n}": answer for n, answer in enumerate(person.answers, start=1)}


def _item_key(statements: list[Statement], described: int) -> str:
    rows = []
    for number, s in enumerate(statements, start=1):
        sign = "+" if s.key > 0 else "-"
        short = str(number) if number <= described else ""
        rows.append([number, short, f"{sign}{s.code}", s.code, s.facet.title(), s.text.rstrip(".")])
    return _table(["Full#", "Short#", "Sign", "Key", "Facet", "Item"], rows)


def write_papi(folder: Path, rng: Random) -> None:
    """Write 200 people, the item key, the split into describing and scored items, and a description of each person."""
    statements = questionnaire(rng)
    described = DESCRIBING_ROUNDS * 30
    people = [draw_person(rng, 1000 + k, statements) for k in range(_PEOPLE)]
    write_json(folder / "Test-set.json", [_person_row(rng, person) for person in people])
    atomic_write_text(folder / "IPIP-NEO-ItemKey.csv", _item_key(statements, described))
    numbers = list(range(1, len(statements) + 1))
    write_json(folder / "mpi_300_split.json", {"train_index": numbers[:described], "test_index": numbers[described:]})
    for size in (described, len(statements)):
        name = "mpi_120.csv" if size == described else "mpi_300.csv"
        rows = [[s.facet.title(), s.text, LETTER_OF_TRAIT[s.trait], s.key] for s in statements[:size]]
        atomic_write_text(folder / name, _table(["label_raw", "text", "label_ocean", "key"], rows))
    prompts = []
    for person in people:
        levels = {trait: round(2 * level) / 2 for trait, level in person.levels.items()}
        text = f"{by_adjectives(rng, levels)} {by_habits(rng, levels)}".strip()
        prompts.append({"case": person.case, "output": [text]})
    write_json(folder / "personality_prompt.json", prompts)


def write_personality_bench(folder: Path, rng: Random) -> None:
    """Write open situational questions of each trait (test held out, search not) and persona descriptions."""
    for trait in BIG_FIVE:
        for part, count, split in (("test", _QUESTIONS, "held_out"), ("search", _SEARCH_QUESTIONS, "train")):
            rows: dict[str, dict] = {}
            while len(rows) < count:
                situation = draw_situation(
                    rng, rng.choice(lexicon()[trait]), "held_out" if split == "held_out" else "train"
                )
                question = f"{situation.text} {rng.choice(ACTION_QUESTIONS)}"
                rows[question] = {"question": question}
            atomic_write_text(folder / part / f"{trait.title()}.json", _json_lines(list(rows.values())))
    lines = []
    for _ in range(_DESCRIPTIONS):
        line = {}
        for trait in BIG_FIVE:
            for key, level in ((trait.title(), 1.0), (f"{trait.title()}_reversed", -1.0)):
                line[key] = (
                    f"{by_adjectives(rng, {trait: level}, 'held_out')} {by_habits(rng, {trait: level}, 'held_out')}"
                )
        lines.append(line)
    atomic_write_text(folder / "description.json", _json_lines(lines))


def write_trait(folder: Path, rng: Random) -> None:
    """Write multiple-choice items of all eight traits, five in a situation of each facet in turn, and a few to search.

    The questions to search, of the Big Five, are laid out already, in every layout and both orders of their options in
    turn; none of their wordings is held out.
    """
    rows: list[dict] = []
    for trait in TRAITS:
        facets = all_facets((trait,))
        for i in range(_CHOICES):
            item = draw_choice(rng, facets[i % len(facets)], "held_out")
            row: dict = {
                "personality": trait.title(),
                "situation": item.situation.text,
                "query": rng.choice(CHOICE_QUERIES),
            }
            names = ("response_high1", "response_high2", "response_low1", "response_low2")
            row |= dict(zip(names, item.options, strict=True))
            rows.append(row | {"idx": len(rows), "split": "test"})
    write_json(folder / "TRAIT.json", rows)
    for trait in BIG_FIVE:
        questions: list[dict] = []
        facets = all_facets((trait,))
        for i in range(_SEARCH_CHOICES):
            item = draw_choice(rng, facets[i % len(facets)])
            turn = i + i // len(facets)  # so that a facet is not tied to a layout
            order, layout = _ORDERS[turn % len(_ORDERS)], CHOICE_LAYOUTS[turn % len(CHOICE_LAYOUTS)]
            shown = [item.options[place] for place in order]
            questions.append(
                {"question": choice_prompt(item.situation.text, rng.choice(CHOICE_QUERIES), shown, layout)}
            )
        atomic_write_text(folder / "search" / f"{trait.title()}.json", _json_lines(questions))


def write_side_effects(folder: Path, rng: Random) -> None:
    """Write multiple choice on safety and on hallucination (`right` options), tasks with a `key`, and plain texts."""
    for kind in ("safety", "hallucination"):
        rows = []
        for _ in range(_TALK):
            item = draw_talk_choice(rng, "held_out", kind)
            options = rng.sample(item.options, len(item.options))
            right = [options.index(text) for text in item.options[:2]]
            rows.append({"question": item.text, "options": options, "right": sorted(right)})
        write_json(folder / f"{kind}.json", rows)
    tasks = [draw_question(rng, "held_out") for _ in range(_TALK)]
    write_json(folder / "talk.json", [{"question": t.text, "answer": t.answer, "key": t.key} for t in tasks])
    texts = [{"prompt": task.text, "text": task.answer} for task in tasks[::2]]
    for _ in range(_TALK // 2):
        topic = draw_topic(rng, "held_out")
        prompt = rng.choice(OPINION_QUESTIONS).format(topic=topic.name)
        texts.append({"prompt": prompt, "text": neutral_opinion(rng, topic)})
    write_json(folder / "text.json", texts)


def write_characters(folder: Path, rng: Random) -> None:
    """Write the knowledge and style files of the invented characters; nothing in them is drawn."""
    del rng
    write_sources(folder)


WRITERS: dict[str, Callable[[Path, Random], None]] = {
    "personality_edit": write_personality_edit,
    "demonstrations": write_demonstrations,
    "papi": write_papi,
    "personality_bench": write_personality_bench,
    "trait": write_trait,
    "side_effects": write_side_effects,
    "characters": write_characters,
}
"""What writes each of the data sets, by its folder."""


def write_samples(out: Path, seed: int = 1) -> None:
    """Write every sample data set; the same seed gives the same files.

    Args:
        out: The folder to write to.
        seed: Seed of every choice; each data set draws numbers of its own.
    """
    for name, write in WRITERS.items():
        write(out / name, Random(f"{seed}/{name}"))  # noqa: S311 - no secret depends on it


@exit_on_input_error()
def main() -> None:
    """Write every sample data set from the command line."""
    parser = argparse.ArgumentParser(description="Write the sample data sets in the published schemas.")
    parser.add_argument("--out", type=Path, default=Path("assets/data"), help="the folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="the seed of every choice")
    args = parser.parse_args()
    write_samples(args.out, args.seed)


if __name__ == "__main__":
    main()
