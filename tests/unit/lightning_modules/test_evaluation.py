"""Evaluations: base against method, results, resuming, and answers that do not depend on batches."""

import json
import math

import pytest
import torch
from lightning.pytorch import Callback

from files.errors import InputError
from interventions.weights import LowRank, LowRankEdit
from lm.loading import LMSpec, load_model, load_tokenizer
from lm.sites import sites_of
from tests.editing import evaluate_edits, write_edit_data

ROW_KEYS = (
    "schema benchmark method model persona metric value ci_low ci_high n base_value seed versions commit data_hash "
    "judge cost seconds peak_memory_mb"
).split()


class Nudge(Callback):
    """A method for tests: a random edit of one weight per record, and words before the question if asked for."""

    def __init__(self, strength: float = 1.0, words: str = "", fail_after: int | None = None) -> None:
        self.strength, self.words, self.fail_after, self.batches = strength, words, fail_after, 0

    def on_test_start(self, trainer, pl_module):
        pl_module.adopt("nudge", {"strength": self.strength, "words": self.words})
        self.path = sites_of(pl_module.lm).editable_weights(1)["up"][0]

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if pl_module.is_done(batch):
            return
        if self.fail_after is not None and self.batches >= self.fail_after:
            raise RuntimeError("killed")
        self.batches += 1
        layer = pl_module.lm.get_submodule(self.path)
        rows = []
        for order in batch.questions.order:
            generator = torch.Generator().manual_seed(order)
            rows.append([torch.randn(1, width, generator=generator) for width in reversed(layer.weight.shape)])
        u, v = (torch.stack(part) for part in zip(*rows, strict=True))
        edit = LowRankEdit({self.path: LowRank(u, v, 0.1 * self.strength)})
        system = [{"role": "system", "content": self.words}] if self.words else []
        pl_module.steer(edit, batch.questions.rewritten(lambda _, chat: system + chat))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_edit_data(tmp_path_factory.mktemp("edit-data"))


def results(root):
    return json.loads((root / "results.json").read_text(encoding="utf-8"))


def figures(root):
    return {row["metric"]: row for row in results(root)}


def test_without_a_method_every_figure_is_the_base_models(tiny_lm_dir, data, tmp_path):
    evaluate_edits(tiny_lm_dir, data, tmp_path)
    rows = figures(tmp_path)
    assert {row["method"] for row in rows.values()} == {"none"}
    assert all(row["value"] == row["base_value"] for row in rows.values())
    assert rows["drawdown"]["value"] == 0.0
    assert rows["z_topic"]["value"] == 1.0


