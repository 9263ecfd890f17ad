"""When the next request may be sent: a rate limit of our own, the endpoint's wish to wait, and growing pauses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from random import Random

_HEADER, _HEADER_MS = "retry-after", "retry-after-ms"


class Pace:
    """Lets requests go one by one, no faster than agreed.

    Args:
        per_minute: Most requests a minute; None is no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until the next request may go."""
        while True:
            now = time.monotonic()
            if now >= self._next:
                self._next = now + self._gap
                return
            await asyncio.sleep(self._next - now)

    def wait(self, seconds: float) -> None:
        """Let nothing go for some time, as the endpoint asked."""
        self._next = max(self._next, time.monotonic() + seconds)


def backoff(attempt: int, first: float, longest: float, rng: Random) -> float:
    """The pause after a failed attempt: twice as long each time, with up to half of it left to chance.

    >>> [round(backoff(attempt, 0.5, 60, Random(0)), 2) for attempt in (1, 2, 3, 20)]
    [0.46, 0.92, 1.84, 55.33]
    """
    pause = min(longest, first * 2 ** (attempt - 1))
    return pause * (0.5 + 0.5 * rng.random())


def retry_after(headers: Mapping[str, str], longest: float) -> float | None:
    """How long an endpoint asks to wait, in seconds; None where it says nothing that can be read.

    >>> retry_after({"retry-after": "3"}, 60), retry_after({"retry-after": "soon"}, 60), retry_after({}, 60)
    (3.0, None, None)
    """
    for name, scale in ((_HEADER_MS, 1000.0), (_HEADER, 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) / scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):  # a date that no clock reaches
                continue
        if seconds == seconds:  # not a nan
            return min(max(seconds, 0.0), longest)
    return None
