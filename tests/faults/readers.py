"""Every reader of files, each with a small whole file of its kind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.profiles import read_attributes
from annotation.records import PATTERNS, Dialogue, Passage, Question, read_records
from annotation.six_lines import read_six_lines
from annotation.sources import read_characters, read_passages
from annotation.stylising import read_instructions
from callbacks.feature_finding import read_coefficients
from callbacks.run_folder import checkpoint_to_go_on_from
from datamodules.chat_records import StageTags, read_conversations, read_pairs
from datamodules.opinions import read_opinions
from datamodules.prompts import read_prompt
from datamodules.side_questions import SideEffectSpec, read_side_questions
from datamodules.trait_items import read_trait_items
from deployment.edits import read_edits
from files.errors import InputError
from files.journal import Journal
from files.json_stream import read_json_records
from files.readers import read_csv_rows, read_json, read_json_lines, read_text_lines
from files.records import read_records as read_any_records
from files.yaml_files import check_settings_files, read_yaml
from interventions.autoencoder_files import read_autoencoder
from interventions.bundle import load_bundle
from interventions.neuron_files import read_neurons
from judging.protocol import read_protocol
from judging.readings import Unread, read_ranking, read_rating, read_word
from judging.runs import Run
from lightning_modules.trained import last_checkpoint, read_checkpoint
from metrics.result_rows import read_results
from organism.characters.examination import read_examination
from personas.backgrounds import read_backgrounds
from personas.contrasts import read_contrasts
from personas.demonstrations import read_demonstrations
from personas.descriptions import read_persona_descriptions
from personas.feature_patterns import read_feature_patterns
from personas.item_key import read_item_key
from personas.participants import read_descriptions, read_participants
from personas.persona_names import persona_named
from personas.questionnaire import Participant, read_split, split_items
from tests.editing import TRAITS, opinion_record
from tests.faults.samples import (
    ALONE,
    ASSISTANT,
    CHARACTERS,
    ITEM_ROWS,
    ITEMS,
    PEOPLE,
    RECORD,
    SETTINGS,
    TOLD,
    USER,
    as_json,
    as_lines,
    asset,
    autoencoder,
    beside,
    bundle,
    checkpoint,
    dialogue,
    items,
    model,
    result,
    text,
)
from tests.faults.workbooks import workbook
from tests.papi import as_csv, item_row
from tests.traits import trait_record

SECONDS = 20


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        sample: A whole file, made when it is first needed.
        read: Reads a file to its end.
        name: What the file must be called.
        whole: Whether the sample is all that it takes.
    """

    sample: Callable[[], bytes]
    read: Callable[[Path], object]
    name: str = "file.json"
    whole: bool = True


def outcome(reader: Reader, file: Path) -> InputError | None:
    """What came of a file: nothing, or the error; anything else is passed on.

    What counts is the time that the reader computes: a busy machine is no hang, and one that waits is ended from
    outside.
    """
    begun = time.process_time()
    try:
        reader.read(file)
    except InputError as error:
        assert str(error) and len(str(error)) < 20_000
        return error
    finally:
        assert time.process_time() - begun < SECONDS, "it took too long"
    return None


def every(found: Iterator[Any]) -> list[Any]:
    return list(found)


def judged_texts(file: Path) -> None:
    """What a judge may have said."""
    said = file.read_bytes().decode("utf-8", "replace")
    for reading in (
        lambda: read_rating(said, 1, 5),
        lambda: read_ranking(said, 3),
        lambda: read_word(said, ["yes", "no"]),
    ):
        try:
            reading()
        except Unread:
            pass


