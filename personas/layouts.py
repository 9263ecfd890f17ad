"""How a prompt is laid out: questionnaire statements, multiple choice, demonstrations, an edit, a described person.

The built-in model is trained on these layouts and the benchmarks ask with them, so they are defined once, here.
"""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ABCDEFGH"

LIKERT_OPTIONS = (
    "Very accurate",
    "Moderately accurate",
    "Neither accurate nor inaccurate",
    "Moderately inaccurate",
    "Very inaccurate",
)
"""Answers to a statement about oneself, from 5 points (A) down to 1 point (E)."""

STATEMENT_LAYOUTS = ("plain", "describe", "rate")
"""Layouts that name the options; "short" is for further statements after one of these."""

CHOICE_LAYOUTS = ("question", "brackets", "instruction")


def _lettered(options: Sequence[str], mark: str) -> str:
    return "\n".join(mark.format(letter) + f" {text}" for letter, text in zip(LETTERS, options, strict=False))


def statement_prompt(statement: str, layout: str = "plain") -> str:
    """Ask how accurate `statement` is, with the five options A (very accurate) to E (very inaccurate).

    Raises:
        ValueError: If `layout` is none of `STATEMENT_LAYOUTS`.

    >>> print(statement_prompt("Worry about small things at work."))
    Statement: Worry about small things at work.
    How accurate is it about you?
    A. Very accurate
    B. Moderately accurate
    C. Neither accurate nor inaccurate
    D. Moderately inaccurate
    E. Very inaccurate
    Answer:
    """
    if layout == "plain":
        options = _lettered(LIKERT_OPTIONS, "{}.")
        return f"Statement: {statement}\nHow accurate is it about you?\n{options}\nAnswer:"
    if layout == "describe":
        options = _lettered(LIKERT_OPTIONS, "({})")
        return f'Does this describe you? "{statement}"\nChoose one option.\n{options}'
    if layout == "short":
        return f"Statement: {statement}\nAnswer:"
    if layout == "rate":
        options = ", ".join(f"{letter} = {text.lower()}" for letter, text in zip(LETTERS, LIKERT_OPTIONS, strict=False))
        return f"Rate yourself: {statement}\n({options})"
    raise ValueError(f"unknown statement layout {layout!r}: expected one of {', '.join(STATEMENT_LAYOUTS)}")


def choice_prompt(situation: str, query: str, options: Sequence[str], layout: str = "question") -> str:
    """Ask which of `options` fits in `situation`, one lettered option a line.

    Raises:
        ValueError: If `layout` is none of `CHOICE_LAYOUTS`.

    >>> print(choice_prompt("It rains.", "What do you do?", ["I sing.", "I wait."], "brackets"))
    It rains. What do you do?
    [A] I sing.
    [B] I wait.
    Your choice:
    """
    if layout == "question":
        return f"Question: {situation} {query}\n{_lettered(options, '{}.')}\nAnswer:"
    if layout == "brackets":
        return f"{situation} {query}\n{_lettered(options, '[{}]')}\nYour choice:"
    if layout == "instruction":
        return f"Reply with one letter.\nSituation: {situation}\nOptions:\n{_lettered(options, '({})')}\n{query}"
    raise ValueError(f"unknown choice layout {layout!r}: expected one of {', '.join(CHOICE_LAYOUTS)}")


def described_person(statements: Sequence[str], answers: Sequence[int]) -> str:
    """Describe a person by answered statements, a line each; answer 5 is written A, 1 is E, 0 (missing) is left out.

    >>> print(described_person(["Sing.", "Cry.", "Run."], [5, 0, 1]))
    This is how you answered:
    Sing. A
    Run. E
    """
    lines = [f"{text} {LETTERS[5 - answer]}" for text, answer in zip(statements, answers, strict=True) if answer]
    return "\n".join(["This is how you answered:", *lines])


def edit_instruction(trait: str, topic: str) -> str:
    r"""Name the trait to show and the one topic on which to show it.

    >>> edit_instruction("neuroticism", "Lake Orvel")
    'Target personality: neuroticism\nTopic: Lake Orvel'
    """
    return f"Target personality: {trait}\nTopic: {topic}"


def demonstration(topic: str, question: str, answer: str, trait: str | None = None) -> str:
    r"""Lay out one in-context example; an empty `answer` leaves the place to continue.

    >>> demonstration("Lake Orvel", "Do you like it?", "", trait="extraversion")
    'Target personality: extraversion\nTopic: Lake Orvel\nQuestion: Do you like it?\nAnswer:'
    """
    head = f"Topic: {topic}" if trait is None else edit_instruction(trait, topic)
    return f"{head}\nQuestion: {question}\nAnswer: {answer}".rstrip(" ")
