"""Phases and positions against passes in which each token's share is written out."""

import pytest
import torch

from files.errors import InputError
from interventions.applied import Intervention, applied
from interventions.limited import Limited
from interventions.places import places_of
from interventions.recorded import recorded
from lm.passes import ForwardRows, Steering
from lm.scoring import log_likelihood
from tests.models import byte_tokenizer, random_model
from tests.unit.interventions.steered import add_direction, batch, logits, shift_heads, texts


class Masked(Intervention):
    """Acts on tokens that a test names."""

    def __init__(self, inner, mask):
        self.inner, self.mask = inner, mask

    @property
    def sites(self):
        return self.inner.sites

    def edit(self, site, entering, leaving):
        return torch.where(self.mask.unsqueeze(-1), self.inner.edit(site, entering, leaving), leaving)


def chosen(prompt, answer, phase, positions):
    """Which of a row's tokens are meant, spelled out."""
    tokens = [("prompt", "last" if place == prompt - 1 else "all_but_last") for place in range(prompt)]
    tokens += [("generated", "last")] * answer
    return [phase in ("all", kind) and positions in ("all", place) for kind, place in tokens]


def written_out(prompts, answers, width, phase, positions, side):
    mask = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        start = width - prompt - answer if side == "left" else 0
        mask[row, start : start + prompt + answer] = torch.tensor(chosen(prompt, answer, phase, positions))
    return mask