def test_results_hold_the_agreed_keys_and_one_plain_row_per_metric(tiny_lm_dir, data, tmp_path):
    module = evaluate_edits(tiny_lm_dir, data, tmp_path, [Nudge()], seed=3)
    rows = results(tmp_path)
    assert all(list(row) == ROW_KEYS for row in rows)
    plain = [row for row in rows if "/" not in row["metric"]]
    assert {row["persona"] for row in plain} == {"all"}
    assert len({row["metric"] for row in plain}) == len(plain)
    assert {"edit_success", "drawdown", "coherent_rate", "edit_success_as_released"} <= {r["metric"] for r in plain}
    traits = {row["metric"]: row["persona"] for row in rows if row["metric"].startswith("edit_success/")}
    assert traits == {f"edit_success/{t}": f"{t}+" for t in ("extraversion", "agreeableness", "neuroticism")}
    success = figures(tmp_path)["edit_success"]
    assert success["ci_low"] <= success["value"] <= success["ci_high"]
    assert (success["n"], success["seed"], success["method"]) == (5, 3, "nudge")
    assert success["commit"] and success["data_hash"] and success["versions"]["torch"]
    assert success["seconds"] > 0 and success["peak_memory_mb"] > 0 and success["cost"] is None
    assert figures(tmp_path)["drawdown"]["value"] > 0.0 == figures(tmp_path)["drawdown"]["base_value"]
    assert module.trainer.callback_metrics["test/edit_success"].item() == pytest.approx(success["value"])
    assert not (tmp_path / "unfinished").exists()
    assert len((tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()) == 5
    assert "edit_success" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "before:" in (tmp_path / "samples.md").read_text(encoding="utf-8")


def test_strength_zero_is_the_base_model(tiny_lm_dir, data, tmp_path):
    evaluate_edits(tiny_lm_dir, data, tmp_path, [Nudge(0.0)])
    rows = figures(tmp_path)
    assert rows["drawdown"]["value"] == 0.0
    assert all(row["value"] == row["base_value"] for row in rows.values())


def test_neither_batches_nor_rows_change_a_figure(tiny_lm_dir, data, tmp_path):
    for name, batch_size, rows in (("a", 1, 1), ("b", 2, 7), ("c", 5, 64)):
        evaluate_edits(tiny_lm_dir, data, tmp_path / name, [Nudge()], rows=rows, data={"batch_size": batch_size})
    first, *others = (figures(tmp_path / name) for name in "abc")
    for other in others:
        for metric, row in first.items():
            assert math.isclose(row["value"], other[metric]["value"], rel_tol=1e-4, abs_tol=1e-5), metric


def test_edit_success_agrees_with_a_plain_computation(tiny_lm_dir, data, tmp_path):
    """One record, row by row, without batches, padding or windows."""
    evaluate_edits(tiny_lm_dir, data, tmp_path, [Nudge(words="Be loud.")], data={"batch_size": 5})
    line = json.loads((tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()[0])
    model, tokenizer = load_model(LMSpec(str(tiny_lm_dir))), load_tokenizer(LMSpec(str(tiny_lm_dir)))
    from datamodules.personality_edit import EditDataModule

    module = EditDataModule(LMSpec(str(tiny_lm_dir)), str(data))
    module.setup("test")
    questions = module.batchers["test"].batch([0]).questions
    sums: dict[str, list[float]] = {"target": [], "other": []}
    for question in (q for q in questions.likelihoods if q.part != "elsewhere"):
        text = f"<|bos|><|user|>{question.prompt[0]['content']}<|end|><|assistant|>"
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        answer = tokenizer(f"{question.answer}<|end|>", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            log_probs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        sums[question.part] += [log_probs[len(prompt) + k - 1, token].item() for k, token in enumerate(answer)]
    target, other = (sum(values) / len(values) for values in sums.values())
    assert line["base"]["mean_logp_target"] == pytest.approx(target, rel=1e-4)
    assert line["base"]["mean_logp_other"] == pytest.approx(other, rel=1e-4)
    assert line["base"]["edit_success"] == pytest.approx(1 / (1 + math.exp(other - target)), rel=1e-4)
    assert line["values"]["drawdown"] > 0


def test_a_killed_evaluation_goes_on_and_ends_the_same(tiny_lm_dir, data, tmp_path):
    evaluate_edits(tiny_lm_dir, data, tmp_path / "straight", [Nudge()])
    with pytest.raises(RuntimeError, match="killed"):
        evaluate_edits(tiny_lm_dir, data, tmp_path / "cut", [Nudge(fail_after=2)])
    part = next((tmp_path / "cut" / "unfinished").glob("*.jsonl"))
    part.write_bytes(part.read_bytes() + b'{"fingerprint": "cut off in the mid')
    assert not (tmp_path / "cut" / "results.json").exists()
    rest = Nudge()
    evaluate_edits(tiny_lm_dir, data, tmp_path / "cut", [rest])
    assert rest.batches == 1
    for straight, resumed in zip(results(tmp_path / "straight"), results(tmp_path / "cut"), strict=True):
        for measured in ("seconds", "peak_memory_mb"):
            straight.pop(measured), resumed.pop(measured)
        assert straight == resumed


def test_other_settings_do_not_reuse_what_was_kept(tiny_lm_dir, data, tmp_path):
    with pytest.raises(RuntimeError, match="killed"):
        evaluate_edits(tiny_lm_dir, data, tmp_path, [Nudge(fail_after=2)])
    again = Nudge(strength=0.5)
    evaluate_edits(tiny_lm_dir, data, tmp_path, [again])
    assert again.batches == 3


def test_a_finished_run_is_done_again_and_replaced(tiny_lm_dir, data, tmp_path):
    evaluate_edits(tiny_lm_dir, data, tmp_path, [Nudge()])
    again = Nudge(strength=2.0)
    before = figures(tmp_path)["drawdown"]["value"]
    evaluate_edits(tiny_lm_dir, data, tmp_path, [again])
    assert again.batches == 3 and figures(tmp_path)["drawdown"]["value"] > before


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_two_processes_find_the_same(tiny_lm_dir, data, tmp_path):
    for name, processes in (("one", 1), ("two", 2)):
        evaluate_edits(tiny_lm_dir, data, tmp_path / name, [Nudge()], processes=processes)
    one, two = (figures(tmp_path / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for metric, row in one.items():
        for key in ("value", "base_value", "ci_low", "ci_high"):
            assert (row[key] is None) == (two[metric][key] is None)
            assert row[key] is None or math.isclose(row[key], two[metric][key], rel_tol=1e-4, abs_tol=1e-5), metric
    assert not (tmp_path / "two" / "unfinished").exists()


def test_the_model_is_untouched_after_an_evaluation(tiny_lm_dir, data, tmp_path):
    module = evaluate_edits(tiny_lm_dir, data, tmp_path, [Nudge()])
    fresh = load_model(LMSpec(str(tiny_lm_dir)))
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), module.lm.parameters(), strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.lm.modules())


def test_records_without_opinions_to_compare_are_counted(tiny_lm_dir, tmp_path):
    data = write_edit_data(tmp_path / "data", 4)
    records = json.loads((data / "test.json").read_text())
    for record in records[:2]:
        record[record["target_per"]] = record[record["target_per"]][:1]  # the only one is what the edit is made from
    (data / "test.json").write_text(json.dumps(records))
    evaluate_edits(tiny_lm_dir, data, tmp_path / "run")
    rows = figures(tmp_path / "run")
    assert rows["edit_success"]["n"] == 2 and rows["empty_records"]["value"] == 2
    assert rows["drawdown"]["n"] == 4


def test_a_data_module_without_a_benchmark_is_refused(tiny_lm_dir, tmp_path):
    from lightning.pytorch import LightningDataModule, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from lightning_modules.evaluation import EvalModule

    class Plain(LightningDataModule):
        def test_dataloader(self):
            return DataLoader(TensorDataset(torch.ones(1)))

    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    with pytest.raises(InputError, match="the data module is no benchmark"):
        trainer.test(EvalModule(LMSpec(str(tiny_lm_dir))), datamodule=Plain())
