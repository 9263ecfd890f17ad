"""An OpenAI-compatible endpoint on this machine that fails as it is told to: real HTTP, real sockets."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSAL = "I'm sorry, but I can't help with that."
FAULTS = ("429", "500", "slow", "cut", "no json", "no choices", "no text", "refusal", "401", "quotes the key")


class FaultyEndpoint:
    """Answers chat completions, and fails by plan.

    Args:
        plan: From the last message and the number of times it has been asked, from 1, to one of `FAULTS` or None.
        answer: What is said to the last message.

    Attributes:
        asked: How many times each message came.
        answered: How many times it got a whole, usable answer.
        keys: Keys that were sent along.
        most_at_once: Most requests under way at the same time.
    """

    def __init__(
        self,
        plan: Callable[[str, int], str | None] = lambda _said, _attempt: None,
        answer: Callable[[str], str] = lambda said: f"Answer to {said}",
        pause: float = 0.0,
    ) -> None:
        self.plan, self.answer, self.pause = plan, answer, pause
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.news = threading.Condition(self.lock)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"endpoint": self}))
        self._server.daemon_threads = True
        setattr(self._server, "handle_error", lambda request, client_address: None)  # noqa: B010
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def wait_for_answers(self, total: int, timeout: float = 120) -> bool:
        """Wait until so many answers were given in all."""
        with self.news:
            return self.news.wait_for(lambda: self.answered.total() >= total, timeout)

    def __enter__(self) -> FaultyEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(text: str | None, choices: bool = True) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}] if choices else [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class _Handler(BaseHTTPRequestHandler):
    endpoint: FaultyEndpoint
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = body["messages"][-1]["content"]
        with self.endpoint.lock:
            self.endpoint.keys.add(self.headers.get("authorization", "").removeprefix("Bearer "))
            self.endpoint.asked[said] += 1
            attempt = self.endpoint.asked[said]
            self.endpoint.at_once += 1
            self.endpoint.most_at_once = max(self.endpoint.most_at_once, self.endpoint.at_once)
        try:
            time.sleep(self.endpoint.pause)
            self._fail_or_answer(self.endpoint.plan(said, attempt), said)
        finally:
            with self.endpoint.lock:
                self.endpoint.at_once -= 1

    def _fail_or_answer(self, fault: str | None, said: str) -> None:
        if fault in ("429", "500", "401", "quotes the key"):
            status = {"429": 429, "500": 500, "401": 401, "quotes the key": 400}[fault]
            text = f"the key {self.headers.get('authorization')} is odd"
            headers = {"retry-after": "0.05"} if fault == "429" else {}
            self._send(json.dumps({"error": {"message": text}}).encode(), status, headers)
        elif fault == "no json":
            self._send(b'{"id": "1", "choices": [{"mess')
        elif fault in ("no choices", "no text"):
            self._send(json.dumps(completion(None, choices=fault == "no text")).encode())
        elif fault == "refusal":
            self._send(json.dumps(completion(REFUSAL)).encode())
        elif fault in ("slow", "cut"):
            self._halfway(fault, json.dumps(completion(self.endpoint.answer(said))).encode())
        else:
            self._send(json.dumps(completion(self.endpoint.answer(said))).encode())
            with self.endpoint.news:
                self.endpoint.answered[said] += 1
                self.endpoint.news.notify_all()

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(content), headers or {})
        self.wfile.write(content)
        self.wfile.flush()

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _halfway(self, fault: str, content: bytes) -> None:
        self._head(200, len(content), {})
        self.close_connection = True
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            return
        for byte in content:  # never silent for long, and never done
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.2)
