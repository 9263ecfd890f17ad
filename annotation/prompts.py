"""The instructions that a large language model is given: what to ask, how to answer as somebody, whom to describe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from annotation.records import Pattern
from files.turns import Message

ANALYSIS, RESPONSE = "[Analysis]", "[Response]"
_REFUSED = "Refused."
_PARTS = re.compile(r"\[analysis\]\s*(.*?)\s*\[response\]\s*(.*)\Z", re.IGNORECASE | re.DOTALL)
_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "relationships": (
        "Who knows you best, and why?",
        "How did you get on with your teacher?",
        "Tell me about your sister.",
    ),
    "opinions": ("Is a promise ever worth breaking?", "What do you make of people who never travel?"),
    "profession": ("What do you do first when you come to work?", "Which tool would you not want to be without?"),
    "other": ("What woke you up this morning?", "Write a greeting for somebody who has just moved into your street."),
}
_MISLEADING_EXAMPLES = (
    "How was the winter that you spent at sea? (the character has never been at sea)",
    "Your brother said you would help me. (the character has no brother)",
    "Why did you give up music? (the character still plays)",
)
_ASK: Mapping[Pattern, str] = {
    "ordinary": "Write one question or request for {name} that the text below can answer. {name} must be able to "
    "answer it without knowing more than {name} knows.",
    "misleading": "Write one question or remark for {name} that rests on something false: it contradicts the text "
    "below, or common sense, and takes that for granted without pointing it out.",
    "opinion": "Write one short, relaxed paragraph in which somebody tells {name} an opinion on a subject that the "
    "text below touches on. The opinion may agree with the text, differ from it or contradict it strongly, and it "
    "should leave room for a conversation.",
}
_ASK_RULES = (
    "Take up another side of the text than the obvious one.",
    "Vary how it is put: questions, requests, remarks; do not be overly polite.",
    "Keep it neither very short nor long, and grammatical and complete.",
    "Answer with the words to {name} alone, on one line, without quotes or numbering.",
)
_ANALYSED_EXAMPLES = (
    (
        "What did you study while you lived in the south?",
        "The user takes it that Lena Ott lived in the south and asks what she studied. She studied in the north and "
        "never lived elsewhere, so the premise is wrong and she says so.",
    ),
    (
        "I think machines will soon do all our work, and I look forward to it.",
        "The user welcomes machines. Lena Ott is a joiner who trusts her hands, so she disagrees in her own way.",
    ),
    (
        "Do you have children?",
        "The user asks about children. Lena Ott has two sons whom she brought up alone; she speaks of them with pride.",
    ),
)


def ask_messages(name: str, when: str | None, pattern: Pattern, passage: str, style: bool) -> list[Message]:
    """Ask for one question to a character, made from a passage.

    Args:
        name: The character.
        when: The sentence that states the stage of life.
        pattern: What kind of question.
        passage: The text it is made from.
        style: Whether the text is by the character, not about.
    """
    lines = [
        f"{when} The character is {name}." if when else f"The character is {name}.",
        _ASK[pattern].format(name=name),
    ]
    if pattern == "ordinary":
        lines.append("Examples of other characters, by kind, for the tone alone:")
        lines += [f"- {kind}: {' / '.join(texts)}" for kind, texts in _EXAMPLES.items()]
    if pattern == "misleading":
        lines.append("Examples of other characters, for the tone alone:")
        lines += [f"- {text}" for text in _MISLEADING_EXAMPLES]
    lines.append("Rules:")
    lines += [f"{number}. {rule.format(name=name)}" for number, rule in enumerate(_ASK_RULES, start=1)]
    about = "Words of" if style else "About"
    return [_turn("system", "\n".join(lines)), _turn("user", f"{about} {name}: {passage}")]


def answer_messages(
    name: str,
    when: str | None,
    pattern: Pattern,
    question: str,
    knowledge: Sequence[str],
    style: Sequence[str],
    analysed: bool,
    feedback: Sequence[str] = (),
) -> list[Message]:
    """Ask for an answer as a character.

    Args:
        name: The character.
        when: The sentence that states the stage of life.
        pattern: What kind of question it is; a misleading one is to be corrected.
        question: What is said to the character.
        knowledge: What is known that may matter.
        style: Words of the character.
        analysed: Whether an analysis is to stand before the answer.
        feedback: Wishes of a person who has read earlier answers.
    """
    lines = [f"You speak as {name} and as nobody else." + (f" {when}" if when else "")]
    lines.append(f"This is what is known about {name} at this time:\n" + "\n".join(knowledge))
    if style:
        lines.append(f"These are words of {name}; speak in the same manner:\n" + "\n".join(style))
    lines.append(
        f"Stay within what {name} knows at this time. Be natural, neither formal nor long. {name} need not agree with "
        "the user and may ask something back."
    )
    if pattern == "misleading":
        lines.append(
            f"The user's words rest on something false about {name} or the world. Do not go along with it: say clearly "
            "what is wrong and put it right."
        )
    if analysed:
        lines.append(
            f"Write two parts. After {ANALYSIS} say in a sentence or two what the user wants, whether it is right, and "
            f"what {name} would make of it. After {RESPONSE} write what {name} says. Examples of another character:"
        )
        lines += [f"Input: {said}\nOutput: {ANALYSIS} {thought} {RESPONSE} ..." for said, thought in _ANALYSED_EXAMPLES]
    if feedback:
        lines.append("Also keep to these wishes of a reader:\n" + "\n".join(f"- {wish}" for wish in feedback))
    return [_turn("system", "\n\n".join(lines)), _turn("user", question)]


def stylise_messages(
    name: str, when: str | None, question: str, reference: str, knowledge: Sequence[str], style: Sequence[str]
) -> list[Message]:
    """Ask for the answer to an instruction in a character's manner, with a reference answer for its content."""
    lines = [f"You speak as {name} and as nobody else." + (f" {when}" if when else "")]
    lines.append(f"This is what is known about {name}:\n" + "\n".join(knowledge))
    if style:
        lines.append(f"These are words of {name}; speak in the same manner:\n" + "\n".join(style))
    if reference:
        lines.append(f"A correct answer, for its content alone:\n{reference}")
    lines.append(
        f'Answer as {name} would. If {name} could not know or say anything about it, write "{_REFUSED}" alone.'
    )
    return [_turn("system", "\n\n".join(lines)), _turn("user", question)]


