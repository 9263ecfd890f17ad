"""A page that is served to this machine alone, and asks for nothing outside of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from files.errors import InputError

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
# What the browser is allowed to load and to call: this server, and what the page itself holds.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "media-src 'self' data: blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
# Read by the page's library when it is loaded: no counting of visits, no looking for newer versions.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_SSR_MODE": "False"}

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class LocalOnly:
    """Goes before a web application: answers requests for this machine by name only, and tells browsers to stay here.

    A page of somebody else's that is open in the same browser can make its own name point here; such requests carry
    that name, and are refused.

    Args:
        app: The application.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}
        if headers.get(b"host", "").rsplit(":", 1)[0] not in _NAMES:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"This page answers to this machine only.\n"})
            return

        async def guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self.app(scope, receive, guarded)


def keep_quiet() -> None:
    """Switch off what libraries would send; before they are loaded."""
    os.environ.update(QUIET)


def check_port(port: int) -> None:
    """Refuse a port that nobody can be served at.

    Raises:
        InputError: It is taken, is no port, or needs rights that this program does not have.
    """
    problem = "is no port"
    if 1 <= port <= 65535:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, port))
                return
            except PermissionError:
                problem = "may be used by the system alone"
            except OSError:
                problem = "is taken by another program, perhaps by another page of this one"
    raise InputError(
        problem,
        field="--port",
        expected="a free port from 1024 to 65535",
        got=port,
        fix=f"give another, such as --port {port + 1 if 1024 <= port < 65535 else 7861}, or end that program",
    )
