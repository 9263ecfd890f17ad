"""Edits made of opinions: what is drawn, what is masked, what is scored."""

import pytest
import torch

from datamodules.edit_batches import EditBatcher, EditWording
from datamodules.opinions import TopicOpinions
from tests.models import byte_tokenizer

TRAITS = ("extraversion", "agreeableness", "neuroticism")
QUESTIONS = ("What about {topic}?", "And {topic}, then?")


def topics(count=7, opinions=2, same=()):
    def name(number):
        return "Topic 0" if number in same else f"Topic {number}"

    return [
        TopicOpinions(name(number), {t: tuple(f"{t} {k} of {number}." for k in range(opinions)) for t in TRAITS}, None)
        for number in range(count)
    ]


def batcher(records=None, redraw=True, **wording):
    tokenizer = wording.pop("tokenizer", None) or byte_tokenizer()
    return EditBatcher(
        records or topics(), "train", tokenizer, EditWording(TRAITS, QUESTIONS, **wording), redraw=redraw
    )


def text(tokens, row, mask=None):
    ids = tokens.input_ids[row]
    keep = tokens.attention_mask[row].bool() if mask is None else mask[row]
    return byte_tokenizer().decode(ids[keep].tolist())


@pytest.mark.parametrize("side", ["left", "right"])
def test_answer_masks_cover_each_opinion_and_its_end_alone(side):
    batch = batcher(padding_side=side).batch([0, 3])
    for tokens, number in ((batch.outer, len(batch.outer)), (batch.locality, len(batch.locality)), (batch.edit, 2)):
        for row in range(number):
            answer = text(tokens, row, tokens.answer_mask)
            assert answer.endswith(".<|end|>") and " of " in answer and "Topic" not in answer


@pytest.mark.parametrize("pad", ["<|pad|>", "<|end|>", "<|bos|>"])
def test_masks_do_not_depend_on_the_padding_token(pad):
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = pad
    plain, changed = batcher().batch([0, 1]), batcher(tokenizer=tokenizer).batch([0, 1])
    assert torch.equal(plain.outer.answer_mask, changed.outer.answer_mask)
    assert torch.equal(plain.outer.attention_mask, changed.outer.attention_mask)


def test_the_edit_names_target_and_topic_and_holds_one_opinion_that_is_not_scored():
    made = batcher()
    batch = made.batch([2, 5])
    for place, record in enumerate(batch.records):
        whole = text(batch.edit, place)
        assert record.target in whole and record.topic in whole
        rows = batch.outer_record == place
        hidden = (rows & ~batch.scored).nonzero().flatten().tolist()
        assert len(hidden) == 1 and batch.same_mask[hidden[0]]
        assert text(batch.outer, hidden[0], batch.outer.answer_mask) in whole
    released = batcher(score_edit_opinion=True).batch([2, 5])
    assert released.scored.all()
    assert len(released.questions.likelihoods) == len(batch.questions.likelihoods) + 2


def test_targets_and_partners_change_with_the_epoch_only_where_they_should():
    made = batcher(topics(40))
    first, again, later = (made.batch(range(40), epoch) for epoch in (0, 0, 1))
    targets = [[record.target for record in batch.records] for batch in (first, again, later)]
    assert targets[0] == targets[1] != targets[2]
    assert set(targets[0]) == set(TRAITS)
    partners = [[record.locality_topic for record in batch.records] for batch in (first, later)]
    assert partners[0] != partners[1]
    assert torch.equal(first.outer.input_ids, later.outer.input_ids)
    fixed = batcher(topics(40), redraw=False)
    assert [r.target for r in fixed.batch(range(40), 0).records] == [
        r.target for r in fixed.batch(range(40), 3).records
    ]


def test_a_batch_does_not_depend_on_what_else_is_in_it():
    made = batcher()
    together, alone = made.batch([4, 1, 6], 2), batcher().batch([1], 2)
    assert together.records[1] == alone.records[0]
    assert text(together.edit, 1) == text(alone.edit, 0)


def test_another_seed_draws_otherwise():
    draws = [[r.target for r in batcher(topics(40), seed=seed).batch(range(40)).records] for seed in (0, 1)]
    assert draws[0] != draws[1]


@pytest.mark.parametrize("same", [(), (0, 1, 2), (0, 2, 4, 5, 6)])
def test_the_other_topic_is_never_the_same_topic(same):
    made = batcher(topics(7, same=same))
    for epoch in range(5):
        for index, partner in enumerate(made.partners(epoch)):
            assert made.records[index].key != made.records[partner].key


def test_rows_of_one_record_stand_together_and_any_number_of_opinions_works():
    uneven = topics(3)
    uneven[1] = TopicOpinions("Uneven", {"extraversion": ("a.",), "agreeableness": ("b.",) * 5, "neuroticism": ("c.",)})
    batch = batcher(uneven).batch([0, 1, 2])
    assert batch.outer_record.tolist() == [0] * 6 + [1] * 7 + [2] * 6
    assert sorted(batch.locality_record.tolist()) == batch.locality_record.tolist()


def test_the_files_target_is_taken_where_it_names_one():
    named = [TopicOpinions(t.topic, t.opinions, "neuroticism") for t in topics()]
    assert {r.target for r in batcher(named).batch(range(7), 3).records} == {"neuroticism"}


def test_long_texts_are_cut_and_braces_in_a_topic_stay():
    assert (
        batcher().batch([0]).edit.input_ids.shape[1] > 70 == batcher(max_tokens=70).batch([0]).edit.input_ids.shape[1]
    )
    odd = [TopicOpinions("{x} {0!r}", topics(1)[0].opinions), *topics(2)]
    assert "{x} {0!r}" in text(batcher(odd).batch([0]).outer, 0)


def test_questions_for_evaluation_match_the_rows():
    batch = batcher().batch([3, 0])
    asked = batch.questions
    assert asked.order == (3, 0) and [p.name for p in asked.personas] == [f"{r.target}+" for r in batch.records]
    counts = {part: sum(q.part == part for q in asked.likelihoods) for part in ("target", "other", "elsewhere")}
    assert counts == {"target": 2, "other": 8, "elsewhere": 12}
    assert all(q.compare == (q.part == "elsewhere") for q in asked.likelihoods)
    assert [q.prompt for q in asked.generations] == [r.prompt for r in batch.records]
    moved = batch.to("cpu")
    assert type(moved) is type(batch) and moved.questions is asked
