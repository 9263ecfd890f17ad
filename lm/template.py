"""Chats as text: by a tokenizer's chat template, or in a plain layout where it has none, and where the answers lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from files.errors import InputError

Message = dict[str, str]
Chat = list[Message]

ROLES = ("system", "user", "assistant")
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Reasoning models otherwise open their answer with a train of thought, and personality is read from the answer.
_TEMPLATE_OPTIONS: dict[str, Any] = {"enable_thinking": False}


@dataclass(frozen=True)
class Rendered:
    """A chat as text.

    Attributes:
        text: The whole chat, every turn closed.
        answers: Start and end of each assistant turn in the text, the token that ends the turn included.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Habits:
    """What a template does with every chat, found out once."""

    accepts_system: bool
    separator: str
    turn_end: str


_habits: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str | None, _Habits]] = WeakKeyDictionary()


def check_chat(chat: Sequence[Message]) -> None:
    """Refuse what is not a chat.

    Raises:
        InputError: The chat is empty, or a message has another role or no text.
    """
    if not chat:
        raise InputError("a chat without messages", expected="at least one message", fix="add a user message")
    for number, message in enumerate(chat):
        role, content, place = message.get("role"), message.get("content"), f"message {number}"
        if role not in ROLES:
            raise InputError("unknown role in a chat", row=place, field="role", expected=", ".join(ROLES), got=role)
        if not isinstance(content, str):
            raise InputError("a message without text", row=place, field="content", expected="text", got=content)