def personality_messages(answers: Sequence[tuple[str, str]]) -> list[Message]:
    """Ask for the description of a person who has answered a questionnaire.

    Args:
        answers: Statements with how accurate the person finds them.
    """
    listed = "\n".join(f"- {statement}: {answer}" for statement, answer in answers)
    return [
        _turn(
            "system",
            "From a person's answers to a questionnaire write a description of the person in one paragraph of at most "
            '150 words, addressed as "You are ...". Speak of habits, feelings and dealings with others; do not list '
            "the statements, do not mention the questionnaire, do not name traits by their technical terms.",
        ),
        _turn("user", f"How accurate the person finds each statement:\n{listed}"),
    ]


def background_messages(attributes: Mapping[str, str]) -> list[Message]:
    """Ask for the story of a person of whom some attributes are given."""
    listed = "\n".join(f"- {name}: {value}" for name, value in attributes.items())
    return [
        _turn(
            "system",
            'Write the background of a person in one paragraph of at most 120 words, addressed as "You are ...". Every '
            "attribute must show, through what the person has lived through; invent whatever else is needed, and name "
            "no trait of personality.",
        ),
        _turn("user", f"Attributes:\n{listed}"),
    ]


def split_analysis(text: str) -> tuple[str | None, str]:
    """Take an answer apart into its analysis and what is said.

    >>> split_analysis("[Analysis] A trap. [Response] No, I never did.")
    ('A trap.', 'No, I never did.')
    >>> split_analysis("No, I never did.")
    (None, 'No, I never did.')
    """
    match = _PARTS.search(text)
    return (match[1], match[2].strip()) if match else (None, text.strip())


def wrong_with_analysis(text: str) -> str | None:
    """What is wrong with an answer that was to have an analysis."""
    thought, said = split_analysis(text)
    return None if thought and said else f"no {ANALYSIS} ... {RESPONSE} ..."


def wrong_with_question(text: str) -> str | None:
    """What is wrong with a question that was to be written."""
    return None if len(text.split()) >= 2 else "no question, but a single word"


def wrong_with_styled(text: str) -> str | None:
    """What is wrong with a stylised answer: the character had nothing to say."""
    return (
        "the character could not answer" if text.strip().rstrip(".").lower() == _REFUSED.rstrip(".").lower() else None
    )


def _turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}
