"""Runs that begin where others ended: SFT with new tokens, DPO on it, PPO on that, and their checkpoints rebuilt."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from files.errors import InputError
from lightning_modules.dpo import DPOModule
from lightning_modules.experience import PPOOptions
from lightning_modules.ppo import PPOModule, RolloutOptions
from lightning_modules.sft import SFTModule
from lightning_modules.starting import checkpoint_of, start_model
from lightning_modules.trained import load_trained
from lm.adapters import LoRASpec, PeftSpec
from lm.loading import LMSpec
from tests.unit.lightning_modules.aligned import Letters, dialogue_data, fit, pair_data, prompt_data, trained

IDS = torch.arange(3, 40).unsqueeze(0)
TAGS = ["<TIME-I>", "<TIME-II>"]
SFT = {"prompt_weight": 0.0, "learning_rate": 1e-2, "warmup_steps": 0}


def run_of(module, data, folder):
    fit(module, data, folder, ModelCheckpoint(folder / "checkpoints", save_last=True), max_epochs=1)
    return module


def logits(lm):
    with torch.no_grad():
        return lm(IDS).logits


def adapters():
    scaled = {"target_modules": ["q_proj", "down_proj"], "feedforward_modules": ["down_proj"]}
    return {"full": {}, "lora": {"lora": LoRASpec(r=2)}, "ia3": {"peft": PeftSpec("ia3", scaled)}}


@pytest.mark.parametrize("kind", adapters())
def test_the_next_run_begins_where_the_last_one_ended(tiny_lm_dir, tmp_path, kind):
    spec = LMSpec(str(tiny_lm_dir), **adapters()[kind])
    module = run_of(SFTModule(spec, **SFT), dialogue_data(tmp_path, spec), tmp_path / "sft")
    module.eval()
    ended = logits(module.lm)
    assert not torch.allclose(ended, logits(load_trained(tmp_path / "sft/checkpoints/last.ckpt", spec).base))
    for following in ({}, {"lora": LoRASpec(r=3)}):
        start = start_model(str(tmp_path / "sft"), LMSpec(str(tiny_lm_dir), **following))
        torch.testing.assert_close(logits(start.lm), ended, rtol=1e-4, atol=1e-5)
        names = [name for name, weight in start.lm.named_parameters() if weight.requires_grad]
        assert all(("lora_" in name) == bool(following) for name in names)
    rebuilt = load_trained(tmp_path / "sft/checkpoints/last.ckpt", LMSpec(str(tiny_lm_dir)))
    torch.testing.assert_close(logits(rebuilt.model), ended)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_three_methods_after_one_another_come_back_from_their_checkpoints(tiny_lm_dir, tmp_path):
    spec, adapted = LMSpec(str(tiny_lm_dir)), LMSpec(str(tiny_lm_dir), lora=LoRASpec(r=2))
    run_of(SFTModule(spec, **SFT), dialogue_data(tmp_path, spec), tmp_path / "sft")
    dpo = DPOModule(adapted, learning_rate=1e-2, init_from=str(tmp_path / "sft"))
    run_of(dpo, pair_data(tmp_path, adapted), tmp_path / "dpo")
    ppo = PPOModule(
        adapted, [Letters()], PPOOptions(epochs=1, minibatch=4), RolloutOptions(max_new_tokens=4),
        learning_rate=1e-2, init_from=str(tmp_path / "dpo"),
    )  # fmt: skip
    run_of(ppo, prompt_data(tmp_path, adapted), tmp_path / "ppo")
    for module, name in ((dpo, "dpo"), (ppo, "ppo")):
        again = load_trained(tmp_path / name / "checkpoints/last.ckpt", spec)
        assert again.name == name
        torch.testing.assert_close(logits(again.model), logits(module.eval().lm))
    (tmp_path / "sft/checkpoints/last.ckpt").rename(tmp_path / "sft.ckpt")
    with pytest.raises(InputError, match="holds no trained weights"):
        load_trained(tmp_path / "dpo/checkpoints/last.ckpt", spec)
    run_of(SFTModule(spec, **(SFT | {"learning_rate": 1e-3})), dialogue_data(tmp_path, spec), tmp_path / "sft")
    with pytest.raises(InputError, match="on top of another start"):
        load_trained(tmp_path / "dpo/checkpoints/last.ckpt", spec)


@pytest.mark.parametrize("lora", [None, LoRASpec(r=2)])
def test_new_tokens_are_read_as_one_trained_and_kept(tiny_lm_dir, tmp_path, lora):
    spec = LMSpec(str(tiny_lm_dir), lora=lora, new_tokens=TAGS)
    module = SFTModule(spec, **SFT)
    module.configure_model()
    ids = module.tokenizer.convert_tokens_to_ids(TAGS)
    assert module.tokenizer("<TIME-I> Hi", add_special_tokens=False)["input_ids"][0] == ids[0]
    embedding = module.lm.get_input_embeddings()
    with torch.no_grad():
        before = embedding(torch.arange(max(ids) + 1))
        torch.testing.assert_close(before[ids], before[: ids[0]].mean(0).expand(2, -1))
    data = dialogue_data(tmp_path, spec, stage_tags={"early": TAGS[0]})
    file = data.files["fit"]
    staged = [line.replace("{", '{"stage": "early", ', 1) for line in file.read_text().splitlines()]
    file.write_text("\n".join(staged))
    run_of(module, data, tmp_path / "sft")
    module.eval()
    with torch.no_grad():
        after = module.lm.get_input_embeddings()(torch.arange(max(ids) + 1))
    moved = (after - before).abs().amax(1)
    assert moved[ids[0]] > 1e-3
    assert (moved[: ids[0]] > 0).any() == (lora is None)
    again = load_trained(tmp_path / "sft/checkpoints/last.ckpt", LMSpec(str(tiny_lm_dir), new_tokens=TAGS))
    with torch.no_grad():
        torch.testing.assert_close(again.model.get_input_embeddings()(torch.tensor(ids)), after[ids])
    with pytest.raises(InputError, match="other new tokens"):
        load_trained(tmp_path / "sft/checkpoints/last.ckpt", LMSpec(str(tiny_lm_dir)))


def test_what_cannot_be_a_start_is_refused(tmp_path, tiny_lm_dir):
    with pytest.raises(InputError, match="does not exist"):
        checkpoint_of(str(tmp_path / "none"))
    with pytest.raises(InputError, match="holds no trained weights"):
        checkpoint_of(str(tmp_path))
    for spec, message in (
        (LMSpec(str(tiny_lm_dir), lora=LoRASpec(), peft=PeftSpec("ia3")), "two adapters"),
        (LMSpec(str(tiny_lm_dir), peft=PeftSpec("prefix_tuning")), "no adapter of weights"),
        (LMSpec(str(tiny_lm_dir), peft=PeftSpec("ia3"), new_tokens=TAGS), "cannot train the embeddings"),
        (LMSpec(str(tiny_lm_dir), new_tokens=["<A>", "<A>"]), "must differ"),
    ):
        with pytest.raises(InputError, match=message):
            SFTModule(spec).configure_model()


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("reference", ["precomputed", "copy"])
def test_a_resumed_dpo_run_ends_with_the_same_weights_bit_for_bit(tiny_lm_dir, tmp_path, reference):
    spec = LMSpec(str(tiny_lm_dir))

    def run(folder, ckpt_path=None):
        kept = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=1, save_top_k=-1, filename="{step}")
        module = DPOModule(spec, reference=reference, learning_rate=1e-2)
        return trained(fit(module, pair_data(tmp_path, spec), folder, kept, ckpt_path=ckpt_path))

    straight = run(tmp_path / "straight")
    # In another folder, where nothing is kept of the reference: it is worked out anew, from the start and not from what
    # has been restored.
    resumed = run(tmp_path / "resumed", tmp_path / "kept/step=3.ckpt")
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


@pytest.mark.filterwarnings("ignore:Checkpoint directory", "ignore:Using ModelCheckpoint with manual optimization")
def test_a_resumed_ppo_run_ends_with_the_same_weights_bit_for_bit(tiny_lm_dir, tmp_path):
    spec = LMSpec(str(tiny_lm_dir))

    def run(ckpt_path=None):
        kept = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=1, save_top_k=-1, filename="{step}")
        module = PPOModule(
            spec, [Letters()], PPOOptions(epochs=2, minibatch=2, kl_target=0.5), RolloutOptions(max_new_tokens=6),
            learning_rate=1e-2,
        )  # fmt: skip
        fit(module, prompt_data(tmp_path, spec), tmp_path / "run", kept, ckpt_path=ckpt_path)
        return trained(module)

    straight = run()
    cut = sorted((tmp_path / "kept").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)[1]
    resumed = run(cut)
    assert float(straight["kl_coefficient"]) != PPOOptions().kl_coefficient
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
