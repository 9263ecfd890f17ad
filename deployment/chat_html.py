"""Conversations and messages as HTML, in which nothing that anybody wrote is a part of the page."""

from __future__ import annotations

from html import escape

from lm.chat import Chat

# The page's library fills templates in; what somebody wrote is no template, so the marks of one become plain signs.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "$`{}@\\"}


def shown(text: str) -> str:
    """A text as HTML that reads as the text does, whatever it holds.

    >>> shown("<b>${1} & {{two}}")
    '&lt;b&gt;&#36;&#123;1&#125; &amp; &#123;&#123;two&#125;&#125;'
    """
    return escape(text).translate(_MARKS)


def said(text: str) -> str:
    """A message of the program.

    >>> said("no <b>such</b> model")
    '<div class="problem" role="status">no &lt;b&gt;such&lt;/b&gt; model</div>'
    """
    return f'<div class="problem" role="status">{shown(text)}</div>'


def talk(name: str, chat: Chat, finished: bool = True) -> str:
    """A column's conversation under its name.

    Args:
        name: The column.
        chat: What was said in it.
        finished: Whether the last answer is whole; one without a word is then said to be empty.

    Example:
        >>> "How is tea?" in talk("base model", [{"role": "user", "content": "How is tea?"}])
        True
    """
    turns = "".join(_turn(turn["role"], turn["content"], finished) for turn in chat)
    # The turns lie in one block, which the style pins to the bottom of what scrolls around it.
    log = f'<div class="log" role="log" tabindex="0" aria-label="{shown(name)}"><div>{turns}</div></div>'
    return f'<section class="talk"><h3>{shown(name)}</h3>{log}</section>'


def _turn(role: str, text: str, finished: bool) -> str:
    if text.strip():
        return f'<p class="turn {role}">{shown(text.strip())}</p>'
    return f'<p class="turn {role} silent">{"nothing was answered" if finished else "..."}</p>'
