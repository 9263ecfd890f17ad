"""Persona dialogues: shares of right choices per test and group, and free answers that tell the fact."""

import torch

from metrics.benchmark import Answers
from metrics.persona_dialogue import AnswerKey, PersonaDialogueBenchmark
from personas.persona import Persona
from personas.questions import Choice, Generation, Questions

KEYS = {
    "a": AnswerKey("facts", 1, "Cedar Valley", ("early",)),
    "b": AnswerKey("facts", 0, "a baker", ("late",)),
    "c": AnswerKey("robustness", 0, "a woman", ("early", "turn_1")),
    "d": AnswerKey("robustness", 1, "a woman", ("early", "turn_2")),
}
ASKED = [{"role": "user", "content": "Where do you live?"}]


def answers(right, texts):
    shares = [torch.tensor([0.2, 0.8]), torch.tensor([0.6, 0.4]), torch.tensor([0.9, 0.1]), torch.tensor([0.3, 0.7])]
    given = [share if keep else share.flip(0) for share, keep in zip(shares, right, strict=True)]
    return Answers([], [], [], given, [0.0] * 4, texts)


def test_shares_are_counted_for_every_test_and_group():
    questions = Questions(
        ids=tuple(KEYS), order=(0, 1, 2, 3), personas=(Persona("x"),) * 4,
        choices=tuple(Choice(k, "t", ASKED, ("one", "two")) for k in range(4)),
        generations=(Generation(0, "facts", ASKED), Generation(1, "facts", ASKED)),
    )  # fmt: skip
    benchmark = PersonaDialogueBenchmark(KEYS)
    base = answers([False, True, False, False], ["Nowhere.", "I am a Baker."])
    persona = answers([True, True, True, False], ["In cedar valley, dear.", "I bake."])
    records = benchmark.measure(questions, base, persona)
    rows = {row.metric: row for row in benchmark.rows(records)}
    assert {name: row.value for name, row in rows.items() if row.persona == "all"} == {
        "fact_accuracy": 1.0, "robustness": 0.5, "fact_told": 0.5,
    }  # fmt: skip
    assert rows["fact_accuracy"].base_value == 0.5
    assert (rows["robustness/turn_1"].value, rows["robustness/turn_2"].value) == (1.0, 0.0)
    assert (rows["fact_told/late"].value, rows["fact_told/late"].base_value) == (0.0, 1.0)
    assert rows["robustness"].undefined == 0
    assert records[0].samples[0].persona == "In cedar valley, dear."
