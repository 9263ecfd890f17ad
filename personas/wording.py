"""In which words a questionnaire is put to a model, and a person's answers to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from files.errors import InputError
from personas.layouts import LETTERS, LIKERT_OPTIONS, described_person, statement_prompt
from personas.questionnaire import MISSING, Item

Chat = list[dict[str, str]]

_PLACE = re.compile(r"\{(\w+)\}")
OPTION_LETTERS = LETTERS[: len(LIKERT_OPTIONS)]


@dataclass
class Wording:
    """The words around an item. What is left out is as the built-in model has learnt it.

    Attributes:
        layout: The built-in layout of an item: plain, describe or rate.
        question: A layout of one's own, with a place for the statement, `{statement}`.
        lower_case: Write the statement in small letters and without its full stop, as part of a sentence.
        answer_prefix: How the answer begins, before the option's letter.
        answer: How an option is chosen after that, with a place for its `{letter}`.
        system: What stands in the system turn where nothing describes the person.
        description: Frame of a person's description, with a place for the answered items, `{items}`.
        described_item: One answered item in it, with places for `{statement}`, `{letter}` and `{option}`.
        separator: What stands between answered items.
        options: Names of the five options in descriptions, from very accurate to very inaccurate.
        unanswered: What a description calls a missing answer; by default such items are left out of it.
    """

    layout: Literal["plain", "describe", "rate"] = "plain"
    question: str | None = None
    lower_case: bool = False
    answer_prefix: str = ""
    answer: str = "{letter}"
    system: str | None = None
    description: str | None = None
    described_item: str = "{statement} {letter}"
    separator: str = "\n"
    options: list[str] = field(default_factory=lambda: list(LIKERT_OPTIONS))
    unanswered: str | None = None

    def check(self, option: str) -> None:
        """Refuse words without a place for what they are about.

        Args:
            option: How the user names these settings.

        Raises:
            InputError: Naming the setting.
        """
        places = {"question": "{statement}", "description": "{items}", "described_item": "{statement}"}
        for name, place in (places | {"answer": "{letter}"}).items():
            text = getattr(self, name)
            if text is not None and place not in text:
                raise InputError(
                    f"has no place for {place}", field=f"{option}.{name}", got=text, fix=f"write {place} in it"
                )
        if len(self.options) != len(OPTION_LETTERS):
            raise InputError(
                "has not one name per option", field=f"{option}.options", expected="five names", got=self.options
            )

    def statement(self, item: Item) -> str:
        """The statement as it is written into a prompt."""
        return item.text.rstrip(".").lower() if self.lower_case else item.text

    def answers(self) -> tuple[str, ...]:
        """The five answers to choose from, from very accurate to very inaccurate.

        Example:
            >>> Wording(answer=" ({letter})").answers()
            (' (A)', ' (B)', ' (C)', ' (D)', ' (E)')
        """
        return tuple(filled(self.answer, letter=letter) for letter in OPTION_LETTERS)

    def ask(self, item: Item, begin_answer: bool = True) -> Chat:
        """The turns that put an item to the model.

        Args:
            item: The item.
            begin_answer: Whether the answer begins with `answer_prefix`.

        Example:
            >>> wording = Wording(question="Is it true: you {statement}?", lower_case=True, answer_prefix="Option")
            >>> [turn["content"] for turn in wording.ask(Item(1, "Worry about things.", "neuroticism", 1))]
            ['Is it true: you worry about things?', 'Option']
        """
        statement = self.statement(item)
        text = (
            statement_prompt(statement, self.layout)
            if self.question is None
            else filled(self.question, statement=statement)
        )
        chat = [] if self.system is None else [{"role": "system", "content": self.system}]
        chat.append({"role": "user", "content": text})
        if self.answer_prefix and begin_answer:
            chat.append({"role": "assistant", "content": self.answer_prefix})
        return chat

    def describe(self, items: Sequence[Item], answers: Sequence[int]) -> str:
        """A person by answered items.

        Args:
            items: N items.
            answers: N answers from 1 to 5, 0 for a missing one.

        Returns:
            The description.

        Example:
            >>> items = [Item(1, "Worry.", "neuroticism", 1), Item(2, "Sing.", "extraversion", 1)]
            >>> Wording(description="You said: {items}", described_item="{statement}: {option}").describe(items, [5, 0])
            'You said: Worry.: Very accurate'
        """
        if self.description is None:
            return described_person([item.text for item in items], answers)
        lines = []
        for item, answer in zip(items, answers, strict=True):
            if answer == MISSING and self.unanswered is None:
                continue
            letter, option = "", self.unanswered or ""
            if answer != MISSING:
                place = len(OPTION_LETTERS) - answer
                letter, option = OPTION_LETTERS[place], self.options[place]
            lines.append(filled(self.described_item, statement=item.text, letter=letter, option=option))
        return filled(self.description, items=self.separator.join(lines))


def described_by(description: str, chat: Chat) -> Chat:
    """Put a description into the system turn of a prompt, in place of what stands there.

    Example:
        >>> described_by("You sing.", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}])
        [{'role': 'system', 'content': 'You sing.'}, {'role': 'user', 'content': 'Hi.'}]
    """
    rest = chat[1:] if chat and chat[0]["role"] == "system" else chat
    return [{"role": "system", "content": description}, *rest]


def filled(template: str, **parts: str) -> str:
    """Fill the places of a template in one go; other braces, and those in what is put in, stay as they are.

    Example:
        >>> filled("{a} or {b}?", a="{b}")
        '{b} or {b}?'
    """
    return _PLACE.sub(lambda match: parts.get(match.group(1), match.group()), template)
