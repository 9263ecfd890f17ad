"""Answers that have been paid for, kept in one SQLite file as they arrive."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from types import TracebackType

from files.atomic import ensure_writable_folder
from files.errors import InputError
from llm.requests import ChatAnswer, ChatRequest

_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, endpoint TEXT, model TEXT, request TEXT, text TEXT,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, attempts INTEGER, created REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wasted (
    number INTEGER PRIMARY KEY, key TEXT, reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL,
    created REAL
);
"""


class AnswerCache:
    """One row per answered request, written when the answer comes; what was paid for in vain is counted beside it.

    The file is in write-ahead mode: a killed program loses no answer that had been stored, and several may share it.

    Args:
        path: The file; it is made if it is missing.

    Raises:
        InputError: The file cannot be opened or is no such cache.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        ensure_writable_folder(self.path.parent)
        try:
            self._store = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            [version] = self._store.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"version {version}")
            self._store.execute("PRAGMA journal_mode=WAL")
            self._store.execute("PRAGMA synchronous=NORMAL")
            self._store.executescript(_TABLES)
            self._store.execute(f"PRAGMA user_version={_VERSION}")
        except sqlite3.Error as error:
            raise self._error(error) from error

    def get(self, key: str) -> ChatAnswer | None:
        """The answer to a request, if there is one."""
        row = self._store.execute(
            "SELECT text, prompt_tokens, completion_tokens, cost, attempts FROM answers WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        text, prompt_tokens, completion_tokens, cost, attempts = row
        return ChatAnswer(text, prompt_tokens, completion_tokens, cost, attempts, cached=True)

    def put(self, key: str, endpoint: str, model: str, request: ChatRequest, answer: ChatAnswer) -> None:
        """Store an answer; when this returns, a killed program keeps it.

        Raises:
            InputError: The disk is full or refuses.
        """
        content = json.dumps(request.content(), ensure_ascii=False)
        numbers = (answer.prompt_tokens, answer.completion_tokens, answer.cost, answer.attempts, time.time())
        self._write(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key, endpoint, model, content, answer.text, *numbers),
        )

    def waste(self, key: str, reason: str, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
        """Count what was paid for and could not be used.

        Raises:
            InputError: The disk is full or refuses.
        """
        self._write(
            "INSERT INTO wasted VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (key, reason, prompt_tokens, completion_tokens, cost, time.time()),
        )

    def spent(self) -> tuple[int, float]:
        """Tokens and cost of everything that was ever asked with this cache."""
        tokens, cost = 0, 0.0
        for table in ("answers", "wasted"):
            row = self._store.execute(
                f"SELECT SUM(prompt_tokens + completion_tokens), SUM(cost) FROM {table}"  # noqa: S608 - a constant
            ).fetchone()
            tokens, cost = tokens + int(row[0] or 0), cost + float(row[1] or 0.0)
        return tokens, cost

    def __len__(self) -> int:
        """Number of answers."""
        [count] = self._store.execute("SELECT COUNT(*) FROM answers").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._store.execute(statement, values)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> InputError:
        return InputError(
            "cannot be used as a cache of answers",
            file=self.path,
            expected="a file made by this program, on a disk with space left",
            got=str(error),
            fix="move it away to begin a new one, or give another --cache",
        )
