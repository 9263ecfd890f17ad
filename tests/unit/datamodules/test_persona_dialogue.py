"""The examination of characters as a benchmark: what is asked of whom, what counts as right, and what is refused."""

import json

import pytest

from datamodules.persona_dialogue import PersonaDialogueDataModule
from files.errors import InputError
from lm.loading import LMSpec
from metrics.persona_dialogue import FIGURES
from organism.characters.examination import TESTS, exam_items, write_examination


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examination")
    write_examination(folder)
    return folder


@pytest.fixture
def spec(tiny_lm_dir):
    return LMSpec(str(tiny_lm_dir))


def batches(spec, folder, **settings):
    data = PersonaDialogueDataModule(spec, str(folder), **settings)
    data.setup("test")
    return data, list(data.test_dataloader())


def test_every_test_has_a_figure():
    assert set(TESTS) == set(FIGURES)


def test_every_item_is_asked_once_with_its_options_and_its_key(spec, folder):
    data, found = batches(spec, folder, batch_size=50)
    items = [item for test in FIGURES for item in exam_items(test)]
    assert all(len(batch) <= 50 for batch in found)
    assert [name for batch in found for name in batch.questions.ids] == [item.id for item in items]
    assert [place for batch in found for place in batch.questions.order] == list(range(len(items)))
    choices = [choice for batch in found for choice in batch.questions.choices]
    for item, choice in zip(items, choices, strict=True):
        assert (choice.part, list(choice.prompt), list(choice.options)) == (item.test, item.prompt, item.options)
        key = data.benchmark.keys[item.id]
        assert (key.test, key.right, key.answer) == (item.test, item.right, item.answer)
        assert {item.character, item.stage} <= set(key.groups)
        assert (f"turn_{item.turn}" in key.groups) == (item.test == "robustness")
    personas = [one.name for batch in found for one in batch.questions.personas]
    assert personas == [f"{item.character}, {item.stage}" for item in items]


@pytest.mark.parametrize("generate", [True, False])
def test_facts_alone_are_also_answered_freely(spec, folder, generate):
    _, found = batches(spec, folder, tests=["stages", "facts"], batch_size=64, generate=generate)
    asked = [
        batch.questions.ids[one.record]
        for batch in found
        for one in batch.questions.generations
        if one.prompt == batch.questions.choices[one.record].prompt
    ]
    assert asked == ([item.id for item in exam_items("facts")] if generate else [])
    tests = [choice.part for batch in found for choice in batch.questions.choices]
    assert tests == sorted(tests, reverse=True) and set(tests) == {"stages", "facts"}


def test_tags_of_stages_stand_before_the_system_turn(tiny_lm_dir, folder):
    tags = {"early": "<E>", "late": "<L>"}
    spec = LMSpec(str(tiny_lm_dir), new_tokens=list(tags.values()))
    _, found = batches(spec, folder, tests=["stages"], stage_tags=tags)
    items = iter(exam_items("stages"))
    for batch in found:
        for choice in batch.questions.choices:
            item = next(items)
            assert choice.prompt[0]["content"] == f"{tags[item.stage]} {item.prompt[0]['content']}"
            assert choice.prompt[1:] == item.prompt[1:]


@pytest.mark.parametrize(
    ("settings", "message", "field"),
    [
        ({"tests": ["history"]}, "names no test", "tests"),
        ({"tests": []}, "names no test", "tests"),
        ({"batch_size": 0}, "too small", "batch_size"),
        ({"stage_tags": {"early": "<E>"}}, "no token of the model", "stage_tags"),
    ],
)
def test_options_that_mean_nothing_are_refused(spec, folder, settings, message, field):
    with pytest.raises(InputError, match=message) as error:
        batches(spec, folder, **settings)
    assert error.value.field == f"--data.init_args.{field}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"right": 9}, "names no option"),
        ({"options": []}, "is empty"),
        ({"prompt": [{"role": "assistant", "content": "Hi"}]}, "out of order"),
        ({"answer": 3}, "wrong type"),
    ],
)
def test_a_faulty_item_is_named(spec, folder, tmp_path, change, message):
    good = json.loads((folder / "facts.jsonl").read_text().splitlines()[0])
    (tmp_path / "facts.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps({**good, **change})}\n")
    with pytest.raises(InputError, match=message) as error:
        batches(spec, tmp_path, tests=["facts"])
    assert error.value.row == 2 and "facts.jsonl" in str(error.value)


def test_a_missing_file_is_named(spec, folder, tmp_path):
    with pytest.raises(InputError, match=r"style\.jsonl"):
        batches(spec, tmp_path, tests=["style"])
