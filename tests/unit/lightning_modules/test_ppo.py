"""PPO learns what is rewarded, with a value head and with groups; rewards that mean nothing end the run."""

import math

import pytest
import torch

from files.errors import InputError
from lightning_modules.experience import PPOOptions
from lightning_modules.ppo import PPOModule, RolloutOptions
from lightning_modules.rewards import CallableReward, QuestionnaireReward, Reward, total_reward
from lm.adapters import LoRASpec
from lm.chat import encode_prompts
from lm.loading import LMSpec
from lm.prompt_batch import PromptBatch, roll_out
from lm.target_log_probs import target_log_probs
from tests.models import byte_tokenizer, random_model
from tests.unit.lightning_modules.aligned import Letters, fit, prompt_data, trained

ASKED = [[{"role": "user", "content": text}] for text in ("the song", "I", "in the rain and the")]


class NotANumber(Reward):
    def score(self, prompts, answers, records):
        return [math.nan] * len(answers)


class TooFew(Reward):
    def score(self, prompts, answers, records):
        return [1.0]


def count_letters(prompts, answers, records):
    return [float(len(text)) for text in answers]


def scores_of(module, batch, times=16):
    """Rewards of many answers to each prompt, drawn with the same numbers every time."""
    batch = batch.repeated(times)
    rollout = roll_out(
        module.lm, module.tokenizer, batch.prompts, max_new_tokens=8, temperature=1.0, top_p=1.0, seed=5, batch_size=192
    )
    return total_reward(module.rewards, batch, rollout.texts)[0]


@pytest.mark.parametrize("options", [PPOOptions(minibatch=8), PPOOptions("group", group_size=4, minibatch=8)])
@pytest.mark.parametrize("lora", [None, LoRASpec(r=4)])
def test_what_is_rewarded_becomes_likelier_and_divergence_is_held(tiny_lm_dir, tmp_path, options, lora):
    spec = LMSpec(str(tiny_lm_dir), lora=lora)
    module = PPOModule(
        spec, [Letters()], options, RolloutOptions(max_new_tokens=8), "adapter_off" if lora else "copy",
        learning_rate=2e-2 if lora else 3e-3, value_learning_rate=1e-2,
    )  # fmt: skip
    module.configure_model()
    data = prompt_data(tmp_path, spec, batch_size=12)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    before = scores_of(module, batch)
    start = trained(module)
    fit(module, prompt_data(tmp_path, spec, batch_size=12), tmp_path, max_epochs=12 if lora else 6)
    after = scores_of(module, batch)
    # The standard error of a difference of two means.
    chance = (before.var() / len(before) + after.var() / len(after)).sqrt()
    assert after.mean() - before.mean() > 3 * chance
    metrics = module.trainer.callback_metrics
    assert {"train/reward", "train/kl", "train/policy_loss", "train/reward/letters"} <= metrics.keys()
    assert 0 < float(metrics["train/kl"]) < 20
    assert not module.lm.training
    assert ("value_head.weight" in start) == (options.advantage == "gae")
    names = [name for name in start if name.startswith("lm.")]
    assert all(("lora_" in name) == (lora is not None) for name in names)


def test_the_learning_rates_fall_to_their_share(tiny_lm_dir, tmp_path):
    module = PPOModule(
        LMSpec(str(tiny_lm_dir)), [Letters()], PPOOptions(minibatch=4, epochs=2), RolloutOptions(max_new_tokens=2),
        learning_rate=1e-3, value_learning_rate=1e-2, warmup_steps=2, final_share=0.1,
    )  # fmt: skip
    module.configure_model()
    fit(module, prompt_data(tmp_path, module.lm_spec, batch_size=12), tmp_path, max_steps=12)
    assert module.trainer.global_step == 12
    rates = {group["initial_lr"]: group["lr"] for group in module.trainer.optimizers[0].param_groups}
    assert rates == pytest.approx({1e-3: 1e-4, 1e-2: 1e-3})


