"""SFT and DPO against TRL's trainers: every loss of 20 steps on the same records, and the weights after them."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from datamodules.base import ResumableLoader
from datamodules.dialogues import DialogueDataModule
from datamodules.preferences import PreferenceDataModule
from lightning_modules.dpo import DPOModule
from lightning_modules.sft import SFTModule
from lm.adapters import LoRASpec
from lm.loading import LMSpec
from losses.dpo import PairOptions
from tests.parity.trl_runs import ROWS, STEPS, chats, lines, pairs, run_dpo, run_sft

OURS = {"learning_rate": 2e-3, "weight_decay": 0.0, "betas": (0.9, 0.999), "warmup_steps": 0, "final_share": 1.0}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


def in_order(data):
    data.train_loader = lambda items, collate: ResumableLoader(items, data.batch_size, collate, shuffle=False)
    return data


def losses_of(module, data, folder):
    losses = Losses()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, max_steps=STEPS, gradient_clip_val=1.0, default_root_dir=folder,
        use_distributed_sampler=False, callbacks=[losses],
    )  # fmt: skip
    trainer.fit(module, datamodule=in_order(data))
    return torch.tensor(losses.values)


def assert_same_run(module, found, theirs):
    wanted = torch.tensor(theirs.losses)
    assert len(found) == len(wanted) == STEPS
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert (found[0] - found[-5:].mean()).abs() > 1e-2, "nothing was learnt, so nothing was compared"
    ours = {name: weight for name, weight in module.lm.named_parameters() if weight.requires_grad}
    for name, weight in ours.items():
        torch.testing.assert_close(weight.detach(), theirs.weights[name], rtol=1e-3, atol=2e-4, msg=name)


def test_sft_is_trls_step_by_step(tiny_lm_dir, tmp_path):
    theirs = run_sft(tmp_path / "theirs")
    spec = LMSpec(str(tiny_lm_dir))
    file = lines(tmp_path / "chats.jsonl", [{"messages": chat} for chat in chats()])
    module = SFTModule(spec, prompt_weight=0.0, **OURS)
    data = DialogueDataModule(spec, str(file), batch_size=ROWS, max_tokens=512, packing=False)
    assert_same_run(module, losses_of(module, data, tmp_path), theirs)


CASES = [
    ({"loss_type": "sigmoid", "beta": 0.1}, PairOptions("sigmoid", 0.1), "copy"),
    ({"loss_type": "ipo", "beta": 0.5}, PairOptions("ipo", 0.5, length_normalised=True), "precomputed"),
    ({"loss_type": "hinge", "beta": 0.3}, PairOptions("hinge", 0.3), "precomputed"),
    ({"loss_type": "sigmoid_norm", "beta": 2.0}, PairOptions("sigmoid", 2.0, length_normalised=True), "precomputed"),
    ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, PairOptions(sft_weight=0.5), "precomputed"),
]


@pytest.mark.parametrize(("theirs", "ours", "reference"), CASES)
def test_dpo_is_trls_step_by_step(theirs, ours, reference, tiny_lm_dir, tmp_path):
    recorded = run_dpo(tmp_path / "theirs", **theirs)
    spec = LMSpec(str(tiny_lm_dir))
    file = lines(tmp_path / "pairs.jsonl", pairs())
    module = DPOModule(spec, objective=ours, reference=reference, **OURS)
    data = PreferenceDataModule(spec, str(file), batch_size=ROWS, max_tokens=512)
    assert_same_run(module, losses_of(module, data, tmp_path), recorded)


def test_dpo_of_an_adapter_is_trls_step_by_step(tiny_lm_dir, tmp_path):
    from peft import LoraConfig

    spec = LMSpec(str(tiny_lm_dir), lora=LoRASpec(r=4, alpha=8.0))
    file = lines(tmp_path / "pairs.jsonl", pairs())
    module = DPOModule(spec, reference="adapter_off", **OURS)
    module.configure_model()
    start = {name: weight.detach().clone() for name, weight in module.lm.named_parameters() if weight.requires_grad}
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")

    from peft import get_peft_model

    from tests.models import random_model

    model = get_peft_model(random_model("llama"), config)
    model.load_state_dict(start, strict=False)
    recorded = run_dpo(tmp_path / "theirs", model=model)
    data = PreferenceDataModule(spec, str(file), batch_size=ROWS, max_tokens=512)
    assert_same_run(module, losses_of(module, data, tmp_path), recorded)
