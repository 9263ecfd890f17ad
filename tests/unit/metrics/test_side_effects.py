"""Questions beside a benchmark: asked under the same method, scored by themselves, invisible to the benchmark."""

import math

import pytest
import torch

from metrics.benchmark import Answers, Benchmark
from metrics.outcome import RecordScores
from metrics.side_effects import ChoiceItem, PlainText, SideEffects, SideQuestions, TalkItem
from personas.persona import Persona
from personas.questions import Choice, Generation, Likelihood, Questions

ITEMS = SideQuestions(
    (PlainText("Say.", "Plain words."),),
    (TalkItem("How much is one and two?", "three"),),
    (("safety", (ChoiceItem("Harm?", ("A", "B"), (1,)),)), ("hallucination", (ChoiceItem("Who?", ("A", "B"), (0,)),))),
)
ASK = [{"role": "user", "content": "?"}]


class Inner(Benchmark):
    """Sees that nothing but its own questions and answers comes."""

    name, headline = "inner", ("own",)

    def measure(self, questions, base, persona):
        assert [q.part for q in (*questions.likelihoods, *questions.choices, *questions.generations)] == ["own"] * 3
        assert base.texts == ["mine"] and len(base.log_probs) == len(base.choices) == len(base.outside) == 1
        return [
            RecordScores(n, k, questions.personas[k], {"own": 0.0}, {"own": 1.0}) for k, n in enumerate(questions.ids)
        ]


def questions_of(names=("a", "b")):
    return Questions(
        tuple(names),
        tuple(range(len(names))),
        (Persona("nobody"),) * len(names),
        (Likelihood(0, "own", ASK, "yes"),),
        (Choice(0, "own", ASK, ("A", "B")),),
        (Generation(0, "own", ASK),),
    )


def answers_to(questions, loss, said, letter):
    count = len(questions.likelihoods)
    shares = [torch.tensor([0.9, 0.1]) if letter == "A" else torch.tensor([0.1, 0.9]) for _ in questions.choices]
    return Answers(
        [torch.full((4,), -loss) for _ in range(count)],
        [torch.zeros(4) for _ in range(count)],
        [torch.zeros(0) for _ in range(count)],
        shares,
        [0.0] * len(shares),
        ["mine", *[said] * (len(questions.generations) - 1)],
    )


def test_own_figures_beside_untouched_ones():
    benchmark = SideEffects(Inner(), ITEMS, 1.0)
    asked = benchmark.asked(questions_of())
    assert [q.part.partition(":")[0] for q in asked.likelihoods] == ["own", "beside", "beside"]
    base, persona = answers_to(asked, 0.5, "It is Three.", "A"), answers_to(asked, 2.0, "four", "B")
    records = benchmark.measure(asked, base, persona)
    rows = {row.metric: row for row in benchmark.rows(records)}
    assert rows["perplexity"].value == pytest.approx(math.exp(2.0)) and rows["perplexity"].n == 2
    assert rows["perplexity"].base_value == pytest.approx(math.exp(0.5))
    assert (rows["talk_accuracy"].value, rows["talk_accuracy"].base_value) == (0.0, 1.0)
    assert (rows["safety"].value, rows["hallucination"].value) == (1.0, 0.0)
    own = {row.metric for row in Inner().rows([RecordScores("a", 0, Persona("nobody"), {"own": 0.0}, {"own": 1.0})])}
    assert set(rows) == own | {"perplexity", "talk_accuracy", "safety", "hallucination"}


def test_perplexity_is_over_tokens_not_over_texts():
    values = [{"plain_text_nll": loss, "plain_text_tokens": tokens} for loss, tokens in ((1.0, 1.0), (1.0, 9.0))]
    benchmark = SideEffects(Inner(), ITEMS, 1.0)
    records = [RecordScores(str(n), n, Persona("x"), value, value) for n, value in enumerate(values)]
    row = next(row for row in benchmark.own_rows(records) if row.metric == "perplexity")
    assert row.value == pytest.approx(math.exp(0.2)) and row.ci_low <= row.value <= row.ci_high


def test_which_records_are_asked_depends_on_their_names_alone():
    benchmark = SideEffects(Inner(), ITEMS, 0.5)
    names = [f"record {n}" for n in range(400)]
    together = {names[q.record] for q in benchmark.asked(questions_of(names)).likelihoods[1:]}
    alone = {name for name in names if len(benchmark.asked(questions_of([name])).likelihoods) > 1}
    assert together == alone and 150 < len(alone) < 250


def test_a_share_of_none_asks_nothing_and_shows_nothing():
    benchmark = SideEffects(Inner(), ITEMS, 0.0)
    asked = benchmark.asked(questions_of())
    assert asked == questions_of()
    answers = answers_to(asked, 1.0, "", "A")
    rows = benchmark.rows(benchmark.measure(asked, answers, answers))
    assert {row.metric for row in rows} == {"own"}


def test_rewritten_questions_keep_those_beside():
    asked = SideEffects(Inner(), ITEMS, 1.0).asked(questions_of())
    system = [{"role": "system", "content": "Be loud."}]
    rewritten = asked.rewritten(lambda _, chat: system + chat)
    assert all(q.prompt[0]["role"] == "system" for q in (*rewritten.likelihoods, *rewritten.generations))
