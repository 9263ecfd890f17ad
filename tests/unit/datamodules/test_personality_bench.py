"""PersonalityBench: search and test questions, both ends of each trait, missing files."""

import json

import pytest

from datamodules.personality_bench import PersonalityBenchDataModule
from files.errors import InputError
from lm.loading import LMSpec
from personas.traits import BIG_FIVE
from tests.traits import evaluate, write_bench


def module(data, stage="test", **options):
    made = PersonalityBenchDataModule(LMSpec("none"), str(data), **options)
    made.setup(stage)
    return made


def test_every_test_question_under_both_levels(tmp_path):
    data = module(write_bench(tmp_path), batch_size=4)
    asked = [question for batch in data.test_dataloader() for question in batch.questions.generations]
    assert len(asked) == 5 * 3 * 2
    assert [question.prompt[0]["content"] for question in asked[:3]] == [
        "What of openness test 0?",
        "What of openness test 0?",
        "What of openness test 1?",
    ]
    names = [name for batch in data.test_dataloader() for name in batch.questions.ids]
    assert len(set(names)) == len(names)
    assert {who.name for who in data.personas()} == {f"{trait}{sign}" for trait in BIG_FIVE for sign in "+-"}


def test_search_questions_are_what_methods_learn_from(tmp_path):
    data = module(write_bench(tmp_path), stage="fit", questions=1, levels=[1.0])
    asked = [question for batch in data.train_dataloader() for question in batch.questions.generations]
    assert [question.prompt[0]["content"] for question in asked] == [f"What of {trait} search 0?" for trait in BIG_FIVE]


def test_a_trait_without_a_file_is_left_out_with_a_warning(tmp_path):
    write_bench(tmp_path)
    (tmp_path / "test" / "Neuroticism.json").unlink()
    with pytest.warns(UserWarning, match=r"Neuroticism\.json is missing: neuroticism is left out"):
        data = module(tmp_path)
    assert set(data.benchmark.traits.values()) == set(BIG_FIVE) - {"neuroticism"}
    assert len(data.data_files()) == 4


def test_no_file_at_all_is_an_error(tmp_path):
    with pytest.warns(UserWarning, match="is missing"), pytest.raises(InputError, match="holds no questions"):
        module(tmp_path)


@pytest.mark.parametrize(
    ("lines", "row", "problem"),
    [
        (['{"question": "Why?"}', "", '{"question": "How?"}'], 2, "is blank"),
        (['{"question": "Why?"}', '{"question": "  "}'], 2, "is empty"),
        (['{"question": "Why?"}', '{"questio'], "line 2, column 10", "is not complete JSON"),
        (['{"question": "Why?"}', '{"text": "How?"}'], 2, "is missing"),
        (['{"question": "Why?"}', '["How?"]'], 2, "is not a JSON object"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, lines, row, problem):
    write_bench(tmp_path)
    (tmp_path / "test" / "Openness.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=problem) as fault:
        module(tmp_path, questions=1)
    assert fault.value.row == row and str(fault.value.file).endswith("Openness.json") and fault.value.fix


def test_questions_come_from_the_files_of_a_hub_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    write_bench(tmp_path / "set")
    data = module(f"hub:{tmp_path}/set", traits=["openness", "neuroticism"])
    assert len(data.questions_of("test")) == 6 and data.data_files() == []


def test_answers_and_their_figures_reach_the_results(tiny_lm_dir, tmp_path):
    data = PersonalityBenchDataModule(LMSpec(str(tiny_lm_dir)), str(write_bench(tmp_path / "data", 1)))
    rows = evaluate(tiny_lm_dir, data, tmp_path / "run")
    assert rows["changed_rate"]["value"] == 0.0 and rows["coherent_rate"]["n"] == 5
    assert rows["words/openness+"]["persona"] == "openness+" and rows["words/openness"]["persona"] == "openness"
    kept = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text("utf-8").splitlines()]
    assert len(kept) == 10 and all(record["samples"] for record in kept)


def test_published_questions_are_read(data_dir):
    with pytest.warns(UserWarning, match="Neuroticism.json is missing"):
        data = module(data_dir / "personality_bench")
    assert len(data.questions_of("test")) > 300