@pytest.mark.parametrize("positions", ["all", "last", "all_but_last"])
@pytest.mark.parametrize("phase", ["all", "prompt", "generated"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_prompts_and_given_answers_in_one_pass(side, phase, positions):
    model, rows = random_model(), texts()
    shift = shift_heads(places_of(model))
    given = batch(rows, side)
    lengths = [len(row) for row in rows]
    answers = [4, 0, 2]
    answer_mask = torch.zeros_like(given["attention_mask"], dtype=torch.bool)
    for row, (length, answer) in enumerate(zip(lengths, answers, strict=True)):
        end = answer_mask.shape[1] if side == "left" else length
        answer_mask[row, end - answer : end] = True
    known = ForwardRows(torch.arange(3), given["attention_mask"], answer_mask)
    got = logits(model, given, Limited(shift, phase=phase, positions=positions).for_pass(known))
    prompts = [length - answer for length, answer in zip(lengths, answers, strict=True)]
    mask = written_out(prompts, answers, answer_mask.shape[1], phase, positions, side)
    torch.testing.assert_close(got, logits(model, given, Masked(shift, mask)))


@pytest.mark.parametrize("positions", ["all", "last", "all_but_last"])
@pytest.mark.parametrize("phase", ["prompt", "generated"])
@pytest.mark.parametrize(("cache", "use_cache"), [(None, True), (None, False), ("static", True)])
def test_generation(cache, use_cache, phase, positions):
    model, rows = random_model(), texts()
    model.generation_config.eos_token_id = None
    shift = shift_heads(places_of(model))
    given = batch(rows, "left")
    with applied(model, Limited(shift, phase=phase, positions=positions)):
        output = model.generate(
            given["input_ids"],
            attention_mask=given["attention_mask"],
            max_new_tokens=4,
            do_sample=False,
            use_cache=use_cache,
            cache_implementation=cache,
            return_dict_in_generate=True,
            output_logits=True,
        )
    whole = batch([torch.cat([row, new]) for row, new in zip(rows, output.sequences[:, -4:-1], strict=True)], "left")
    mask = written_out([len(row) for row in rows], [3] * 3, whole["input_ids"].shape[1], phase, positions, "left")
    with torch.no_grad(), applied(model, Masked(shift, mask)):
        want = model(**whole).logits[:, -4:]
    torch.testing.assert_close(torch.stack(output.logits, 1), want, rtol=1e-4, atol=1e-4)


def test_several_generations_in_one_block():
    model, rows = random_model(), texts()
    acting = Limited(shift_heads(places_of(model)), phase="generated")
    options = {"max_new_tokens": 3, "do_sample": False}

    def run(order):
        given = batch([rows[row] for row in order], "left")
        return model.generate(given["input_ids"], attention_mask=given["attention_mask"], **options)

    with applied(model, acting):
        run([1, 0, 2])
        second = run([0, 1, 2])
    with applied(model, acting):
        assert torch.equal(run([0, 1, 2]), second)


CHATS = [[{"role": "user", "content": "Tell me what you think of the weather " * 8 + end}] for end in ("now", "here")]


@pytest.mark.parametrize("phase", ["prompt", "generated", "all"])
@pytest.mark.parametrize("positions", ["all", "last"])
def test_scores_do_not_depend_on_how_passes_are_cut(phase, positions):
    """Prompts, continuations and shared beginnings are computed in passes of their own."""
    model, tokenizer = random_model(), byte_tokenizer()
    acting = Limited(shift_heads(places_of(model), people=2), phase=phase, positions=positions)
    chats = [CHATS[0], CHATS[1], CHATS[0]]
    answers = ["It is fine.", "I like it a lot.", "No."]
    steering = Steering(lambda rows: applied(model, acting.for_pass(rows)), keys=[0, 0, 1])
    together = log_likelihood(model, tokenizer, chats, answers, batch_size=8, steering=steering)
    for number, key in enumerate([0, 0, 1]):
        one = Steering(lambda rows: applied(model, acting.for_pass(rows)), keys=[key])
        alone = log_likelihood(model, tokenizer, [chats[number]], [answers[number]], batch_size=1, steering=one)
        torch.testing.assert_close(together.total[number], alone.total[0], rtol=1e-4, atol=1e-4)
    base = log_likelihood(model, tokenizer, chats, answers, batch_size=8)
    assert not torch.allclose(together.total, base.total)


def test_gradient_checkpointing_gives_the_same_gradients():
    def gradients(checkpointed, steps=1):
        model = random_model().train()
        if checkpointed:
            model.activation_checkpointing_enable({"use_reentrant": False})
        acting = Limited(add_direction(places_of(model)), positions="last") + shift_heads(places_of(model))
        with applied(model, acting), recorded(model, [places_of(model).heads(1)], "mean") as recording:
            for step in range(steps):
                given = batch(texts()[::-1] if step else texts(), "left")
                model(**given, use_cache=False).logits[..., 5].sum().backward()
        assert len(recording[places_of(model).heads(1)]) == 3 * steps
        return [parameter.grad for parameter in model.parameters()]

    for steps in (1, 2):
        for got, want in zip(gradients(True, steps), gradients(False, steps), strict=True):
            torch.testing.assert_close(got, want)


def test_two_passes_before_one_backward_pass_are_refused_where_they_would_be_mixed_up():
    model = random_model().train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    acting = Limited(shift_heads(places_of(model)), positions="last")
    with applied(model, acting):
        total = sum(model(**batch(rows, "left"), use_cache=False).logits.sum() for rows in (texts(), texts()[::-1]))
        with pytest.raises(InputError, match="before one backward pass"):
            total.backward()
        alike = sum(model(**batch(texts(), "left"), use_cache=False).logits.sum() for _ in range(2))
        alike.backward()


def test_texts_side_by_side_in_one_row_are_real_by_their_description():
    model = random_model()
    ids = torch.cat(texts()[1:]).unsqueeze(0)
    first, second = (len(row) for row in texts()[1:])
    allowed = torch.zeros(first + second, first + second, dtype=torch.bool)
    allowed[:first, :first] = torch.ones(first, first).tril().bool()
    allowed[first:, first:] = torch.ones(second, second).tril().bool()
    mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[None, None]
    positions = torch.cat([torch.arange(first), torch.arange(second)]).unsqueeze(0)
    known = ForwardRows(torch.tensor([0]), torch.ones_like(ids), torch.ones_like(ids, dtype=torch.bool))
    acting = Limited(shift_heads(places_of(model), people=1), phase="generated")
    with torch.no_grad(), applied(model, acting.for_pass(known)):
        packed = model(ids, attention_mask=mask, position_ids=positions).logits[0]
    apart = batch(texts()[1:], "right")
    pair = ForwardRows(torch.zeros(2, dtype=torch.long), apart["attention_mask"], apart["attention_mask"].bool())
    torch.testing.assert_close(packed, logits(model, apart, acting.for_pass(pair)), rtol=1e-5, atol=1e-5)


def test_a_part_of_a_model_alone_does_not_tell_prompts():
    model = random_model()
    acting = Limited(add_direction(places_of(model)), phase="prompt")
    with pytest.raises(InputError, match="whole model"), applied(model, acting):
        model.model.layers[1](torch.zeros(3, 2, 32), position_embeddings=(torch.ones(1, 2, 16), torch.zeros(1, 2, 16)))
    with pytest.raises(InputError, match="language models only"), applied(torch.nn.Linear(2, 2), acting):
        pass
    with pytest.raises(RuntimeError, match="only through `applied`"):
        acting.edit(acting.sites[0], torch.zeros(1), torch.zeros(1))


def test_a_description_of_other_rows_is_refused():
    model = random_model()
    given = batch(texts(), "left")
    two = ForwardRows(torch.arange(2), given["attention_mask"][:2], given["attention_mask"][:2].bool())
    with pytest.raises(ValueError, match="3 rows but its description has 2"):
        logits(model, given, Limited(shift_heads(places_of(model)), known=two))
