"""What annotation reads: character files, records, six-line files; and that faults are named with their place."""

import json

import pytest

from annotation.records import Dialogue, Pair, Passage, read_records, write_records
from annotation.six_lines import SixLines, read_six_lines, to_dialogue, write_six_lines
from annotation.sources import CharacterFiles, read_characters, read_passages
from files.errors import InputError
from tests.annotating import write_character

CHAT = [
    {"role": "system", "content": "You are Ada."},
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Hello."},
]
DIALOGUE = Dialogue("d", CHAT, "me", "Ada", "early", "ordinary", "p", "A greeting.", ["p"], ["s"])
PAIR = Pair("p", CHAT[:2], CHAT[2:], [{"role": "assistant", "content": "Go away."}], "me", "other_stage")


def test_paragraphs_are_read_without_tags_and_empty_lines(tmp_path):
    passages = read_passages(write_character(tmp_path, "early"))
    assert [one.source for one in passages] == ["knowledge"] * 8 + ["style"] * 2
    assert passages[0] == Passage(
        "ada-finch-early-knowledge-1", "Ada Finch", "early", "knowledge", ["page 0"], "Ada Finch kept a in the s."
    )
    assert (passages[8].tags, passages[8].text) == (["letter"], "Dear me, what a day!")
    assert passages[9].id == "ada-finch-early-style-3"


@pytest.mark.parametrize("content", ["", "\n\n", "[tag]\n【tag】[tag]\n"])
def test_a_file_without_a_usable_line_is_refused(content, tmp_path):
    character = write_character(tmp_path)
    (tmp_path / "style.txt").write_text(content)
    with pytest.raises(InputError, match="no usable line") as error:
        read_passages(character)
    assert "style.txt" in str(error.value)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("characters: [", "is not YAML"),
        ("characters: []", "names no character"),
        ("- {knowledge: a.txt}", "'name': is missing"),
        ("- {name: Ada, knowledge: a.txt, age: 7}", "'age': is not known"),
        ("- {name: 7, knowledge: a.txt}", "'name': is not text"),
        ("- {name: Ada, knowledge: a.txt}\n- {name: Ada, knowledge: b.txt}", "twice"),
    ],
)
def test_a_faulty_list_of_characters_is_refused(content, part, tmp_path):
    (tmp_path / "all.yaml").write_text(content)
    with pytest.raises(InputError, match=part):
        read_characters(tmp_path / "all.yaml")


def test_a_list_of_characters_lies_beside_their_files(tmp_path):
    (tmp_path / "all.yaml").write_text("characters:\n- {name: Ada, stage: early, knowledge: k.txt, style: s.txt}\n")
    [one] = read_characters(tmp_path / "all.yaml")
    assert one == CharacterFiles("Ada", str(tmp_path / "k.txt"), str(tmp_path / "s.txt"), "early")


@pytest.mark.parametrize(("kind", "record"), [(Dialogue, DIALOGUE), (Pair, PAIR)])
def test_records_come_back(kind, record, tmp_path):
    assert write_records(tmp_path / "a.jsonl", [record, record]) == 2
    assert list(read_records(tmp_path / "a.jsonl", kind)) == [record, record]


