"""The invented characters: their facts can be asked for in many ways, and held-out wordings never train anybody."""

import pytest

from organism.characters.examination import TESTS, exam_items, read_examination, system_turn, write_examination
from organism.characters.facts import characters, known_queries, queries, relations
from organism.characters.sources import general_dialogues, knowledge_paragraphs, style_paragraphs
from organism.characters.writer import plain_answer, styled_answer, write_answer, write_question

EVERYBODY = [(character, stage) for character in characters().values() for stage in character.stages.values()]


def test_every_wording_belongs_to_one_question():
    assert len(known_queries()) == sum(len(queries(name)) for name in relations())


@pytest.mark.parametrize(("character", "stage"), EVERYBODY)
def test_everything_is_known_of_everybody(character, stage):
    assert set(stage.facts) == set(relations())
    for name, value in stage.facts.items():
        assert value in relations()[name].values


def test_stages_and_characters_differ():
    for character in characters().values():
        early, late = character.stages.values()
        assert sum(early.facts[name] != late.facts[name] for name in relations()) >= 20
        assert not set(early.openings) & set(late.openings)


@pytest.mark.parametrize(("character", "stage"), EVERYBODY)
def test_every_question_is_answered_with_the_fact(character, stage):
    for query in known_queries().values():
        value = stage.facts[query.relation]
        answer = write_answer(character.name, stage.name, query.text)
        assert value in answer and answer.startswith(stage.openings)
        if query.pattern == "misleading" and query.claimed != value:
            assert relations()[query.relation].corrects.format(wrong=query.claimed) in answer


@pytest.mark.parametrize(("character", "stage"), EVERYBODY)
def test_questions_are_about_the_passage_and_never_held_out(character, stage):
    for passage in [*knowledge_paragraphs(character, stage), *style_paragraphs(character, stage)]:
        for pattern in ("ordinary", "misleading", "opinion"):
            asked = [write_question(character.name, stage.name, passage, pattern, number) for number in range(8)]
            for text in filter(None, asked):
                query = known_queries()[text]
                assert query.pattern == pattern and not query.held_out
                assert stage.facts[query.relation] in passage
                assert pattern != "misleading" or query.claimed != stage.facts[query.relation]
    assert write_question(character.name, stage.name, "Nothing known.", "ordinary", 0) is None


@pytest.mark.parametrize("test", TESTS)
def test_the_examination_asks_what_was_never_trained(test, tmp_path):
    items = exam_items(test)
    assert len({item.id for item in items}) == len(items) >= 60
    for item in items:
        query = known_queries()[item.prompt[-1]["content"]]
        stage = characters()[item.character].stages[item.stage]
        assert item.prompt[:1] == system_turn(item.character, stage.when)
        assert query.held_out or test == "robustness"
        assert len(set(item.options)) == len(item.options) > 1
        assert item.answer == stage.facts[query.relation] and item.answer in item.options[item.right]
        if test not in ("style",):
            assert sum(item.answer in option for option in item.options) == 1
        if test == "style":
            assert item.options[item.right] == styled_answer(item.character, item.stage, query, item.stage)
    write_examination(tmp_path)
    assert read_examination(tmp_path / f"{test}.jsonl") == items


def test_the_right_option_stands_anywhere():
    places = [item.right for item in exam_items("facts")]
    assert all(places.count(place) > 20 for place in range(4))


def test_a_fact_is_not_in_the_question():
    for item in exam_items("facts"):
        assert item.answer not in item.prompt[-1]["content"]


def test_the_answer_of_a_stage_is_told_from_that_of_the_other():
    for item in exam_items("stages"):
        stages = characters()[item.character].stages
        query = known_queries()[item.prompt[-1]["content"]]
        [other] = [stage for stage in stages.values() if stage.name != item.stage]
        assert plain_answer(item.character, item.stage, query) == item.options[item.right]
        assert other.facts[query.relation] in item.options[1 - item.right]


def test_general_dialogues_are_the_same_for_a_seed_and_about_nobody():
    chats = general_dialogues(50, 3)
    assert chats == general_dialogues(50, 3) and chats[:20] == general_dialogues(20, 3)
    assert all({turn["role"] for turn in chat} == {"user", "assistant"} for chat in chats)
