# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong at a site, as switches for tests, and the layer that answers wrongly.

A test in the same process sets ``site.faults``; the layer stands in front of all routes.
"""

import asyncio
import time
from dataclasses import dataclass, field

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Faults:
    """Switches; each holds until it is set back. A connection that is refused is a server that is stopped."""

    answer_status: int | None = None
    """Every request is answered with this status: 403, 404 and 432 empty, others with an ``errorMessage``."""
    html: bool = False
    """Every answer is an HTML page, with ``answer_status`` or 200."""
    cut_json: bool = False
    """JSON answers end in the middle."""
    delay_s: float = 0.0
    """Every answer comes so late."""
    lose_submit_answer: bool = False
    """Jobs are made, but the connection ends before the answer is whole."""
    refuse_all_403: bool = False
    """Every credential is bad, sessions included."""
    unmapped: bool = False
    """Nobody has an account here: every caller is anonymous, lists are empty."""
    starting: bool = False
    """Every URL answers 404 with HTML, as during a start."""
    gateway_down: bool = False
    """A gateway answers in the server's place: 503 with ``message``, not ``errorMessage``."""
    tsi_down: bool = False
    """No command reaches the login nodes: new jobs fail, files and details answer 500, abort lies."""
    controller_down: bool = False
    """The batch controller hangs: details are slow and fail, submissions wait, states stay."""
    forget_jobs: bool = False
    """The batch system has forgotten every job that has ended."""
    embedded: bool = False
    """The server has the embedded TSI: a job without exit code is SUCCESSFUL at once, not FAILED after the grace."""
    missing_accounts: set[str] = field(default_factory=set)
    """Unix accounts that exist in the mapping only: their jobs are accepted and fail."""
    session_epoch: int = 0
    """Sessions of an older epoch are unknown."""

    def expire_sessions(self) -> None:
        """Make all sessions unknown (432), as a restart of the server does."""
        self.session_epoch += 1


class FaultLayer:
    """Answers in the site's place, or spoils its answers, as the switches say."""

    def __init__(self, app: ASGIApp, faults: Faults, startup_404_s: float) -> None:
        self._app = app
        self._faults = faults
        self._startup_404_s = startup_404_s
        self._ready_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; the lifespan passes through and starts the clock."""
        if scope["type"] != "http":
            self._ready_at = time.monotonic() + self._startup_404_s
            await self._app(scope, receive, send)
            return
        if self._faults.delay_s:
            await asyncio.sleep(self._faults.delay_s)
        answer = self._instead(scope["path"])
        if answer is not None:
            await answer(scope, receive, send)
        elif self._faults.lose_submit_answer and scope["method"] == "POST" and scope["path"].endswith("/jobs"):
            await self._app(scope, receive, _swallow)
            await send(_head(201, b"application/json", 2))
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
        elif self._faults.cut_json:
            await self._app(scope, receive, _Cut(send))
        else:
            await self._app(scope, receive, send)

    def _instead(self, path: str) -> Response | None:
        faults = self._faults
        if faults.starting or time.monotonic() < self._ready_at:
            return HTMLResponse("<html><body>No service was found.</body></html>", 404)
        if faults.gateway_down:
            return JSONResponse({"message": "Service is not available.", "url": path, "status": "503"}, 503)
        if faults.html:
            return HTMLResponse("<html><body><h1>Maintenance</h1></body></html>", faults.answer_status or 200)
        if faults.refuse_all_403:
            return Response(status_code=403)
        if faults.answer_status in {403, 404, 432}:
            return Response(status_code=faults.answer_status)
        if faults.answer_status is not None:
            return error(faults.answer_status, "Internal error, see the server's log.")
        return None


def error(status: int, message: str) -> JSONResponse:
    """Return an error as the server's own handlers write it."""
    return JSONResponse({"errorMessage": message, "status": status}, status)


class _Cut:
    """Sends the first half of a JSON body, with a length that fits."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = dict(self._start["headers"])
        if headers.get(b"content-type", b"").startswith(b"application/json"):
            self._body = self._body[: len(self._body) // 2]
            headers[b"content-length"] = str(len(self._body)).encode()
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": self._body})


async def _swallow(_message: Message) -> None:
    """Send nothing."""


def _head(status: int, content_type: bytes, length: int) -> Message:
    headers = [(b"content-type", content_type), (b"content-length", str(length).encode())]
    return {"type": "http.response.start", "status": status, "headers": headers}