def test_answers_are_laid_out_as_they_were_written():
    model, tokenizer = random_model("llama"), byte_tokenizer()
    settings = {"max_new_tokens": 6, "temperature": 1.0, "top_p": 1.0, "seed": 3}
    together = roll_out(model, tokenizer, ASKED * 2, batch_size=6, **settings)
    alone = roll_out(model, tokenizer, ASKED * 2, batch_size=1, **settings)
    assert together.texts == alone.texts
    assert together.texts[:3] != together.texts[3:], "equal prompts draw different numbers"
    for row, prompt in enumerate(encode_prompts(tokenizer, ASKED * 2)):
        ids, targets = together.input_ids[row], together.target_mask[row]
        assert ids[: len(prompt)].tolist() == prompt
        assert not targets[: len(prompt)].any()
        assert int(targets.sum()) == int(together.answer_mask[row].sum()) <= 6
        assert bool(together.ended[row]) == (int(ids[targets][-1]) == tokenizer.eos_token_id)
    with torch.no_grad():
        values = together.by_answer(target_log_probs(model, together.input_ids, together.target_mask))
        first = model(together.input_ids[:1]).logits.log_softmax(-1)
    start = int(together.target_mask[0].long().argmax())
    assert float(values[0, 0]) == pytest.approx(float(first[0, start - 1, together.input_ids[0, start]]), abs=1e-5)


def test_rewards_are_weighted_and_summed():
    batch = PromptBatch(tuple(ASKED[:2]), ({"answer": 5}, {"answer": 1}))
    rewards = [QuestionnaireReward(weight=2.0), CallableReward(f"{__name__}.count_letters", weight=0.5)]
    for reward in rewards:
        reward.prepare()
    total, means = total_reward(rewards, batch, ["A", "B."])
    # "A" is 5 points for a person who answered 5; "B" is 4 for one who answered 1: 1 - 3 / 2.
    assert total.tolist() == [2.0 * 1.0 + 0.5, 2.0 * -0.5 + 1.0]
    assert means == {"questionnaire": 0.25, "count_letters": 1.5}


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ([NotANumber()], "reward notanumber is no number"),
        ([TooFew()], "not one number per answer"),
        ([CallableReward("no_such_module.reward")], "names no function"),
        ([CallableReward("math.pi")], "names no function"),
        ([CallableReward("loose")], "names no function"),
        ([], "nothing is rewarded"),
    ],
)
def test_faulty_rewards_end_the_run_with_their_name(tiny_lm_dir, tmp_path, rewards, message):
    spec = LMSpec(str(tiny_lm_dir))
    module = PPOModule(spec, rewards, rollouts=RolloutOptions(max_new_tokens=2))
    with pytest.raises(InputError, match=message):
        fit(module, prompt_data(tmp_path, spec), tmp_path)


def test_prompts_without_a_persons_answer_are_refused():
    with pytest.raises(InputError, match="do not say what the person answered"):
        QuestionnaireReward().score(ASKED[:1], ["A"], [{"stage": "early"}])


@pytest.mark.parametrize(
    "options",
    [
        PPOOptions("group"), PPOOptions(epochs=0), PPOOptions(clip=0.0), PPOOptions(lam=1.5),
        PPOOptions(kl_coefficient=-1.0), PPOOptions(kl_target=0.0),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options, tiny_lm_dir):
    with pytest.raises(InputError, match="out of range"):
        PPOModule(LMSpec(str(tiny_lm_dir)), [Letters()], options).configure_model()


def test_without_an_adapter_there_is_none_to_switch_off(tiny_lm_dir):
    with pytest.raises(InputError, match="no adapter to switch off"):
        PPOModule(LMSpec(str(tiny_lm_dir)), [Letters()], reference="adapter_off").configure_model()


@pytest.mark.parametrize(
    "settings", [{"learning_rate": -1.0}, {"value_learning_rate": -1.0}, {"warmup_steps": -1}, {"betas": (0.9, 1.0)}]
)
def test_an_optimizer_that_means_nothing_is_refused_before_a_model_is_loaded(settings):
    [name] = settings
    with pytest.raises(InputError) as caught:
        PPOModule(LMSpec("no-such-folder"), [Letters()], **settings)
    assert caught.value.field == f"model.init_args.{name}"
