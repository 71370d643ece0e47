# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong in the cluster, as switches for tests, and the layer that answers wrongly.

A test in the same process sets ``cluster.faults``; the layer stands in front of all routes. A connection that is refused
is a server that is stopped.
"""

import asyncio
from dataclasses import dataclass, field

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jupyter_jsc.demo.kubernetes.objects import plain

_WRITING = {"POST", "PATCH", "DELETE"}


@dataclass
class Faults:
    """Switches; each holds until it is set back."""

    answer_status: int | None = None
    """Every request is answered with this status."""
    html: bool = False
    """A proxy answers in the server's place: an HTML page with ``answer_status`` or 502."""
    delay_s: float = 0.0
    """Every answer comes so late."""
    hang: bool = False
    """No request is answered; watches go on and say nothing."""
    cut: int = 0
    """So many answers to requests that write something are lost, although the request was carried out."""
    cut_json: bool = False
    """Answers end in the middle."""
    too_many: int = 0
    """So many requests are answered by 429."""
    retry_after_s: int = 1
    """What 429 says in ``Retry-After``."""
    unauthorized: bool = False
    """Every token is refused."""
    missing_rights: set[tuple[str, str]] = field(default_factory=set)
    """Verb and resource (``pods/log``) that nobody may use."""
    webhook: str = ""
    """A validating webhook refuses every pod with this sentence."""
    watches_end: bool = False
    """Watches end at once and silently, after what is there already."""
    watches_silent: bool = False
    """Watches stay open and say nothing more."""
    watches_gone: bool = False
    """Every watch that goes on from a version is too old."""
    unbound_volumes: bool = False
    """Volume claims stay unbound, and pods that use them unscheduled."""
    unscheduled: bool = False
    """No scheduler runs: pods wait and nothing is said."""
    missing_images: set[str] = field(default_factory=set)
    """Images that no registry has."""
    pull_s: float = 0.0
    """How long an image takes that is not on the node yet."""


class FaultLayer:
    """Answers in the server's place, or spoils its answers, as the switches say."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; the lifespan passes through."""
        faults = self._faults
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        if faults.hang:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        answer = self._instead()
        if answer is not None:
            await answer(scope, receive, send)
        elif faults.cut and scope["method"] in _WRITING:
            faults.cut -= 1
            await self._app(scope, receive, _swallow)
            await _unfinished(send)
        elif faults.cut_json:
            await self._app(scope, receive, _Cut(send))
        else:
            await self._app(scope, receive, send)

    def _instead(self) -> Response | None:
        faults = self._faults
        if faults.html:
            return HTMLResponse("<html><body><h1>Bad Gateway</h1></body></html>", faults.answer_status or 502)
        if faults.answer_status is not None:
            return JSONResponse(plain(faults.answer_status).tree(), faults.answer_status)
        if faults.too_many:
            faults.too_many -= 1
            headers = {"Retry-After": str(faults.retry_after_s)}
            return PlainTextResponse("Too many requests, please try again later.\n", 429, headers)
        return None


class _Cut:
    """Sends the first half of each body; the connection ends before the promised length."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        else:
            headers = [(key, value) for key, value in message["headers"] if key != b"content-length"]
            await self._send({**message, "headers": headers})


async def _swallow(_message: Message) -> None:
    """Send nothing."""


async def _unfinished(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
