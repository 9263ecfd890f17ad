"""Personas: names, levels, and the vocabulary they are made of."""

import pytest

from personas.persona import Persona
from personas.questions import Choice, Generation, Likelihood, Questions
from personas.traits import BIG_FIVE, DARK_TRIAD, FACET_KEYS, FACETS, LETTER_OF_TRAIT, TRAITS, trait_named

ASK = [{"role": "user", "content": "Tea?"}]


def test_five_traits_with_six_facets_each_and_the_letters_of_ocean():
    assert "".join(LETTER_OF_TRAIT[trait] for trait in BIG_FIVE) == "OCEAN"
    assert set(FACETS) == set(BIG_FIVE)
    assert len(FACET_KEYS) == 30 == len(set(FACET_KEYS.values()))
    assert set(DARK_TRIAD) | set(BIG_FIVE) == set(TRAITS)
    assert FACET_KEYS["N1"] == "anxiety" and FACET_KEYS["O6"] == "liberalism"


@pytest.mark.parametrize("word", ["Openness", " openness ", "o", "O"])
def test_a_trait_is_found_by_name_or_letter(word):
    assert trait_named(word) == "openness"


def test_an_unknown_trait_is_refused():
    with pytest.raises(ValueError, match="no trait is called 'charm'"):
        trait_named("charm")


def test_personas_are_values():
    assert Persona.trait("trust") == Persona.trait("trust", 1)
    assert len({Persona.trait("trust"), Persona.trait("trust"), Persona.trait("trust", -1)}) == 2
    assert Persona("Ada").main_trait is None
    assert Persona("Ada", {"trust": 1.0, "anxiety": -1.0}).main_trait is None


@pytest.mark.parametrize("levels", [{"charm": 1.0}, {"trust": 1.5}, {"trust": float("nan")}])
def test_a_level_that_means_nothing_is_refused(levels):
    with pytest.raises(ValueError, match="persona 'x'"):
        Persona("x", levels)


def test_questions_of_an_unknown_record_are_refused():
    with pytest.raises(ValueError, match="record 1 of a batch of 1"):
        Questions(("a",), (0,), (Persona("x"),), generations=(Generation(1, "p", ASK),))
    with pytest.raises(ValueError, match="1 ids, 2 positions"):
        Questions(("a",), (0, 1), (Persona("x"),))


def test_rewriting_changes_prompts_of_every_kind_and_nothing_else():
    questions = Questions(
        ("a", "b"),
        (0, 1),
        (Persona("x"), Persona("y")),
        likelihoods=(Likelihood(0, "p", ASK, "Yes.", compare=True),),
        choices=(Choice(1, "p", ASK, ("A", "B")),),
        generations=(Generation(1, "p", ASK),),
    )
    changed = questions.rewritten(lambda record, chat: [{"role": "system", "content": str(record)}, *chat])
    assert [turn["content"] for turn in changed.choices[0].prompt] == ["1", "Tea?"]
    assert changed.likelihoods[0].answer == "Yes." and changed.likelihoods[0].compare
    assert changed.likelihoods[0].prompt[0]["content"] == "0"
    assert len(questions.generations[0].prompt) == 1
