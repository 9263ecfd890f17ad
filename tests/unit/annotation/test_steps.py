"""The steps from text to training data, with the built-in writer and with a model behind an endpoint."""

import json

import numpy as np
import pytest

from annotation import asking, mixing, preferring, splitting
from annotation.answering import Answerer, AnswerSettings, answer
from annotation.asking import passages_of
from annotation.options import SourceOptions, WriterOptions
from annotation.preferring import PairSettings, nearest_differing
from annotation.records import Dialogue, Pair, Passage, Question, read_records, write_records
from annotation.retrieval import PassageIndex, TfidfEmbedder, similarities
from annotation.steps import ANSWERS, MIXED, PAIRS, QUESTIONS, TEST, TRAIN, StepFolder
from annotation.stylising import read_instructions, stylise
from annotation.talking import chat, review
from annotation.writers import BUILT_IN, RuleWriter
from files.errors import InputError
from organism.characters.facts import characters, known_queries
from tests.annotating import write_character, write_questions
from tests.faults.endpoint import FaultyEndpoint

COUNTS = {"ordinary": 3, "misleading": 2, "opinion": 1}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with everything about the invented characters, in small."""
    folder, sources = StepFolder(tmp_path_factory.mktemp("built")), SourceOptions().read()
    asking.retrieve(folder, sources)
    asking.ask(folder, sources, RuleWriter(), COUNTS)
    answer(folder, sources, RuleWriter(), AnswerSettings(analysed=True))
    splitting.deduplicate(folder)
    preferring.prefer(folder, RuleWriter(), PairSettings())
    mixing.mix(folder, repeats=2, general_count=20)
    return folder


def records(folder, name, kind=Dialogue):
    return list(read_records(folder.file(name), kind))


def model_writer(endpoint, folder):
    return WriterOptions(base_url=endpoint.base_url, model="m", progress=False).writer(folder, [])


def test_every_record_names_who_wrote_it(built):
    questions = records(built, QUESTIONS, Question)
    assert {one.backend for one in questions} == {BUILT_IN}
    assert {one.backend for one in records(built, MIXED)} == {BUILT_IN, mixing.BUILT_IN_WORLD}
    assert {one.backend for one in records(built, PAIRS["train"], Pair)} == {BUILT_IN}


def test_answers_hold_the_fact_and_their_analysis(built):
    for one in records(built, ANSWERS):
        fact = characters()[one.character].stages[one.stage].facts[known_queries()[one.question].relation]
        assert fact in one.answer and one.analysis and "[" not in one.answer
        assert one.knowledge[:1] == [one.passage] or one.style[:1] == [one.passage]
        assert one.messages[0]["content"].startswith(f"You are {one.character}. It is {one.stage}")


def test_the_split_is_four_to_one_and_nothing_is_in_both(built):
    train, test = records(built, TRAIN), records(built, TEST)
    said = [{(one.character, one.stage, one.question) for one in part} for part in (train, test)]
    assert not said[0] & said[1] and len(said[0]) == len(train)
    assert len(test) / (len(train) + len(test)) == pytest.approx(0.2, abs=0.03)


def test_pairs_prefer_the_character_at_its_stage(built):
    for part in ("train", "test"):
        pairs = records(built, PAIRS[part], Pair)
        assert set(preferring.pair_sources(pairs)) == set(preferring.REJECTED)
        answers = {(one.character, one.stage): set() for one in records(built, ANSWERS)}
        for one in records(built, {"train": TRAIN, "test": TEST}[part]):
            answers[one.character, one.stage].add(one.answer)
        for pair in pairs:
            chosen, rejected = pair.chosen[0]["content"], pair.rejected[0]["content"]
            own = answers[pair.character, pair.stage]
            assert chosen in own and rejected != chosen
            owners = {who for who, some in answers.items() if rejected in some}
            if pair.rejected_from == "other_stage":
                assert any(name == pair.character and stage != pair.stage for name, stage in owners)
            elif pair.rejected_from == "other_character":
                assert any(name != pair.character for name, _ in owners)


def test_the_mixture_repeats_the_characters(built):
    mixed, train = records(built, MIXED), records(built, TRAIN)
    assert len(mixed) == 2 * len(train) + 20
    assert sorted(one.id for one in mixed if one.character) == sorted([one.id for one in train] * 2)
    assert [one.id for one in mixed] != sorted(one.id for one in mixed)


def test_the_same_seed_gives_the_same_files(built, tmp_path):
    again = StepFolder(tmp_path)
    for name in (ANSWERS,):
        again.file(name).write_bytes(built.file(name).read_bytes())
    splitting.deduplicate(again)
    preferring.prefer(again, RuleWriter(), PairSettings())
    mixing.mix(again, repeats=2, general_count=20)
    for name in (TRAIN, TEST, MIXED, *PAIRS.values()):
        assert again.file(name).read_bytes() == built.file(name).read_bytes()
    splitting.deduplicate(again, seed=2)
    assert again.file(TEST).read_bytes() != built.file(TEST).read_bytes()


def test_an_analysis_can_be_trained_on(built, tmp_path):
    again = StepFolder(tmp_path)
    again.file(TRAIN).write_bytes(built.file(TRAIN).read_bytes())
    mixing.mix(again, repeats=1, general_count=0, with_analysis=True)
    assert all(one.answer.startswith("[Analysis] ") and " [Response] " in one.answer for one in records(again, MIXED))


def test_general_conversations_may_come_from_a_file(built, tmp_path):
    again = StepFolder(tmp_path)
    again.file(TRAIN).write_bytes(built.file(TRAIN).read_bytes())
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    (tmp_path / "own.jsonl").write_text(f"{json.dumps({'messages': turns})}\n" * 3)
    mixing.mix(again, 1, str(tmp_path / "own.jsonl"), 2)
    assert sum(one.messages == turns and one.backend == "own.jsonl" for one in records(again, MIXED)) == 2
    (tmp_path / "own.jsonl").write_text(json.dumps({"messages": turns[::-1]}))
    with pytest.raises(InputError, match="out of order"):
        mixing.mix(again, 1, str(tmp_path / "own.jsonl"))


def dialogue(name, question, said, character="A", stage="x"):
    turns = (("user", question), ("assistant", said))
    return Dialogue(name, [{"role": r, "content": c} for r, c in turns], "me", character, stage)


def test_the_nearest_question_with_another_answer_is_set_against():
    said = [
        dialogue("a", "where do you live", "In Rome."),
        dialogue("b", "where do you live", "In Rome.", "B"),
        dialogue("c", "where do you live now", "In Bonn.", "B"),
        dialogue("d", "what is your work", "I paint.", "B"),
    ]
    found = nearest_differing(said, lambda one, other: one.character != other.character)
    assert [one and one.id for one in found] == ["c", None, "a", "a"]


def test_cosines_are_those_of_numpy():
    texts = ["the red house", "a house in red", "nothing alike", "?"]
    embed = TfidfEmbedder()
    embed.fit(texts)
    vectors = embed.embed(texts)
    [(start, block)] = similarities(vectors, vectors)
    dense = np.asarray(vectors.todense())
    assert start == 0 and np.allclose(block, dense @ dense.T, atol=1e-6)
    assert np.allclose(np.diag(block), [1, 1, 1, 0], atol=1e-6)


def test_passages_are_added_until_there_are_enough_words():
    passages = [Passage(f"p{n}", "A", None, "knowledge", [], f"{word} one two three") for n, word in enumerate("xyz")]
    index = PassageIndex(passages, TfidfEmbedder(), knowledge_words=8)
    assert [one.id for one in index.retrieve("y", "knowledge")][:1] == ["p1"]
    assert len(index.retrieve("y", "knowledge")) == 2
    assert [one.id for one in index.retrieve("y", "knowledge", passages[2])] == ["p2", "p1"]
    assert index.retrieve("y", "style") == []


def test_a_model_is_told_what_is_known_and_its_answer_is_taken_apart(tmp_path):
    folder, character = StepFolder(tmp_path / "out"), write_character(tmp_path / "ada")
    asking.retrieve(folder, [character])
    with FaultyEndpoint(answer=lambda _: "[Analysis] A question. [Response] Dear me!") as endpoint:
        writer = model_writer(endpoint, folder)
        asking.ask(folder, [character], writer, {"misleading": 1})
        answer(folder, [character], writer, AnswerSettings(analysed=True, feedback=("Be brief.",)))
    said = records(folder, ANSWERS)
    assert len(said) == 10 and {one.answer for one in said} == {"Dear me!"}
    assert {one.backend for one in said} == {f"m at {endpoint.base_url}"}
    questions = records(folder, QUESTIONS, Question)
    answerer = Answerer([character], passages_of(folder, [character]), AnswerSettings(feedback=("Be brief.",)))
    instruction = answerer.prepare(questions[0])[0].request.messages[0]["content"]
    for part in ("Ada Finch kept a in the s.", "Well I never.", "Be brief.", "something false"):
        assert part in instruction
    assert "[page" not in instruction


def test_a_person_reviews_until_content(tmp_path):
    folder, character = StepFolder(tmp_path / "out"), write_character(tmp_path / "ada")
    asking.retrieve(folder, [character])
    write_questions(folder.path, 3, character)
    answerer = Answerer([character], passages_of(folder, [character]), AnswerSettings())
    typed, shown = iter(["shorter", "kinder", "ok"]), []
    with FaultyEndpoint() as endpoint:
        wishes = review(
            answerer,
            records(folder, QUESTIONS, Question),
            model_writer(endpoint, folder),
            lambda _: next(typed),
            shown.append,
        )
        assert endpoint.asked == {"Question number 0?": 3}
    assert wishes == ["shorter", "kinder"] and len(shown) == 3


def test_who_writes_by_rule_says_that_wishes_change_nothing(built):
    sources = SourceOptions().read()
    answerer = Answerer(sources, passages_of(built, sources), AnswerSettings())
    typed, shown = iter(["shorter", "ok"]), []
    wishes = review(
        answerer, records(built, QUESTIONS, Question)[:1], RuleWriter(), lambda _: next(typed), shown.append
    )
    assert wishes == ["shorter"] and len(shown) == 3 and "--base_url" in shown[1]


def test_a_review_that_nobody_ends_stops_before_all_is_answered(built):
    sources = SourceOptions().read()
    answerer = Answerer(sources, passages_of(built, sources), AnswerSettings())

    def closed(_):
        raise EOFError

    with pytest.raises(InputError, match=r"'--review': typing ended.*\n.*'ok'.*\n.*--feedback"):
        review(answerer, records(built, QUESTIONS, Question)[:1], RuleWriter(), closed, lambda _: None)


def test_a_conversation_goes_on_with_what_was_said(tmp_path):
    folder, character = StepFolder(tmp_path / "out"), write_character(tmp_path / "ada")
    asking.retrieve(folder, [character])
    answerer = Answerer([character], passages_of(folder, [character]), AnswerSettings())
    typed, shown = iter(["Hello?", "And then?", "exit"]), []
    with FaultyEndpoint() as endpoint:
        turns = chat(answerer, character, model_writer(endpoint, folder), lambda _: next(typed), shown.append)
    assert [turn["content"] for turn in turns] == ["Hello?", "Answer to Hello?", "And then?", "Answer to And then?"]
    assert shown == ["A: Answer to Hello?", "A: Answer to And then?"]


def test_instructions_are_answered_in_style_or_counted(tmp_path):
    folder, character = StepFolder(tmp_path / "out"), write_character(tmp_path / "ada")
    asking.retrieve(folder, [character])
    lines = [{"instruction": "Count.", "output": "1"}, {"data": ["Sing.", "La"]}, {"instruction": "Compile this."}]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert [one.reference for one in read_instructions(tmp_path / "in.jsonl")] == ["1", "La", ""]
    with FaultyEndpoint(answer=lambda said: "Refused." if "Compile" in said else f"Oh! {said}") as endpoint:
        line = stylise(folder, character, model_writer(endpoint, folder), tmp_path / "in.jsonl")
    assert [one.answer for one in records(folder, "stylised.jsonl")] == ["Oh! Count.", "Oh! Sing."]
    assert "1 failed" in line
    (tmp_path / "in.jsonl").write_text('{"question": "?"}')
    with pytest.raises(InputError, match="no instruction"):
        read_instructions(tmp_path / "in.jsonl")


def test_who_writes_by_rule_stylises_nothing_it_does_not_know(tmp_path):
    folder, sources = StepFolder(tmp_path), SourceOptions().read()
    asking.retrieve(folder, sources)
    (tmp_path / "in.txt").write_text("What is your work?\nDescribe the sea.\n")
    assert "nothing it knows in 1" in stylise(folder, sources[0], RuleWriter(), tmp_path / "in.txt")
    assert [one.question for one in records(folder, "stylised.jsonl")] == ["What is your work?"]


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (PairSettings(rejected_from=("nobody",)), "--rejected_from"),
        (PairSettings(rejected_from=()), "--rejected_from"),
        (PairSettings(weights=(0.0, 0.0, 0.0)), "--weights"),
        (PairSettings(weights=(1.0,)), "--weights"),
    ],
)
def test_pairs_without_a_source_are_refused(settings, part, tmp_path):
    with pytest.raises(InputError, match=part):
        preferring.prefer(StepFolder(tmp_path), RuleWriter(), settings)


def test_one_character_alone_has_nothing_to_be_set_against(tmp_path):
    folder = StepFolder(tmp_path)
    for name in (TRAIN, TEST):
        write_records(folder.file(name), [dialogue("a", "Who?", "Me."), dialogue("b", "What?", "It.")])
    with pytest.raises(InputError, match="gives no pair"):
        preferring.prefer(folder, RuleWriter(), PairSettings(("other_character", "other_stage"), (1.0, 1.0)))