READERS: dict[str, Reader] = {
    "json": Reader(as_json({"a": [1, 2.5, None, "é"]}), read_json),
    "json lines": Reader(as_lines({"a": 1}, {"b": "x"}), lambda file: every(read_json_lines(file))),
    "json stream": Reader(as_json({"a": "]{"}, {"b": [{}]}), lambda file: every(read_json_records(file))),
    "csv": Reader(text('a,b\n1,"x, y"\n"2\n3",\n'), lambda file: every(read_csv_rows(file)), "file.csv"),
    "lines of text": Reader(text("one\r\ntwo\n\nthree"), lambda file: every(read_text_lines(file)), "file.txt"),
    "records": Reader(as_json({"a": 1}, {"a": 2}), lambda file: every(read_any_records(file))),
    "yaml": Reader(text(SETTINGS), read_yaml, "file.yaml"),
    "settings": Reader(text(SETTINGS), lambda file: check_settings_files(["fit", f"--config={file}"]), "file.yaml"),
    "recipe": Reader(text(SETTINGS), lambda file: last_checkpoint(str(file)), "file.yaml", whole=False),
    "journal": Reader(
        as_lines({"fingerprint": "f", "a": 1}), lambda file: Journal(file.parent, "f").read(), "part-0.jsonl"
    ),
    "state of a run": Reader(
        text('{"finished": false}'),
        lambda file: checkpoint_to_go_on_from(beside(file, "checkpoints/last.ckpt", b"x")),
        "run.json",
    ),
    "opinions": Reader(
        as_json(opinion_record(0), opinion_record(1)), lambda file: read_opinions(file, TRAITS, with_target=True)
    ),
    "edits": Reader(as_json(opinion_record(0), opinion_record(1)), read_edits),
    "items as csv": Reader(lambda: as_csv([item_row(n) for n in range(ITEMS)]).encode(), read_item_key, "file.csv"),
    "items as workbook": Reader(lambda: workbook(ITEM_ROWS), read_item_key, "file.xlsx"),
    "people": Reader(as_json(*PEOPLE), lambda file: every(read_participants(file, list(items().values())))),
    "descriptions of people": Reader(
        as_json({"output": ["You."]}, {"output": ["Me."]}),
        lambda file: read_descriptions(file, [Participant("100", 0, b"123"), Participant("101", 1, b"321")]),
    ),
    "split": Reader(
        text('{"train_index": [1, 2, 3], "test_index": [4, 5, 6]}'),
        lambda file: split_items(read_split(file), items(), file),
    ),
    "trait items": Reader(as_json(*map(trait_record, range(3))), read_trait_items),
    "persona descriptions": Reader(
        as_lines({"Openness": "You are.", "Openness_reversed": "You are not."}), read_persona_descriptions, "file.jsonl"
    ),
    "demonstrations": Reader(asset("assets/data/demonstrations/demonstrations.json", 1), read_demonstrations),
    "contrasts": Reader(
        text('{"openness": {"positive": ["Be."], "negative": ["Do not."]}}'),
        read_contrasts,
    ),
    "backgrounds": Reader(
        as_json({"idx": 1, "attributes": {}, "generative_bg": "x", "features": {"fixed": {}, "a": 1}}), read_backgrounds
    ),
    "feature patterns": Reader(
        as_json({"Layer": 1, "size": 16, "Details": {"gender": {"male": {"a": 3}}}}),
        lambda file: read_feature_patterns(file, ["gender"]),
    ),
    "coefficients": Reader(text('{"openness": [{"feature": 1, "coefficient": 0.5}]}'), read_coefficients),
    "side questions": Reader(
        asset("assets/data/side_effects/safety.json", 2),
        lambda file: read_side_questions(SideEffectSpec(str(file.parent))),
        "safety.json",
    ),
    "conversations": Reader(
        as_lines({"messages": [USER, ASSISTANT], "stage": "early"}),
        lambda file: read_conversations(file, StageTags({}, ())),
        "file.jsonl",
    ),
    "pairs": Reader(
        as_lines({"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{**ASSISTANT, "content": "You."}]}),
        lambda file: read_pairs(file, StageTags({}, ())),
        "file.jsonl",
    ),
    "prompts": Reader(
        as_lines({"prompt": [USER]}, {"question": "Who?"}, {"messages": [USER, ASSISTANT]}),
        lambda file: [read_prompt(record, file, row) for row, record in read_json_lines(file)],
        "file.jsonl",
    ),
    "examination": Reader(
        as_lines({**TOLD, "options": ["I.", "You."], "turn": 1, "prompt": [USER]}), read_examination, "file.jsonl"
    ),
    "characters": Reader(text(CHARACTERS), read_characters, "file.yaml"),
    "passages": Reader(
        text("[1840] She wrote.\nShe read.\n"),
        lambda file: read_passages(read_characters(beside(file, "c.yaml", ALONE) / "c.yaml")[0]),
        "a.txt",
    ),
    "six lines": Reader(text("a\n[question] b\nc\nd\ne\n\n" * 2), lambda file: every(read_six_lines(file)), "file.txt"),
    "instructions": Reader(as_lines({"instruction": "Sing.", "output": "La."}), read_instructions, "file.jsonl"),
    "attributes": Reader(as_json({"attributes": {"gender": "male"}}), read_attributes),
    "dialogues": Reader(as_lines(dialogue(1)), lambda file: every(read_records(file, Dialogue)), "file.jsonl"),
    "passage records": Reader(
        as_lines({"id": "p", "character": "Ada", "stage": None, "source": "knowledge", "tags": [], "text": "x"}),
        lambda file: every(read_records(file, Passage)),
        "file.jsonl",
    ),
    "question records": Reader(
        as_lines({**TOLD, "stage": None, "pattern": PATTERNS[0], "passage": "p", "question": "x", "backend": "b"}),
        lambda file: every(read_records(file, Question)),
        "file.jsonl",
    ),
    "protocol": Reader(asset("judging/protocols/pae.yaml"), read_protocol, "file.yaml"),
    "what a judge said": Reader(text("I rate it [[4]]. 2 > 1 > 3. Yes."), judged_texts, "file.txt"),
    "results": Reader(as_json(result(), result(metric="score/openness", value=None)), read_results),
    "records of a run": Reader(
        as_lines(RECORD),
        lambda file: Run.read(beside(file, "results.json", json.dumps([result()]).encode())),
        "records.jsonl",
    ),
    "neurons": Reader(
        text('{"0": [[0, 3, 0.3, 0.2, 1.0]], "1": [[1, 5, 0.1, 0.2, null]]}'), lambda file: read_neurons(file, 2, 8)
    ),
    "bundle": Reader(bundle, lambda file: load_bundle(file, model()), "file.safetensors"),
    "autoencoder": Reader(autoencoder, read_autoencoder, "file.safetensors"),
    "checkpoint": Reader(checkpoint, read_checkpoint, "last.ckpt"),
    "names of personas": Reader(
        text("openness=1, trust-0.5"), lambda file: persona_named(file.read_bytes().decode("utf-8", "replace")), "a.txt"
    ),
}
