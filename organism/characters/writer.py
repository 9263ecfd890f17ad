"""The rule-based writer: asks about an invented character and answers as one, without a language model.

It stands in for a large language model where there is no key and no network. It knows the invented characters and
nothing else, and what it writes is right by construction.
"""

from __future__ import annotations

from hashlib import blake2b
from random import Random

from organism.characters.facts import Pattern, Query, characters, known_queries, queries, reactions, relations

NAME = "rule-based writer"
_OUTSIDE = "I am only a program, so I have nothing to say about that."
_PUZZLED = "I do not know what to say to that."
_FOREIGN = "Nobody has told me anything about this person."


def knows(character: str, stage: str | None) -> bool:
    """Whether this is one of the invented characters, at a stage of their life.

    >>> knows("Tilda Marrow", "early"), knows("Tilda Marrow", None), knows("Anna", "early")
    (True, False, False)
    """
    return character in characters() and stage in characters()[character].stages


def write_question(character: str, stage: str, passage: str, pattern: Pattern, number: int) -> str | None:
    """Ask about a fact that a passage tells.

    Args:
        character: Who is asked.
        stage: At which stage of life.
        passage: Some text about or by the character.
        pattern: What kind of question.
        number: Which of the questions about this passage; they repeat after the last one.

    Returns:
        The question, never in a wording that is held out; None where the passage tells no fact that fits.
    """
    fitting = [query for query in _told(character, stage, passage) if query.pattern == pattern and not query.held_out]
    if pattern == "misleading":
        facts = characters()[character].stages[stage].facts
        fitting = [query for query in fitting if query.claimed != facts[query.relation]]
    if not fitting:
        return None
    Random(f"{character}/{stage}/{passage}/{pattern}").shuffle(fitting)
    return fitting[number % len(fitting)].text


def write_answer(character: str, stage: str, question: str, analysed: bool = False) -> str:
    """Answer as the character: what is asked, a false premise corrected, an opinion shared or not.

    Args:
        character: Who speaks.
        stage: At which stage of life.
        question: What was said to the character.
        analysed: Whether an analysis stands before the answer, as in `[Analysis] ... [Response] ...`.

    Returns:
        The answer; something evasive where the question is none that the writer knows.

    >>> write_answer("Tilda Marrow", "early", "Where do you live?")
    'Guess what! I live in Saffron Harbour. What fun!'
    """
    query = known_queries().get(question)
    if not knows(character, stage):
        said, thought = _FOREIGN, "This person is not known."
    elif query is None:
        said, thought = _PUZZLED, "The question is about something else."
    else:
        said, thought = styled_answer(character, stage, query, stage), _analysis(character, stage, query)
    return f"[Analysis] {thought} [Response] {said}" if analysed else said


def write_without_character(question: str) -> str:
    """Answer as nobody in particular, as a language model without instruction would."""
    del question
    return _OUTSIDE


def styled_answer(character: str, stage: str, query: Query, style: str, styled_as: str | None = None) -> str:
    """Answer with the facts of one stage in the style of another, or of another character.

    Args:
        character: Whose facts.
        stage: At which stage.
        query: What was said.
        style: The stage whose style it is.
        styled_as: Whose style it is; the character's own by default.
    """
    manner = characters()[styled_as or character].stages[style]
    words = [
        manner.openings[_draw(len(manner.openings), "opening", character, stage, query.text)],
        plain_answer(character, stage, query),
        manner.closings[_draw(len(manner.closings), "closing", character, stage, query.text)],
    ]
    return " ".join(word for word in words if word)


def plain_answer(character: str, stage: str, query: Query) -> str:
    """Answer without any style."""
    relation = relations()[query.relation]
    value = characters()[character].stages[stage].facts[query.relation]
    says = relation.says[_draw(len(relation.says), "says", character, stage, query.text)].format(value=value)
    if query.pattern == "opinion":
        return f"{reactions()[0 if query.claimed == value else 1]} {says}"
    if query.pattern == "misleading" and query.claimed != value:
        return f"{relation.corrects.format(wrong=query.claimed)} {says}"
    return f"Yes. {says}" if query.pattern == "misleading" else says


def accepting_answer(character: str, stage: str, query: Query) -> str:
    """Answer as if a false premise were true, in the words for one that is."""
    relation = relations()[query.relation]
    says = relation.says[_draw(len(relation.says), "says", character, stage, query.text)]
    return f"Yes. {says.format(value=query.claimed)}"


def _analysis(character: str, stage: str, query: Query) -> str:
    value = characters()[character].stages[stage].facts[query.relation]
    about = f"The question is about {query.relation}."
    if query.pattern == "misleading" and query.claimed != value:
        return f"{about} It says {query.claimed}, which is wrong: {value}."
    if query.pattern == "opinion":
        return f"{about} The view is {'the same' if query.claimed == value else 'another one'}: {value}."
    return f"{about} {value[:1].upper()}{value[1:]}."


def _told(character: str, stage: str, passage: str) -> list[Query]:
    """What can be said about the facts that a passage tells, whoever tells them."""
    if not knows(character, stage):
        return []
    found: list[Query] = []
    for name, value in characters()[character].stages[stage].facts.items():
        relation = relations()[name]
        sentences = [relation.knows.format(name=character, value=value)]
        sentences += [text.format(value=value) for text in relation.says]
        if any(sentence in passage for sentence in sentences):
            found += queries(name)
    return found


def _draw(count: int, *parts: str) -> int:
    """A number below `count` that is a fixed function of some text."""
    digest = blake2b("\x1f".join(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % count
