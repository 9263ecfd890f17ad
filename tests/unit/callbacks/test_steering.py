"""Methods as callbacks: prompts, controls, baselines beside a method, and nothing left behind when one fails."""

import json

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from callbacks.pas_described import PASDescribed
from callbacks.prompting import FewShot, PersonalityPrompt
from callbacks.random_heads import RandomHeads, drawn_heads
from callbacks.steering import SteeringCallback
from files.errors import InputError
from lightning_modules.trained import load_trained
from lm.loading import LMSpec, load_model
from tests.editing import evaluate_edits, write_edit_data
from tests.models import byte_tokenizer, random_model
from tests.papi import DESCRIBING, ITEMS, evaluate_people, learn_people, people_data, write_papi

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*weights_only. was not set"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]
EVERYTHING = (FewShot, PersonalityPrompt, RandomHeads, PASDescribed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_papi(tmp_path_factory.mktemp("papi"), people=5)


@pytest.fixture(scope="module")
def checkpoint(tiny_lm_dir, folder, tmp_path_factory):
    return learn_people(tiny_lm_dir, folder, tmp_path_factory.mktemp("pas"))


def results(root):
    rows = json.loads((root / "results.json").read_text(encoding="utf-8"))
    return {(row["method"], row["metric"]): row for row in rows}


def test_all_baselines_stand_in_one_table(tiny_lm_dir, folder, checkpoint, tmp_path):
    evaluate_people(tiny_lm_dir, folder, tmp_path, baselines=[kind() for kind in EVERYTHING], ckpt_path=str(checkpoint))
    rows = results(tmp_path)
    methods = ["pas", "few_shot", "personality_prompt", "random_heads", "pas_described", "none"]
    assert list(dict.fromkeys(method for method, _ in rows)) == methods
    for method in methods:
        row = rows[method, "alignment_error"]
        assert row["persona"] == "all" and row["n"] == 5 and row["ci_low"] <= row["value"] <= row["ci_high"]
        assert row["base_value"] == rows["none", "alignment_error"]["value"]
        others = {f"alignment_error_difference/{other}" for other in methods if other != method}
        assert {metric for name, metric in rows if name == method and "difference" in metric} == others
    difference = rows["pas_described", "alignment_error_difference/few_shot"]
    values = [rows[name, "alignment_error"]["value"] for name in ("pas_described", "few_shot")]
    assert difference["value"] == pytest.approx(values[0] - values[1])
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 6 * 5 and {line["method"] for line in lines} == set(methods)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Methods side by side" in report and all(f"| {method} |" in report for method in methods)


@pytest.mark.slow
def test_a_published_person_stands_in_one_table(data_dir, tmp_path):
    model = random_model()
    model.config.max_position_embeddings = 8192
    model.save_pretrained(tmp_path / "lm")
    byte_tokenizer().save_pretrained(tmp_path / "lm")
    people = {"data": {"people": 1}, "positions": "last", "strengths": [0.0, 2.0]}
    checkpoint = learn_people(tmp_path / "lm", data_dir / "papi", tmp_path / "pas", **people)
    evaluate_people(
        tmp_path / "lm", data_dir / "papi", tmp_path / "run", baselines=[kind() for kind in EVERYTHING],
        ckpt_path=str(checkpoint), data={"people": 1},
    )  # fmt: skip
    rows = results(tmp_path / "run")
    methods = {"pas", "none", "few_shot", "personality_prompt", "random_heads", "pas_described"}
    assert {method for method, _ in rows} == methods
    assert all(rows[method, "alignment_error"]["n"] == 1 for method in methods)


def test_a_method_answers_alone_as_in_company(tiny_lm_dir, folder, checkpoint, tmp_path):
    evaluate_people(tiny_lm_dir, folder, tmp_path / "both", baselines=[FewShot()], ckpt_path=str(checkpoint))
    evaluate_people(tiny_lm_dir, folder, tmp_path / "pas", ckpt_path=str(checkpoint))
    evaluate_people(tiny_lm_dir, folder, tmp_path / "few", [FewShot()])
    both = results(tmp_path / "both")
    for name, method in (("pas", "pas"), ("few", "few_shot")):
        for (_, metric), row in results(tmp_path / name).items():
            assert row["value"] == pytest.approx(both[method, metric]["value"], abs=1e-6), metric


def test_a_model_steered_into_one_letter_is_reported(tiny_lm_dir, folder, tmp_path):
    """What was seen of the release: a strength that wins by answering everything alike."""
    released = {"ranking": "as_released", "select_on": "test", "strengths": [1000.0], "prompts": ["plain"]}
    checkpoint = learn_people(tiny_lm_dir, folder, tmp_path / "pas", **released)
    with pytest.warns(UserWarning, match="pas answers .* the same letter for 5 of 5 people .* see answer_entropy"):
        evaluate_people(tiny_lm_dir, folder, tmp_path / "run", ckpt_path=str(checkpoint))
    rows = results(tmp_path / "run")
    assert rows["pas", "answer_entropy"]["value"] < 0.05 and rows["pas", "one_letter"]["value"] == 1.0
    counts = {letter: rows["pas", f"answer_count/{letter}"]["value"] for letter in "ABCDE"}
    assert sum(counts.values()) == 5 * (ITEMS - DESCRIBING)
    assert "same letter" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_two_processes_find_the_same(tiny_lm_dir, folder, checkpoint, tmp_path):
    for name, processes in (("one", 1), ("two", 2)):
        evaluate_people(
            tiny_lm_dir, folder, tmp_path / name, baselines=[FewShot(), RandomHeads()], processes=processes,
            ckpt_path=str(checkpoint),
        )  # fmt: skip
    one, two = results(tmp_path / "one"), results(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, row in one.items():
        for field, value in row.items():
            if field not in ("seconds", "peak_memory_mb"):
                close = pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
                assert two[name][field] == close, (name, field)


def test_an_interrupted_evaluation_goes_on_with_every_method(tiny_lm_dir, folder, checkpoint, tmp_path):
    settings = {"ckpt_path": str(checkpoint)}
    evaluate_people(tiny_lm_dir, folder, tmp_path / "whole", baselines=[FewShot()], **settings)

    class Stops(FewShot):
        def rewrite(self, batch):
            if batch.questions.order[0] == 4:
                raise RuntimeError("killed")
            return super().rewrite(batch)

    with pytest.raises(RuntimeError, match="killed"):
        evaluate_people(tiny_lm_dir, folder, tmp_path / "cut", baselines=[Stops()], **settings)
    asked = []

    class Counts(FewShot):
        def rewrite(self, batch):
            asked.extend(batch.questions.order)
            return super().rewrite(batch)

    evaluate_people(tiny_lm_dir, folder, tmp_path / "cut", baselines=[Counts()], **settings)
    assert asked == [4]
    whole, cut = results(tmp_path / "whole"), results(tmp_path / "cut")
    assert {name: row["value"] for name, row in whole.items()} == {name: row["value"] for name, row in cut.items()}


def test_prompts_hold_the_person_and_nothing_else_changes(tiny_lm_dir, folder):
    data = people_data(tiny_lm_dir, folder)
    data.setup("test")
    batch = data.batch([2, 0])
    for method, text in ((FewShot(), batch.describe), (PersonalityPrompt(), batch.written_description)):
        rewritten = method.rewrite(batch)
        for before, after in zip(batch.questions.choices, rewritten.choices, strict=True):
            assert after.prompt == [{"role": "system", "content": text(before.record)}, *before.prompt]
            assert (after.part, after.options, after.record) == (before.part, before.options, before.record)


def test_random_heads_are_others_and_shift_as_far(tiny_lm_dir, folder, checkpoint):
    module = load_trained(checkpoint, LMSpec(str(tiny_lm_dir))).module
    data = people_data(tiny_lm_dir, folder)
    data.setup("test")
    batch = data.batch([0, 1, 2])
    heads, vectors = (part.flatten(1, 2) for part in module.shifted_heads(batch))
    drawn = [
        drawn_heads(*parts, 2, 4, torch.Generator().manual_seed(n))
        for n, parts in enumerate(zip(heads, vectors, strict=True))
    ]
    for (own, shift), (other, random) in zip(zip(heads, vectors, strict=True), drawn, strict=True):
        torch.testing.assert_close(random.norm(dim=-1), shift.norm(dim=-1))
        assert len(set(map(tuple, other.tolist()))) == len(set(map(tuple, own.tolist())))
    assert any(not torch.equal(own, other) for own, (other, _) in zip(heads, drawn, strict=True))


class Fails(FewShot):
    """Fails in the middle of a batch's answers."""

    method = "fails"

    def intervene(self, batch):
        class Broken:
            def for_pass(self, rows):
                raise RuntimeError("broken")

        return Broken()


def test_nothing_is_left_behind_by_a_failure(tiny_lm_dir, folder, tmp_path):
    captured = []

    class Watches(SteeringCallback):
        method = "watches"

        def fit(self):
            captured.append(self.evaluation)

    with pytest.raises(RuntimeError, match="broken"):
        evaluate_people(tiny_lm_dir, folder, tmp_path, [Fails()], baselines=[Watches()])
    module = captured[0]
    assert module._plans == {}
    fresh = load_model(LMSpec(str(tiny_lm_dir)))
    assert fresh.state_dict().keys() == module.lm.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), module.lm.parameters(), strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.lm.modules())


@pytest.mark.parametrize("kind", [RandomHeads, PASDescribed])
def test_controls_need_a_trained_pas(tiny_lm_dir, folder, tmp_path, kind):
    with pytest.raises(InputError, match="PAS checkpoint"):
        evaluate_people(tiny_lm_dir, folder, tmp_path, [kind()])


def test_people_are_needed(tiny_lm_dir, tmp_path):
    with pytest.raises(InputError, match="few_shot needs people"):
        evaluate_edits(tiny_lm_dir, write_edit_data(tmp_path / "data"), tmp_path / "run", [FewShot()])


def test_a_name_stands_for_one_method(tiny_lm_dir, folder, tmp_path):
    with pytest.raises(InputError, match="one name"):
        evaluate_people(tiny_lm_dir, folder, tmp_path, baselines=[FewShot(), FewShot()])


def test_methods_take_part_in_evaluations_only(tmp_path):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[FewShot()],
        enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(InputError, match="evaluate.py"):
        trainer.test(BoringModel())
