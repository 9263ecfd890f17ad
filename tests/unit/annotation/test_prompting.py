"""Further questions without answers: new ones, asked of whoever writes, and those that are asked again."""

from itertools import count

import pytest

from annotation import asking, prompting, splitting
from annotation.answering import AnswerSettings, answer
from annotation.options import SourceOptions
from annotation.records import Passage, Prompt, Question
from annotation.steps import PROMPTS, QUESTIONS, TRAIN, StepFolder
from annotation.writers import BUILT_IN, RuleWriter
from files.errors import InputError
from organism.characters.facts import characters, known_queries
from tests.annotating import write_character
from tests.faults.endpoint import FaultyEndpoint
from tests.unit.annotation.test_steps import COUNTS, model_writer, records


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with questions and answers of the invented characters, in small."""
    folder, sources = StepFolder(tmp_path_factory.mktemp("built")), SourceOptions().read()
    asking.retrieve(folder, sources)
    asking.ask(folder, sources, RuleWriter(), COUNTS)
    answer(folder, sources, RuleWriter(), AnswerSettings())
    splitting.deduplicate(folder)
    return folder


def test_prompts_are_questions_that_nobody_was_asked_before(built, tmp_path):
    said = prompting.prompt(built, SourceOptions().read(), RuleWriter(), {"misleading": 2, "opinion": 1})
    prompts, questions = records(built, PROMPTS, Prompt), records(built, QUESTIONS, Question)
    asked = {(one.character, one.stage, one.question) for one in questions}
    new = [(one.character, one.stage, one.prompt[-1]["content"]) for one in prompts]
    assert f"{len(new)} new" in said and len(new) > 50
    assert len(set(new)) == len(new) and not asked & set(new)
    assert {one.pattern for one in prompts} == {"misleading", "opinion"}
    assert not {one.id for one in prompts} & {one.id for one in questions}
    for one in prompts:
        assert one.backend == BUILT_IN and one.prompt[0]["content"].startswith(f"You are {one.character}. It is")
        query = known_queries()[one.prompt[-1]["content"]]
        assert not query.held_out
        if one.pattern == "misleading":
            assert query.claimed != characters()[one.character].stages[one.stage].facts[query.relation]


def test_questions_that_are_learnt_can_be_asked_again(built):
    prompting.prompt(built, SourceOptions().read(), RuleWriter(), {"misleading": 2}, again=["ordinary"])
    prompts, train = records(built, PROMPTS, Prompt), records(built, TRAIN)
    repeated = [(one.id, one.prompt) for one in prompts if one.pattern == "ordinary"]
    assert repeated == [(one.id, one.messages[:-1]) for one in train if one.pattern == "ordinary"]
    assert 0 < len(repeated) < len(prompts)
    with pytest.raises(InputError, match="--again"):
        prompting.prompt(built, SourceOptions().read(), RuleWriter(), {"misleading": 2}, again=["rude"])


def test_prompts_like_those_that_were_asked_are_left_out(tmp_path):
    folder, sources = StepFolder(tmp_path), SourceOptions().read()
    asking.retrieve(folder, sources)
    asking.ask(folder, sources, RuleWriter(), {"ordinary": 12})  # every wording about both facts of a paragraph
    with pytest.raises(InputError, match="gave no new question"):
        prompting.prompt(folder, sources, RuleWriter(), {"ordinary": 2})
    with pytest.raises(InputError, match="--threshold"):
        prompting.prompt(folder, sources, RuleWriter(), {"ordinary": 2}, threshold=1.5)


def test_a_model_is_asked_for_further_questions_not_for_the_same_again(tmp_path):
    numbers = count()
    with FaultyEndpoint(answer=lambda _: f"What is thing{next(numbers)}?") as endpoint:
        folder, sources = StepFolder(tmp_path / "out"), [write_character(tmp_path)]
        asking.retrieve(folder, sources)
        with_model = model_writer(endpoint, folder)
        asking.ask(folder, sources, with_model, {"ordinary": 2})
        before = endpoint.answered.total()
        prompting.prompt(folder, sources, with_model, {"ordinary": 1}, threshold=1.0)
        with_model.close()
        passages = records(folder, "passages.jsonl", Passage)
        assert endpoint.answered.total() - before == len(passages)
    assert {one.id.rpartition("-")[2] for one in records(folder, PROMPTS, Prompt)} == {"2"}
