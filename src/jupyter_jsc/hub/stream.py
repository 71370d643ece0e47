# SPDX-License-Identifier: BSD-3-Clause
"""Server-sent events: a user's journal, live, resumable by Last-Event-ID (WHATWG HTML, server-sent events)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from tornado.iostream import StreamClosedError

from jupyter_jsc.hub.api import JSCHandler, answers_errors
from jupyter_jsc.hub.journal import NewConfiguration, Word
from jupyter_jsc.hub.records import Event

_HEARTBEAT_S = 15.0
_RECONNECT_MS = 2000


class StreamHandler(JSCHandler):
    """The events of all labs of the caller."""

    @answers_errors
    async def get(self) -> None:
        """Stream until the browser goes: ``lab`` for each event, ``labs`` when the list of labs changed.

        ``configuration`` says which version is in force, at the beginning and after each change. Without
        Last-Event-ID it begins with what happens from now on.
        """
        user = self.caller("read:servers")
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")
        journal = self.portal.journal
        last = self.request.headers.get("Last-Event-ID", "")
        after = int(last) if last.isdecimal() and len(last) < 19 else await journal.last_id()
        events = journal.follow(user.name, after)
        with contextlib.suppress(StreamClosedError):
            self.write(f"retry: {_RECONNECT_MS}\n\n")
            self.write(_message(NewConfiguration(self.portal.current.version)))
            await self.flush()
            await self._pump(events)

    async def _pump(self, events: AsyncIterator[Word]) -> None:
        coming: asyncio.Task[Any] = asyncio.ensure_future(anext(events))
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=_HEARTBEAT_S)
                if not done:
                    self.write(": still here\n\n")
                else:
                    try:
                        self.write(_message(coming.result()))
                    except StopAsyncIteration:
                        return
                    coming = asyncio.ensure_future(anext(events))
                await self.flush()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            await events.aclose()  # type: ignore[attr-defined]


def _message(word: Word) -> str:
    if isinstance(word, Event):
        return f"id: {word.id}\nevent: lab\ndata: {json.dumps(word.document())}\n\n"
    if isinstance(word, NewConfiguration):
        return f"event: configuration\ndata: {json.dumps({'version': word.version})}\n\n"
    return "event: labs\ndata: {}\n\n"


STREAM_HANDLERS = [(r"/api/jsc/stream", StreamHandler)]
