"""Supervised fine-tuning: the loss is the library's, a run resumes bit for bit, Muon and AdamW train together."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn.utils import parameters_to_vector

from lightning_modules.optimizers import JointOptimizer, muon_with_adamw
from lightning_modules.sft import SFTModule, summed_loss
from lm.chat import encode_chats
from lm.loading import LMSpec
from lm.packing import packed_batch
from tests.models import byte_tokenizer, random_model
from tests.unit.lightning_modules.aligned import dialogue_data, fit
from tests.unit.lightning_modules.chats import run


def weights_of(module):
    return parameters_to_vector(module.lm.parameters()).detach()


def every_step_kept(folder):
    return ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")


def test_the_loss_of_one_chat_is_the_one_the_library_computes():
    model, tokenizer = random_model("llama"), byte_tokenizer()
    chat = encode_chats(tokenizer, [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]])[0]
    batch = packed_batch([[chat]], len(chat), pad_id=0, usual_targets={"all": 1.0, "assistant": 1.0})
    labels = torch.where(torch.tensor([chat.answer_mask]), batch.input_ids, -100)
    for weights, expected in ((batch.weights(1.0), batch.input_ids), (batch.weights(0.0), labels)):
        mean = model(input_ids=batch.input_ids, labels=expected).loss
        total = summed_loss(model, batch.input_ids, batch.position_ids, weights)
        torch.testing.assert_close(total / weights.sum(), mean)


# The second run goes on in the folder of the first.
@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tiny_lm_dir, tmp_path, optimizer, cut):
    settings = {"module": {"optimizer": optimizer, "prompt_weight": 0.3}}
    straight = run(tiny_lm_dir, tmp_path, **settings)
    kept = tmp_path / "kept"
    run(tiny_lm_dir, tmp_path, every_step_kept(kept), **settings)
    torch.manual_seed(99)
    resumed = run(tiny_lm_dir, tmp_path, every_step_kept(kept), ckpt_path=kept / f"step={cut}.ckpt", **settings)
    assert torch.equal(weights_of(straight), weights_of(resumed))
    assert resumed.trainer.global_step == straight.trainer.global_step == 4


def test_training_lowers_the_loss_and_validation_logs_it(tiny_lm_dir, tmp_path):
    short = run(tiny_lm_dir, tmp_path, batches=2, limit_val_batches=1.0, val_chats=6)
    before = short.trainer.callback_metrics["val/answer_loss"]
    longer = run(tiny_lm_dir, tmp_path, batches=60, limit_val_batches=1.0, val_chats=6)
    assert longer.trainer.callback_metrics["val/answer_loss"] < 0.7 * before
    assert longer.lm.training
    assert "train/gradient_norm" in longer.trainer.callback_metrics


def test_clipping_bounds_the_update(tiny_lm_dir, tmp_path):
    free = run(tiny_lm_dir, tmp_path, batches=2, gradient_clip_val=None)
    clipped = run(tiny_lm_dir, tmp_path, batches=2, gradient_clip_val=1e-9)
    start = parameters_to_vector(random_model("llama").parameters())
    assert (weights_of(clipped) - start).abs().max() < (weights_of(free) - start).abs().max()
    run(tiny_lm_dir, tmp_path, batches=2, gradient_clip_val=0.1, gradient_clip_algorithm="value")


def test_the_joint_optimizer_steps_like_its_parts_and_keeps_their_state():
    def parameters():
        torch.manual_seed(1)
        return [torch.nn.Parameter(torch.randn(4, 6)) for _ in range(2)], [torch.nn.Parameter(torch.randn(5))]

    def step(optimizer, matrices, others, times):
        for _ in range(times):
            optimizer.zero_grad()
            loss = sum((matrix**3).sum() for matrix in matrices) + (others[0] ** 2).sum()
            loss.backward()
            optimizer.step()

    settings = {"learning_rate": 0.1, "matrix_learning_rate": 0.02, "weight_decay": 0.1, "betas": (0.9, 0.95)}
    matrices, others = parameters()
    joint = muon_with_adamw(matrices, others, **settings)
    step(joint, matrices, others, 4)

    again, more = parameters()
    first = muon_with_adamw(again, more, **settings)
    step(first, again, more, 2)
    second = muon_with_adamw(again, more, **settings)
    second.load_state_dict(first.state_dict())
    for group in second.param_groups:
        assert group["lr"] in (0.1, 0.02)
    step(second, again, more, 2)
    assert all(torch.equal(a, b) for a, b in zip([*matrices, *others], [*again, *more], strict=True))

    alone, rest = parameters()
    muon = torch.optim.Muon(alone, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    step(muon, alone, rest, 4)
    assert all(torch.equal(a, b) for a, b in zip(matrices, alone, strict=True))


def test_a_schedulers_rate_reaches_every_part_and_a_closure_is_evaluated_once():
    parameter, other = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    joint = JointOptimizer(torch.optim.SGD([parameter], lr=1.0), torch.optim.SGD([other], lr=1.0))
    for group in joint.param_groups:
        group["lr"] = 0.5
    calls = []

    def closure():
        calls.append(1)
        loss = parameter.sum() + other.sum()
        loss.backward()
        return loss

    joint.step(closure)
    assert len(calls) == 1
    assert parameter.detach().eq(0.5).all()
    assert other.detach().eq(0.5).all()


def test_muon_takes_the_matrices_of_the_blocks_and_leaves_the_embeddings(tiny_lm_dir, tmp_path):
    module = run(tiny_lm_dir, tmp_path, batches=2, module={"optimizer": "muon"})
    optimizer = module.optimizers().optimizer
    hidden = {id(parameter) for group in optimizer.parts[0].param_groups for parameter in group["params"]}
    inside = {name for name, parameter in module.lm.named_parameters() if id(parameter) in hidden}
    assert inside == {
        name for name, parameter in module.lm.named_parameters() if parameter.ndim == 2 and ".layers." in name
    }


def test_a_run_that_steps_have_ended_goes_on_within_its_epoch(tiny_lm_dir, tmp_path):
    """Six batches make an epoch; four steps and five more are nine steps of one run, not the begin of two epochs."""
    spec = LMSpec(str(tiny_lm_dir))

    def trained_for(steps, **more):
        module = SFTModule(spec, warmup_steps=0, final_share=1.0, learning_rate=1e-2)
        return fit(module, dialogue_data(tmp_path, spec, packing=False), tmp_path, max_steps=steps, **more)

    straight, begun = trained_for(9), trained_for(4)
    begun.trainer.save_checkpoint(tmp_path / "four.ckpt")
    went_on = trained_for(9, ckpt_path=tmp_path / "four.ckpt")
    assert went_on.trainer.global_step == 9 and went_on.trainer.current_epoch == straight.trainer.current_epoch
    assert all(torch.equal(value, went_on.state_dict()[name]) for name, value in straight.state_dict().items())
