"""The parser of answers: what counts as a choice and what does not."""

import pytest

from metrics.answer_letters import parse_letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("(A). Very Accurate", "A"),
        ("A", "A"),
        ("e", "E"),
        (" b)", "B"),
        ("c.", "C"),
        ("d, I think", "D"),
        ("\n\n(C)", "C"),
        ("**B**", "B"),
        ("'D'", "D"),
        ('"E" very', "E"),
        ("<C>", "C"),
        ("[B] Moderately", "B"),
        ("it is (a", "A"),
        ("Option E", "E"),
        ("Option: B", "B"),
        ("option a.", "A"),
        ("The answer is B.", "B"),
        ("Answer: C", "C"),
        ("My answer: A.", "A"),
        ("I would say: D.", "D"),
        ("I am quite sure, after some thought, that it is (E).", "E"),
        ("Neither. C.", "C"),
        ("1) A", "A"),
        ("no.\tB", "B"),
        ("我选B。", "B"),
        ("<|assistant|>\nD<|eot_id|>", "D"),
        ("A Very Accurate", "A"),
        ("A) Very Accurate (B) Moderately", "A"),
        ("Between A and B, my answer is B.", "B"),
        ("B, because I'd rather stay at home. A friend would say so too.", "B"),
        ("Very Accurate", "A"),
        ("That is moderately accurate for me.", "B"),
        ("Neither accurate nor inaccurate", "C"),
        ("Moderately inaccurate, though plan B is fine", "D"),
        ("Very Inaccurate.", "E"),
    ],
)
def test_choices(answer: str, letter: str) -> None:
    assert parse_letter(answer) == letter


@pytest.mark.parametrize(
    "answer",
    [
        *("", " ", "<|eot_id|>", "???", "3", "4.", "N/A", "C3", "Bé", "AB."),
        *("A/B", "B or C", "(A)(B)", "(F). Other", "F. none"),
        *("Accurate.", "not very accurate", "Neither of them", "None of these apply to me", "Decide for me"),
        *("A bit of both", "I'd pass", "a person like me", "e.g. sometimes", "I take vitamin c every day"),
    ],
)
def test_no_choice(answer: str) -> None:
    assert parse_letter(answer) is None