def render_prompt(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> str:
    """The chat as text, open for the assistant to go on.

    A chat that ends with an assistant message is left open inside that message; any other gets the header of an
    assistant turn.

    Raises:
        InputError: The chat is malformed or the template refuses it.
    """
    check_chat(chat)
    chat = _fit_roles(tokenizer, chat)
    continues = chat[-1]["role"] == "assistant"
    if tokenizer.chat_template is None:
        turns = [_plain_turn(message) for message in chat]
        return _plain_opening(tokenizer) + "\n".join(turns if continues else [*turns, "assistant:"])
    try:
        return str(
            tokenizer.apply_chat_template(
                chat,
                tokenize=False,
                add_generation_prompt=not continues,
                continue_final_message=continues,
                **_TEMPLATE_OPTIONS,
            )
        )
    except (TemplateError, ValueError) as error:
        raise _refused(chat, error) from error


def render_chat(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> Rendered:
    """The chat as text with every turn closed, and the spans of its assistant turns.

    Spans are the template's own where it marks them (`{% generation %}`). Otherwise they run from the end of the header
    that a prompt would end with to the token that ends the turn. Without a chat template the layout is one `role: text`
    line per message, with the end-of-text token after a last assistant turn.

    Raises:
        InputError: The chat is malformed, or the template refuses it or rewrites its messages beyond recognition.
    """
    check_chat(chat)
    chat = _fit_roles(tokenizer, chat)
    if tokenizer.chat_template is None:
        return _render_plain(tokenizer, chat)
    text, marked = _render_template(tokenizer, chat)
    if _MARKER.search(tokenizer.get_chat_template()):
        return Rendered(text, tuple(marked))
    return Rendered(text, _locate_answers(tokenizer, chat, text))


def answer_separator(tokenizer: PreTrainedTokenizerBase) -> str:
    """What stands between a prompt and the first word of its answer: often nothing, a space in some layouts."""
    return _habits_of(tokenizer).separator


def closing_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that ends an assistant's turn; empty where the layout has none."""
    return _habits_of(tokenizer).turn_end


def turn_end(tokenizer: PreTrainedTokenizerBase, following: str) -> int:
    """Length of the end-of-turn token that a text begins with and of white space before it; 0 where there is none."""
    specials = sorted({token for token in tokenizer.get_added_vocab() if token}, key=len, reverse=True)
    if not specials:
        return 0
    found = re.match(r"\s*(?:" + "|".join(map(re.escape, specials)) + ")", following)
    return found.end() if found else 0


def _habits_of(tokenizer: PreTrainedTokenizerBase) -> _Habits:
    known = _habits.setdefault(tokenizer, {})
    template = None if tokenizer.chat_template is None else tokenizer.get_chat_template()
    if template not in known:
        known[template] = _find_habits(tokenizer)
    return known[template]


def _find_habits(tokenizer: PreTrainedTokenizerBase) -> _Habits:
    if tokenizer.chat_template is None:
        return _Habits(accepts_system=True, separator=" ", turn_end=tokenizer.eos_token or "")
    system, user, answer = (_stand_in(number) for number in range(3))
    asked: Chat = [{"role": "user", "content": user}]
    try:
        with_system, _ = _render_template(tokenizer, [{"role": "system", "content": system}, *asked])
        accepts_system = system in with_system
    except InputError:
        accepts_system = False
    closed, _ = _render_template(tokenizer, [*asked, {"role": "assistant", "content": answer}])
    prompt, _ = _render_template(tokenizer, asked, add_generation_prompt=True)
    separator = closed[len(prompt) : closed.find(answer)] if closed.startswith(prompt) and answer in closed else ""
    _, _, following = closed.partition(answer)
    return _Habits(accepts_system, separator, following[: turn_end(tokenizer, following)].strip())


def _fit_roles(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> Chat:
    """Join system messages to the user message after them where the template has no place for them."""
    if all(message["role"] != "system" for message in chat) or _habits_of(tokenizer).accepts_system:
        return chat
    fitted: Chat = []
    pending: list[str] = []
    for message in chat:
        if message["role"] == "system":
            pending.append(message["content"])
        elif message["role"] == "user":
            fitted.append({"role": "user", "content": "\n\n".join([*pending, message["content"]])})
            pending = []
        else:
            fitted.append(message)
    if pending:
        fitted.append({"role": "user", "content": "\n\n".join(pending)})
    return fitted


def _render_template(
    tokenizer: PreTrainedTokenizerBase, chat: Chat, add_generation_prompt: bool = False
) -> tuple[str, list[tuple[int, int]]]:
    """The template's text and the spans it marks as generated (none where it marks nothing)."""
    template = tokenizer.get_chat_template()
    try:
        texts, spans = render_jinja_template(
            [chat],
            chat_template=template,
            return_assistant_tokens_mask=_MARKER.search(template) is not None,
            add_generation_prompt=add_generation_prompt,
            **tokenizer.special_tokens_map,
            **_TEMPLATE_OPTIONS,
        )
    except (TemplateError, ValueError) as error:
        raise _refused(chat, error) from error
    return texts[0], [(start, end) for start, end in spans[0]] if spans else []


def _refused(chat: Chat, error: Exception) -> InputError:
    return InputError(
        f"the tokenizer's chat template refuses a chat: {error}",
        got=[message["role"] for message in chat],
        fix="order the messages as this model's template wants them (usually user and assistant in turn)",
    )


def _stand_in(number: int) -> str:
    return f"Qz{number}vXq{number}Zq"


def _locate_answers(tokenizer: PreTrainedTokenizerBase, chat: Chat, text: str) -> tuple[tuple[int, int], ...]:
    """Spans of the assistant turns in a text rendered by a template that does not mark them.

    The same chat with stand-ins for its contents shows what the template itself writes around every message; with these
    pieces each message is found exactly, however often its words occur elsewhere.
    """
    marked, _ = _render_template(
        tokenizer, [{"role": message["role"], "content": _stand_in(number)} for number, message in enumerate(chat)]
    )
    pieces: list[str] = []
    rest = marked
    for number in range(len(chat)):
        piece, found, rest = rest.partition(_stand_in(number))
        if not found:
            raise _lost(chat[number], number)
        pieces.append(piece)
    pieces.append(rest)

    separator = answer_separator(tokenizer)
    spans = []
    position = 0
    for number, message in enumerate(chat):
        position += len(pieces[number])
        content = _content_at(text, position, message["content"], pieces[number + 1])
        if content is None:
            raise _lost(message, number)
        end = position + len(content)
        if message["role"] == "assistant":
            start = position - len(separator) if pieces[number].endswith(separator) else position
            spans.append((start, end + turn_end(tokenizer, pieces[number + 1])))
        position = end
    return tuple(spans)


def _content_at(text: str, position: int, content: str, following: str) -> str | None:
    """The form in which a message stands at a position: as given, or trimmed by the template."""
    for form in (content, content.strip(), content.lstrip(), content.rstrip()):
        if text.startswith(form + following, position):
            return form
    return None


def _lost(message: Message, number: int) -> InputError:
    return InputError(
        f"the tokenizer's chat template drops or rewrites the {message['role']} message {number}",
        got=message["content"],
        fix="put {% generation %} ... {% endgeneration %} around the answers in the chat template",
    )


def _plain_turn(message: Message) -> str:
    return f"{message['role']}: {message['content']}"


def _plain_opening(tokenizer: PreTrainedTokenizerBase) -> str:
    """The begin-of-text token, for tokenizers that put one before every text."""
    first = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    return str(tokenizer.bos_token) if tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id] else ""


def _render_plain(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> Rendered:
    text = _plain_opening(tokenizer)
    spans = []
    for number, message in enumerate(chat):
        text += "\n" if number else ""
        start = len(text) + len(message["role"]) + 1
        text += _plain_turn(message)
        if message["role"] == "assistant":
            if number == len(chat) - 1:
                text += tokenizer.eos_token or ""
            spans.append((start, len(text)))
    return Rendered(text, tuple(spans))
