"""PPO against one update of trl 1.12.0's trainer, recorded by `record_ppo.py`: advantages, losses and weights."""

import json

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from lightning_modules.experience import PPOOptions, judged, predicted
from lightning_modules.ppo import PPOModule
from lightning_modules.rewards import Reward
from lm.loading import LMSpec
from lm.passes import evaluating
from lm.prompt_batch import PromptBatch, laid_out
from losses.ppo import generalised_advantages, kl_estimate, whitened
from tests.models import random_model
from tests.parity.record_ppo import FIXTURE, POLICY, REFERENCE, sample, score_row

RECORDED = json.loads(FIXTURE.read_text())
GIVEN, RUNS = RECORDED["settings"], RECORDED["runs"]
OPTIONS = PPOOptions(
    epochs=GIVEN["num_ppo_epochs"],
    minibatch=len(RUNS["full"]["answers"]) // GIVEN["num_mini_batches"],
    clip=GIVEN["cliprange"],
    value_clip=GIVEN["cliprange_value"],
    value_weight=GIVEN["vf_coef"],
    gamma=GIVEN["gamma"],
    lam=GIVEN["lam"],
    kl_coefficient=GIVEN["kl_coef"],
)
PRECISE = {"rtol": 1e-5, "atol": 1e-5}


class Nothing(Reward):
    def score(self, prompts, answers, records):
        return [0.0] * len(answers)


def rollout_of(run):
    ended = torch.ones(len(run["answers"]), dtype=torch.bool)
    return laid_out(run["prompts"], run["answers"], [""] * len(ended), ended, pad_id=0)


def value_head():
    head = torch.nn.Linear(len(score_row()), 1)
    head.weight.data.copy_(score_row().unsqueeze(0))
    head.bias.data.zero_()
    return head


class OneUpdate(PPOModule):
    """Learns from the recorded answers, in the recorded order, in place of its own."""

    def configure_model(self):
        if self.model_hash is None:
            super().configure_model()
            self.value_head = value_head()
            self.value_head.bias.requires_grad_(False)
            self._copy = [random_model("llama", seed=REFERENCE).requires_grad_(False)]

    def collect(self, batch):
        run = RUNS["full"]
        rollout = rollout_of(run)
        with evaluating(self.lm):
            old = predicted(self.lm, self.value_head, rollout, 1.0)
            reference = predicted(self._copy[0], None, rollout, 1.0).log_probs
        return judged(rollout, old, reference, torch.tensor(run["scores"]), self.ppo.kl_coefficient, self.ppo), {}

    def orders(self, answers):
        return [torch.tensor(order) for order in RUNS["full"]["orders"]]

    def update(self, experience):
        self.losses = super().update(experience)
        self.experience = experience
        return self.losses


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ppo")
    random_model("llama", seed=POLICY).save_pretrained(folder / "lm")
    from tests.models import byte_tokenizer

    byte_tokenizer().save_pretrained(folder / "lm")
    module = OneUpdate(
        LMSpec(str(folder / "lm")), [Nothing()], OPTIONS, learning_rate=GIVEN["learning_rate"], gradient_clip=None
    )
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, max_epochs=1, default_root_dir=folder,
    )  # fmt: skip
    once = DataLoader([PromptBatch((), ())], batch_size=None, collate_fn=lambda batch: batch)
    trainer.fit(module, train_dataloaders=once)
    return module


def test_log_probabilities_values_and_advantages_are_those_recorded(module):
    run, found = RUNS["full"], module.experience
    for ours, theirs in (
        (found.log_probs, run["log_probs"]),
        (found.reference, run["reference"]),
        (found.values, run["values"]),
        (found.advantages, run["whitened"]),
    ):
        torch.testing.assert_close(ours, torch.tensor(theirs), **PRECISE)
    raw = found.returns - found.values
    torch.testing.assert_close(raw, torch.tensor(run["advantages"]), **PRECISE)
    torch.testing.assert_close(float(found.kl.mean()), run["kl"], **PRECISE)


def test_the_losses_and_the_weights_after_one_update_are_those_recorded(module):
    run = RUNS["full"]
    names = {"policy_loss": "loss/policy_avg", "value_loss": "loss/value_avg", "clipped": "policy/clipfrac_avg"}
    for ours, theirs in names.items():
        torch.testing.assert_close(module.losses[ours], run["losses"][theirs], **PRECISE)
    trained = dict(module.lm.named_parameters()) | {"value_head": module.value_head.weight}
    start = random_model("llama", seed=POLICY)
    for name, recorded in run["weights"].items():
        torch.testing.assert_close(torch.tensor(sample(trained[name])), torch.tensor(recorded), **PRECISE, msg=name)
    moved = max(float((trained[n] - w).detach().abs().max()) for n, w in start.named_parameters())
    assert moved > GIVEN["learning_rate"], "nothing was learnt, so nothing was compared"


def test_answers_that_end_early_get_the_recorded_advantages():
    run = RUNS["ragged"]
    answers = torch.tensor(run["answers"])
    mask = torch.tensor(run["mask"])
    assert not mask.all()
    kl = kl_estimate(torch.tensor(run["log_probs"]), torch.tensor(run["reference"])) * mask
    rewards = -GIVEN["kl_coef"] * kl
    lengths = mask.sum(1)
    # The recorded trainer rewards, and goes on valuing, the place after the end token; ours ends with that token.
    end = torch.where(lengths < answers.shape[1], lengths, lengths - 1)
    rewards[torch.arange(len(end)), end] += torch.tensor(run["scores"]).flatten()
    known = torch.arange(answers.shape[1]) <= lengths.unsqueeze(1)
    values = torch.tensor(run["values"]) * known
    advantages = generalised_advantages(rewards, values, GIVEN["gamma"], GIVEN["lam"])
    torch.testing.assert_close(advantages, torch.tensor(run["advantages"]), **PRECISE)
    torch.testing.assert_close(whitened(advantages, mask) * mask, torch.tensor(run["whitened"]) * mask, **PRECISE)
