"""Generated texts: equal to plain greedy decoding, independent of the batch, seeded, and ended where the turn ends."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from files.errors import InputError
from lm.adapters import LoRASpec
from lm.chat import Chat, encode_prompts
from lm.generation import NextTurn, draw_tokens, generate
from lm.loading import LMSpec, load_model
from lm.passes import ForwardRows, Steering
from tests.models import ARCHITECTURES, Architecture, byte_tokenizer, random_model
from tests.unit.lm.test_scoring import _shift, _windowed

TOKENIZER = byte_tokenizer()
PROMPTS: list[Chat] = [
    *([{"role": "user", "content": "hey" * number}] for number in (3, 1, 2, 1)),
    [{"role": "user", "content": "go"}, {"role": "assistant", "content": "I think"}],
]


def _greedy(model: PreTrainedModel, prompt: Chat, steps: int) -> str:
    """Plain decoding of one row, without a cache."""
    [ids] = encode_prompts(TOKENIZER, [prompt])
    new: list[int] = []
    for _ in range(steps):
        whole = torch.tensor([[*ids, *new]])
        with torch.no_grad():
            token = int(model(whole, attention_mask=torch.ones_like(whole)).logits[0, -1].argmax())
        if token == TOKENIZER.eos_token_id:
            break
        new.append(token)
    return TOKENIZER.decode(new, skip_special_tokens=True)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_greedy_text_is_that_of_plain_decoding(arch: Architecture) -> None:
    model = random_model(arch)
    expected = [_greedy(model, prompt, 12) for prompt in PROMPTS]
    for batch_size in (1, 2, 8):
        assert generate(model, TOKENIZER, PROMPTS, max_new_tokens=12, seed=0, batch_size=batch_size) == expected


@pytest.mark.parametrize("arch", ["mistral", "gemma2"])
def test_sliding_windows_see_no_padding(arch: Architecture) -> None:
    model = _windowed(arch)
    expected = [_greedy(model, prompt, 25) for prompt in PROMPTS]
    assert generate(model, TOKENIZER, PROMPTS, max_new_tokens=25, seed=0, batch_size=8) == expected


def test_samples_depend_on_seed_and_prompt_alone() -> None:
    model = random_model()

    def sample(prompts: list[Chat], seed: int, batch_size: int) -> list[str]:
        return generate(
            model, TOKENIZER, prompts, max_new_tokens=12, temperature=1.0, top_p=0.9, seed=seed, batch_size=batch_size
        )

    state = torch.get_rng_state()
    texts = sample(PROMPTS, 1, 8)
    assert torch.equal(torch.get_rng_state(), state)
    assert texts == sample(PROMPTS, 1, 2)
    assert texts[2:3] == sample(PROMPTS[2:3], 1, 1)
    assert texts[1] != texts[3]  # the same prompt twice
    assert texts != sample(PROMPTS, 2, 8)


def test_stored_settings_are_neither_used_nor_changed() -> None:
    model = random_model()
    expected = [_greedy(model, prompt, 12) for prompt in PROMPTS]
    model.generation_config.repetition_penalty = 9.0
    model.generation_config.max_length = 3
    stored = model.generation_config
    assert generate(model, TOKENIZER, PROMPTS, max_new_tokens=12, seed=0, batch_size=8) == expected
    assert model.generation_config is stored and stored.repetition_penalty == 9.0


def _forced(token: int, after: int) -> PreTrainedModel:
    """A model that says a letter `after` times and then a given token for ever."""
    model = random_model()
    letter = TOKENIZER.convert_tokens_to_ids("Q")
    prompt_length = len(encode_prompts(TOKENIZER, PROMPTS[:1])[0])

    def hook(_module, _args, kwargs, output):
        output.logits = torch.full_like(output.logits, -30.0)
        says = letter if int(kwargs["position_ids"].max()) + 1 < prompt_length + after else token
        output.logits[..., says] = 0.0
        return output

    model.register_forward_hook(hook, with_kwargs=True)
    return model


def test_text_ends_at_any_token_that_ends_a_turn() -> None:
    for ends in ("tokenizer", "model", "template"):
        tokenizer = byte_tokenizer()
        model = _forced(TOKENIZER.convert_tokens_to_ids("<|end|>" if ends == "tokenizer" else "Z"), after=3)
        if ends == "model":
            model.generation_config.eos_token_id = [TOKENIZER.convert_tokens_to_ids("Z")]
        if ends == "template":
            tokenizer.add_special_tokens({"additional_special_tokens": ["Z"]})
            tokenizer.chat_template = tokenizer.chat_template.replace("+ '<|end|>'", "+ 'Z'")
        assert generate(model, tokenizer, PROMPTS[:1], max_new_tokens=9, seed=0, batch_size=1) == ["QQQ"]


def test_plain_layout_ends_before_the_next_turn() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    criterion = NextTurn(tokenizer, prompt_width=2)
    texts = {"fine\nuser:": True, "x\nassistant:": True, "fine": False, "user: x": False, "\nuser:" + "qz" * 9: False}
    for text, ended in texts.items():
        ids = torch.tensor([[7, 7, *tokenizer(text)["input_ids"]]])
        assert criterion(ids, torch.empty(0)).tolist() == [ended]
    steps = iter(tokenizer(" ab\nuser: x")["input_ids"] + [7] * 9)
    model = random_model()

    def hook(_module, _args, output):
        output.logits = torch.full_like(output.logits, -30.0)
        output.logits[..., next(steps)] = 0.0
        return output

    model.register_forward_hook(hook)
    assert generate(model, tokenizer, PROMPTS[:1], max_new_tokens=20, seed=0, batch_size=1) == ["ab"]
    assert len(list(steps)) > 9  # decoding stopped as soon as the next turn began


def test_each_row_is_steered_by_its_own_key() -> None:
    model = random_model()
    shifts = torch.tensor([0.0, 0.5, -0.7])
    keys = [0, 1, 2, 1, 0]
    steering = Steering(_shift(model, shifts, []), keys)
    texts = generate(model, TOKENIZER, PROMPTS, max_new_tokens=8, seed=0, batch_size=3, steering=steering)
    for number, key in enumerate(keys):
        rows = ForwardRows(torch.tensor([key]), torch.ones(1, 1), torch.ones(1, 1))
        with _shift(model, shifts, [])(rows):
            assert texts[number] == _greedy(model, PROMPTS[number], 8)


def test_adapted_model_generates_as_its_base(tiny_lm_dir) -> None:
    plain = load_model(LMSpec(str(tiny_lm_dir)))
    adapted = load_model(LMSpec(str(tiny_lm_dir), lora=LoRASpec()))
    texts = [generate(model, TOKENIZER, PROMPTS, max_new_tokens=8, seed=0, batch_size=8) for model in (plain, adapted)]
    assert texts[0] == texts[1]


def test_drawn_tokens_follow_the_probabilities() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]])
    uniform = (torch.arange(20000) + 0.5) / 20000
    for temperature in (0.5, 1.0):
        drawn = draw_tokens(logits.expand(20000, -1), uniform, temperature, 1.0)
        shares = torch.bincount(drawn, minlength=4) / 20000
        torch.testing.assert_close(shares, (logits[0] / temperature).softmax(-1), rtol=0, atol=1e-3)
    kept = draw_tokens(logits.expand(20000, -1), uniform, 1.0, 0.8)
    torch.testing.assert_close(
        torch.bincount(kept, minlength=4) / 20000,
        torch.tensor([0.0, *logits[0, 1:3].softmax(-1).tolist(), 0.0]),
        rtol=0,
        atol=1e-3,
    )


def test_nothing_to_generate() -> None:
    assert generate(random_model(), TOKENIZER, [], max_new_tokens=1, seed=0, batch_size=1) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_new_tokens", 0), ("temperature", -1.0), ("top_p", 0.0), ("top_p", 1.5), ("batch_size", 0)],
)
def test_options_out_of_range(option: str, value: Any) -> None:
    options: dict[str, Any] = {"max_new_tokens": 4, "temperature": 0.0, "top_p": 1.0, "batch_size": 1} | {option: value}
    with pytest.raises(InputError, match=option):
        generate(random_model(), TOKENIZER, PROMPTS, seed=0, **options)


def test_answer_longer_than_the_model_can_write() -> None:
    with pytest.raises(InputError, match="longer than the model can read"):
        generate(random_model(), TOKENIZER, PROMPTS, max_new_tokens=600, seed=0, batch_size=1)


def test_the_same_prompt_is_answered_once_unless_steered_otherwise_or_drawn(tiny_lm: Any) -> None:
    lm, tokenizer = tiny_lm
    rows: list[int] = []
    handle = lm.get_decoder().register_forward_pre_hook(
        lambda _module, args, given: rows.append(len(args[0] if args else given["input_ids"])), with_kwargs=True
    )
    chats: list[Chat] = [[{"role": "user", "content": text}] for text in ("Tea?", "Rain?", "Tea?")]

    def first_pass(**options: Any) -> int:
        rows.clear()
        texts = generate(lm, tokenizer, chats, max_new_tokens=4, seed=0, batch_size=8, **options)
        assert texts[0] == texts[2] or options.get("temperature")
        return rows[0]

    assert first_pass() == 2
    assert first_pass(temperature=1.0) == 3
    assert first_pass(steering=Steering(lambda _: nullcontext(), [0, 1, 0])) == 2
    assert first_pass(steering=Steering(lambda _: nullcontext(), [0, 1, 2])) == 3
    handle.remove()