def test_records_are_what_trl_reads(tmp_path):
    from datasets import load_dataset
    from trl.data_utils import is_conversational

    for name, record in (("dialogues", DIALOGUE), ("pairs", PAIR)):
        write_records(tmp_path / f"{name}.jsonl", [record])
        data = load_dataset(
            "json", data_files=str(tmp_path / f"{name}.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert is_conversational(data[0])


def changed(record, **values):
    content = json.loads(json.dumps(record.__dict__))
    for name, value in values.items():
        if value is None:
            del content[name]
        else:
            content[name] = value
    return content


@pytest.mark.parametrize(
    ("kind", "content", "parts"),
    [
        (Dialogue, changed(DIALOGUE, messages=CHAT[::-1]), ("messages[0].role", "out of order")),
        (Dialogue, changed(DIALOGUE, messages=[*CHAT, CHAT[2]]), ("messages[3].role", "user", "'assistant'")),
        (Dialogue, changed(DIALOGUE, messages=CHAT[:2]), ("ends with the wrong turn", "assistant")),
        (Dialogue, changed(DIALOGUE, messages=[]), ("'messages'", "is empty")),
        (Dialogue, changed(DIALOGUE, messages=[CHAT[1], {"role": "assistant", "content": " "}]), ("no text",)),
        (Dialogue, changed(DIALOGUE, messages=None), ("'messages'", "is missing")),
        (Dialogue, changed(DIALOGUE, pattern="rude"), ("'pattern'", "ordinary, misleading, opinion", "'rude'")),
        (Pair, changed(PAIR, rejected=CHAT[2:]), ("'rejected'", "both answers of the pair are equal")),
        (Pair, changed(PAIR, chosen=CHAT[1:]), ("'chosen'", "one message of the assistant")),
        (Pair, changed(PAIR, prompt=CHAT), ("'prompt[2].role'", "ends with the wrong turn")),
    ],
)
def test_a_faulty_record_is_named(kind, content, parts, tmp_path):
    good = DIALOGUE if kind is Dialogue else PAIR
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(good.__dict__)}\n{json.dumps(content)}\n")
    with pytest.raises(InputError) as error:
        list(read_records(tmp_path / "a.jsonl", kind))
    assert all(part in str(error.value) for part in ("a.jsonl, row 2", *parts)), error.value


SIX = ["Ada is kind.", "[question] Who?", "[Analysis] A test. [Response] Me.", "Ada is kind....", "Oh....", ""]


def test_six_line_records_come_back(tmp_path):
    passages = {
        "p": Passage("p", "Ada", None, "knowledge", [], "Ada is kind."),
        "s": Passage("s", "Ada", None, "style", [], "Oh."),
    }
    assert write_six_lines(tmp_path / "a.txt", [DIALOGUE, DIALOGUE], passages) == 2
    lines = (tmp_path / "a.txt").read_text().split("\n")
    assert lines[:6] == ["Ada is kind.", "[question] Hi?", "[Analysis] A greeting. [Response] Hello.", *SIX[3:]]
    first, second = read_six_lines(tmp_path / "a.txt")
    assert (first.row, second.row) == (1, 7)
    back = to_dialogue(first, CharacterFiles("Ada", "k.txt", stage="early"), "ordinary", "file")
    assert (back.question, back.answer, back.analysis) == ("Hi?", "Hello.", "A greeting.")
    assert back.messages[0]["content"] == "You are Ada. This is the early stage of your life."


@pytest.mark.parametrize("end", ["\n", "", "\n\n"])
def test_the_last_empty_line_does_not_matter(end, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(SIX[:5]) + end)
    assert list(read_six_lines(tmp_path / "a.txt")) == [
        SixLines(1, "Ada is kind.", "Who?", "[Analysis] A test. [Response] Me.", "Ada is kind....", "Oh....")
    ]


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ([], ("is empty",)),
        (SIX[:3], ("row 1", "out of step", "3 lines before the end")),
        ([*SIX, *SIX[1:], ""], ("row 8", "out of step", "[question]")),
        ([*SIX[:5], *SIX], ("row 6", "out of step", "an empty line after every five")),
        ([SIX[0], "[question]", *SIX[2:]], ("row 2", "'question'", "is empty")),
        ([*SIX[:2], "", *SIX[3:]], ("row 3", "'answer'", "is empty")),
    ],
)
def test_unbalanced_six_line_records_are_named(lines, parts, tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(InputError) as error:
        list(read_six_lines(tmp_path / "a.txt"))
    assert all(part in str(error.value) for part in ("a.txt", *parts)), error.value
