"""Likelihoods and choices: equal to one plain forward pass per row, whatever is shared, padded, batched or steered."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from files.errors import InputError
from lm import token_scores
from lm.chat import Chat, encode_continuations
from lm.passes import ForwardRows, Steering
from lm.scoring import choose, log_likelihood
from lm.sites import sites_of
from tests.models import ARCHITECTURES, Architecture, byte_tokenizer, random_model, tiny_config

TOKENIZER = byte_tokenizer()
DESCRIPTION = [{"role": "system", "content": "I am the one in the end. " * 12}]


def _user(text: str) -> Chat:
    return [{"role": "user", "content": text}]


PROMPTS: list[Chat] = [
    *([*DESCRIPTION, *_user(f"question {number}? " * (1 + number % 3))] for number in range(6)),
    *(_user("hey" * number) for number in range(1, 4)),
    _user("hey"),
    [*_user("go"), {"role": "assistant", "content": "I think "}],
]
CONTINUATIONS = [
    "yes",
    "no it is not",
    "A",
    "the answer is the end of it",
    "x",
    "and so",
    "B",
    "q",
    "qqqq",
    "r",
    "that",
]


def _expected(model: PreTrainedModel, prompt: Chat, continuation: str) -> Tensor:
    """Log-probability of each token of a continuation: one row, no padding, no cache."""
    [(ids, [after])] = encode_continuations(TOKENIZER, [prompt], [[continuation]])
    whole = torch.tensor([[*ids, *after]])
    with torch.no_grad():
        log_probs = model(whole, attention_mask=torch.ones_like(whole)).logits[0].log_softmax(-1)
    return torch.stack([log_probs[len(ids) + place - 1, token] for place, token in enumerate(after)])


def _windowed(arch: Architecture) -> PreTrainedModel:
    """A model whose sliding window is shorter than the prompts."""
    config = tiny_config(arch)
    config.sliding_window = 20
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def _assert_scores(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_row_scores_as_it_does_alone(arch: Architecture, batch_size: int) -> None:
    model = random_model(arch)
    result = log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=batch_size)
    expected = [_expected(model, *pair) for pair in zip(PROMPTS, CONTINUATIONS, strict=True)]
    _assert_scores(result.per_token, expected)
    torch.testing.assert_close(result.total, torch.stack([row.sum() for row in expected]), rtol=1e-5, atol=1e-4)
    assert result.tokens.tolist() == [len(row) for row in expected]


@pytest.mark.parametrize("arch", ["mistral", "gemma2", "phi3"])
def test_sliding_windows_see_no_padding(arch: Architecture) -> None:
    model = _windowed(arch)
    for batch_size in (1, 32):
        result = log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=batch_size)
        _assert_scores(result.per_token, [_expected(model, *pair) for pair in zip(PROMPTS, CONTINUATIONS, strict=True)])


def test_a_description_before_many_questions_is_computed_once() -> None:
    model = random_model()
    seen: list[int] = []
    handle = model.get_decoder().register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    prompts = [[*DESCRIPTION, *_user(f"{number}?")] for number in range(40)]
    choose(model, TOKENIZER, prompts, [["A", "B"]] * 40, batch_size=8)
    handle.remove()
    once = len(encode_continuations(TOKENIZER, prompts[:1], [[]])[0][0])
    assert sum(seen) < once + 40 * 8


def test_order_of_rows_does_not_matter() -> None:
    model = random_model()
    straight = log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=4)
    back = log_likelihood(model, TOKENIZER, PROMPTS[::-1], CONTINUATIONS[::-1], batch_size=4)
    _assert_scores(back.per_token[::-1], straight.per_token)


def test_logits_are_cut_into_affordable_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    whole = log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=32)
    monkeypatch.setattr(token_scores, "_LOGITS_AT_ONCE", 1)
    monkeypatch.setattr(token_scores, "_FLOATS_AT_ONCE", 1)
    _assert_scores(log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=32).per_token, whole.per_token)


def test_the_model_is_left_as_it_was() -> None:
    model = random_model()
    model.train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    log_likelihood(model, TOKENIZER, PROMPTS[:2], CONTINUATIONS[:2], batch_size=2)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_choices_agree_with_full_continuations(arch: Architecture) -> None:
    model = random_model(arch)
    options = [["the end", "the rest", "no"], ["A", "B", "C"], ["(A)", "(B)"], ["yes", "yes and no"]]
    prompts = PROMPTS[4:8]
    full = choose(model, TOKENIZER, prompts, options, batch_size=3, mode="full")
    for row, (prompt, texts) in enumerate(zip(prompts, options, strict=True)):
        totals = torch.stack([_expected(model, prompt, text).sum() for text in texts])
        torch.testing.assert_close(full.log_probs[row, : len(texts)], totals, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(full.probabilities[row, : len(texts)], totals.softmax(-1), rtol=1e-4, atol=1e-5)
        assert full.probabilities[row, len(texts) :].tolist() == [0.0] * (3 - len(texts))
    auto = choose(model, TOKENIZER, prompts, options, batch_size=3)
    # Single letters: the first token is the whole option. Options that share it: whole options are compared.
    for row in (1, 3):
        torch.testing.assert_close(auto.log_probs[row], full.log_probs[row])
    torch.testing.assert_close(auto.mass_outside[1], 1 - auto.log_probs[1].exp().sum())
    # "(A)" and "(B)": what both begin with belongs to the prompt.
    opened = [*prompts[2], {"role": "assistant", "content": "("}]
    first = torch.stack([_expected(model, opened, text)[0] for text in ("A", "B")])
    torch.testing.assert_close(auto.log_probs[2, :2], first, rtol=1e-5, atol=1e-5)


def test_a_single_option() -> None:
    result = choose(random_model(), TOKENIZER, PROMPTS[:1], [["yes"]], batch_size=2)
    assert result.probabilities.tolist() == [[1.0]]
    torch.testing.assert_close(result.log_probs[0, 0], _expected(random_model(), PROMPTS[0], "yes").sum())


def test_nothing_to_score() -> None:
    assert log_likelihood(random_model(), TOKENIZER, [], [], batch_size=2).total.shape == (0,)
    assert choose(random_model(), TOKENIZER, [], [], batch_size=2).probabilities.shape == (0, 0)


def _shift(model: PreTrainedModel, shifts: Tensor, seen: list[Tensor]):
    """Steering that adds the shift of its key to every token of a row, at layer 0."""

    @contextmanager
    def enter(rows: ForwardRows) -> Iterator[None]:
        seen.append(rows.keys)
        assert rows.answer_mask.shape[0] == len(rows.keys)

        def hook(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + shifts[rows.keys][:, None, None]

        handle = sites_of(model).block(0).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    return enter


def test_rows_are_steered_by_their_own_key() -> None:
    model = random_model()
    shifts = torch.tensor([0.0, 0.5, -0.7])
    keys = [number % 3 for number in range(len(PROMPTS))]
    seen: list[Tensor] = []
    steering = Steering(_shift(model, shifts, seen), keys)
    result = log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=4, steering=steering)
    assert any(len(set(rows.tolist())) > 1 for rows in seen)
    for number, key in enumerate(keys):
        with _shift(model, shifts, [])(ForwardRows(torch.tensor([key]), torch.ones(1, 1), torch.ones(1, 1))):
            expected = _expected(model, PROMPTS[number], CONTINUATIONS[number])
        torch.testing.assert_close(result.per_token[number], expected, rtol=1e-5, atol=1e-5)


def test_half_precision_scores_are_taken_in_float32() -> None:
    model = random_model().to(torch.bfloat16)
    result = log_likelihood(model, TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=4)
    assert result.total.dtype == torch.float32
    expected = log_likelihood(random_model(), TOKENIZER, PROMPTS, CONTINUATIONS, batch_size=4)
    torch.testing.assert_close(result.total, expected.total, rtol=2e-2, atol=1e-1)


@pytest.mark.parametrize(
    ("options", "mode", "message"),
    [
        ([[]], "auto", "without options"),
        ([["A", "A"]], "auto", "the same text"),
        ([["yes", "yes and no"]], "first", "do not differ in one token"),
    ],
)
def test_options_that_cannot_be_compared(
    options: list[list[str]], mode: Literal["auto", "first"], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        choose(random_model(), TOKENIZER, PROMPTS[:1], options, batch_size=1, mode=mode)


def test_refusals() -> None:
    model = random_model()
    with pytest.raises(InputError, match="longer than the model can read"):
        log_likelihood(model, TOKENIZER, [_user("x" * 600)], ["y"], batch_size=1)
    with pytest.raises(InputError, match="batch_size"):
        log_likelihood(model, TOKENIZER, PROMPTS[:1], ["y"], batch_size=0)
    with pytest.raises(InputError, match="differ in number"):
        log_likelihood(model, TOKENIZER, PROMPTS, ["y"], batch_size=1)
    with pytest.raises(ValueError, match="one steering key per prompt"):
        log_likelihood(
            model, TOKENIZER, PROMPTS[:1], ["y"], batch_size=1, steering=Steering(_shift(model, torch.zeros(1), []), [])
        )
