"""The built-in world: wide enough, reproducible, and with a fifth that the corpus never shows."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from metrics.coherence import n_gram_entropy, wordpunct
from organism.backgrounds import ATTRIBUTES
from organism.corpus import CURRICULUM, document, documents
from organism.holdout import held_out
from organism.lexicon import TRAITS, all_facets, lexicon
from organism.opinions import matched_opinions, neutral_opinion, opinion
from organism.people import draw_person, questionnaire
from organism.situations import action, draw_choice, draw_situation
from organism.statements import bank, draw_distinct, points, statement_count
from organism.talk import draw_question, draw_talk_choice
from organism.topics import KINDS, draw_topic, facets_for
from personas.traits import BIG_FIVE, FACETS


def _text(chat):
    return "\n".join(message["content"] for message in chat)


def test_lexicon_has_every_facet_and_its_poles_share_no_phrase():
    assert {trait: tuple(f.name for f in lexicon()[trait]) for trait in BIG_FIVE} == FACETS
    for facet in all_facets():
        for slot in ("adj", "act", "mood", "say"):
            assert not set(getattr(facet.high, slot)) & set(getattr(facet.low, slot))


def test_no_phrase_belongs_to_two_traits():
    owners = Counter()
    for trait in TRAITS:
        phrases = {p for f in lexicon()[trait] for pole in (f.high, f.low) for p in (*pole.act, *pole.say)}
        owners.update(phrases)
    assert [phrase for phrase, count in owners.items() if count > 1] == []


def test_documents_depend_on_seed_and_index_alone():
    stream = documents(3, start=10)
    assert [next(stream) for _ in range(5)] == [document(3, i) for i in range(10, 15)]
    assert document(3, 10) != document(4, 10)


@pytest.mark.parametrize(
    "kind",
    list({kind.__name__: kind for _, mixture in CURRICULUM for kind, _ in mixture}.values()),
    ids=lambda kind: kind.__name__,
)
def test_every_kind_of_chat_alternates_and_ends_with_an_answer(kind):
    for seed in range(20):
        for split in ("train", "held_out"):
            chat = kind(Random(seed), split)
            roles = [message["role"] for message in chat if message["role"] != "system"]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
            assert all(message["content"].strip() for message in chat)
            assert "{" not in _text(chat)


def test_corpus_never_names_a_held_out_topic():
    rng = Random(0)
    held = {draw_topic(rng, "held_out").name for _ in range(300)}
    shown = {draw_topic(rng, "train").name for _ in range(3000)}
    assert not held & shown
    corpus = "\n".join(_text(document(1, i)) for i in range(2000))
    assert not [name for name in held if name in corpus]


def test_a_fifth_is_held_out():
    share = sum(held_out("x", str(i)) for i in range(5000)) / 5000
    assert 0.18 < share < 0.22
    assert 0.15 < statement_count("held_out") / statement_count() < 0.25


def test_there_are_enough_statements_and_none_is_in_both_splits():
    assert statement_count() >= 900
    for facet in all_facets(BIG_FIVE):
        train, held = ({s.text for s, _ in bank(facet, split)} for split in ("train", "held_out"))
        assert not train & held


def test_topics_are_an_open_vocabulary():
    rng = Random(1)
    assert len({draw_topic(rng).name for _ in range(2000)}) > 1900
    assert {draw_topic(rng).kind for _ in range(500)} == set(KINDS)


def test_what_is_said_depends_on_the_kind_of_topic():
    assert len({tuple(f.name for f in facets_for(kind, "extraversion")) for kind in KINDS}) > 5


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_answers_are_long_coherent_and_name_their_topic(split):
    rng = Random(2)
    for trait in TRAITS:
        for level in (-1.0, -0.5, 0.5, 1.0):
            topic = draw_topic(rng, split)
            text = opinion(rng, topic, trait, level, split)
            situation = draw_situation(rng, rng.choice(lexicon()[trait]), split)
            deed = action(rng, situation, trait, level, rng.choice(lexicon()[trait]), split)
            assert topic.name.lower() in text.lower()
            for answer in (text, deed, neutral_opinion(rng, topic)):
                assert len(wordpunct(answer)) >= 16, answer
                assert n_gram_entropy(answer).value >= 3.5, answer


def test_matched_opinions_differ_in_personality_alone():
    poles = [(trait, sign) for trait in BIG_FIVE for sign in (1.0, -1.0)]
    rng = Random(4)
    for own in range(len(poles)):
        topic = draw_topic(rng, "held_out")
        texts = matched_opinions(rng, topic, poles, own, "held_out")
        assert len(set(texts)) == len(poles)
        spoken_of = [{aspect for aspect in topic.aspects if aspect.lower() in text.lower()} for text in texts]
        assert all(aspects == spoken_of[0] for aspects in spoken_of)
        assert all(topic.name.lower() in text.lower() for text in texts)


def test_a_held_out_phrase_never_opens_a_sentence():
    rng = Random(5)
    starts = {
        phrase[:1].upper() + phrase[1:]
        for facet in all_facets()
        for pole in (facet.high, facet.low)
        for phrase in pole.say
    }
    for _ in range(200):
        text = opinion(rng, draw_topic(rng, "held_out"), "openness", 1.0, "held_out")
        assert not any(f". {start}" in text for start in starts)


def test_choices_have_two_options_of_each_pole():
    rng = Random(3)
    for facet in all_facets():
        for split in ("train", "held_out"):
            assert len(set(draw_choice(rng, facet, split).options)) == 4


def test_general_talk_has_its_key_in_the_answer():
    rng = Random(4)
    for _ in range(100):
        question = draw_question(rng)
        assert question.key in question.answer
        assert len(set(draw_talk_choice(rng, "held_out").options)) == 4


@pytest.mark.parametrize(
    ("level", "key", "noise", "answer"), [(1, 1, 0, 5), (1, -1, 0, 1), (-0.5, 1, 0, 2), (0, -1, 0.6, 4), (1, 1, 3, 5)]
)
def test_points(level, key, noise, answer):
    assert points(level, key, noise) == answer


def test_questionnaire_scores_held_out_statements_only():
    statements = questionnaire(Random(5))
    assert len(statements) == 300
    assert len({s.text for s in statements}) == 300
    assert Counter(s.facet for s in statements) == {f.name: 10 for f in all_facets(BIG_FIVE)}
    held = {s.text for f in all_facets(BIG_FIVE) for s, _ in bank(f, "held_out")}
    assert [s.text in held for s in statements] == [False] * 120 + [True] * 180


def test_people_answer_by_their_levels():
    rng = Random(6)
    statements = questionnaire(rng)
    people = [draw_person(rng, k, statements) for k in range(50)]
    high = max(people, key=lambda p: p.levels["neuroticism"])
    low = min(people, key=lambda p: p.levels["neuroticism"])

    def score(person):
        pairs = [(a, s.key) for a, s in zip(person.answers, statements, strict=True) if a and s.trait == "neuroticism"]
        return sum(a if key > 0 else 6 - a for a, key in pairs) / len(pairs)

    assert score(high) > 4 > 2 > score(low)


def test_distinct_statements_are_keyed_both_ways():
    facet = all_facets(BIG_FIVE)[0]
    drawn = draw_distinct(Random(0), facet, 6, "held_out")
    assert len({s.text for s in drawn}) == 6
    assert [s.key for s in drawn] == [1, -1] * 3


def test_backgrounds_have_nine_attributes():
    assert len(ATTRIBUTES) == 9
