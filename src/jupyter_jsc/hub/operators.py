# SPDX-License-Identifier: BSD-3-Clause
"""The API for operators: labs, starts, failures and histories of all users, read-only.

Open to the service that holds :data:`~.configure.OPERATE_SCOPE`, which is the dashboard. What it answers stands in
:mod:`jupyter_jsc.operators`; the queries are in :mod:`.inquiries`.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from jupyterhub.apihandlers.base import APIHandler

from jupyter_jsc import errors, names
from jupyter_jsc.hub import inquiries
from jupyter_jsc.hub.api import JSCHandler, Method
from jupyter_jsc.hub.configure import OPERATE_SCOPE
from jupyter_jsc.operators import LARGEST_PAGE, LONGEST_HOURS, OpenStart, OpenStarts, Overview
from jupyter_jsc.wire import Message

_QUERY_S = 10.0
_STATES = ("all", "open", "failed")
_LONGEST_TEXT = 255


class OperatorHandler(JSCHandler):
    """Base of what operators ask."""

    async def prepare(self) -> None:
        """Called by tornado before the method."""
        await super().prepare()
        self.set_header("Cache-Control", "no-store")

    def tell(self, answer: Message) -> None:
        """Answer a message."""
        self.set_header("Content-Type", "application/json")
        self.finish(answer.model_dump_json())

    def number(self, name: str, default: int, most: int) -> int:
        """Return a number of the query from 0 to *most*, or raise :class:`errors.InvalidRequest`."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
            allowed = f"a whole number from 0 to {most}"
            raise errors.InvalidRequest(
                f"{name}: {text[:50]!r} is not possible. Allowed: {allowed}.",
                field=name,
                value=text[:50],
                allowed=allowed,
            )
        return int(text)


def _answers_problems(method: Method) -> Method:
    """Answer our errors as problems, which come out in the dashboard as the same class."""

    @functools.wraps(method)
    async def wrapped(self: OperatorHandler, *args: Any, **kwargs: Any) -> None:
        try:
            await method(self, *args, **kwargs)
        except errors.JSCError as error:
            self.set_status(error.status)
            self.set_header("Content-Type", "application/problem+json")
            self.finish(json.dumps(error.problem()))

    return cast("Method", wrapped)


class OverviewHandler(OperatorHandler):
    """How the portal is."""

    @_answers_problems
    async def get(self) -> None:
        """Answer labs in use by system and state, the starts of the last hour, and the last 24 hours."""
        self.need(OPERATE_SCOPE)
        portal, now = self.portal, datetime.now(UTC)
        opened = [start for start in portal.journal.unfinished() if start.outcome is None]
        async with _limited():
            day = await portal.journal.read(lambda session: inquiries.ended_since(session, now - timedelta(days=1)))
        self.tell(
            Overview(
                time=now,
                configuration=portal.current.version,
                systems=inquiries.by_system(opened, day, now - timedelta(hours=1)),
                silent=portal.health.silent_since,
                hours=inquiries.by_hour([*(start.created for start in opened)], day, now),
            )
        )


class LabsHandler(OperatorHandler):
    """The labs of all users."""

    @_answers_problems
    async def get(self) -> None:
        """Answer a page of labs.

        ``search`` is a part of a user's name or the beginning of a lab's or start's id; ``system``, ``state`` (``all``,
        ``open``, ``failed``), ``offset`` and ``limit`` narrow it down.
        """
        self.need(OPERATE_SCOPE)
        state = self.get_query_argument("state", "all")
        if state not in _STATES:
            allowed = ", ".join(_STATES)
            raise errors.InvalidRequest(
                f"state: {state[:50]!r} is not possible. Allowed: {allowed}.",
                field="state",
                value=state[:50],
                allowed=allowed,
            )
        wanted = inquiries.Wanted(
            search=self.get_query_argument("search", "").strip()[:_LONGEST_TEXT],
            system=self.get_query_argument("system", "")[:_LONGEST_TEXT],
            state=state,
            offset=self.number("offset", 0, 10_000_000),
            limit=self.number("limit", 50, LARGEST_PAGE),
        )
        async with _limited():
            self.tell(await self.portal.journal.read(lambda session: inquiries.labs(session, wanted)))


class FailuresHandler(OperatorHandler):
    """What failed."""

    @_answers_problems
    async def get(self) -> None:
        """Answer the failures of the last ``hours``, by cause and system."""
        self.need(OPERATE_SCOPE)
        since = datetime.now(UTC) - timedelta(hours=self.number("hours", 24, LONGEST_HOURS))
        async with _limited():
            self.tell(await self.portal.journal.read(lambda session: inquiries.failures(session, since)))


class OpenHandler(OperatorHandler):
    """The starts that may have a tunnel."""

    @_answers_problems
    async def get(self) -> None:
        """Answer all starts that are open or not yet cleaned up."""
        self.need(OPERATE_SCOPE)
        self.tell(
            OpenStarts(
                starts=[
                    OpenStart(
                        start_id=start.start_id,
                        lab_id=start.lab_id,
                        user=start.user,
                        server=start.server,
                        ended=start.outcome is not None,
                    )
                    for start in self.portal.journal.unfinished()
                ]
            )
        )


class StoryHandler(OperatorHandler):
    """One start."""

    @_answers_problems
    async def get(self, start_id: str) -> None:
        """Answer the start with all its events; 404 if there is none, or no more."""
        self.need(OPERATE_SCOPE)
        async with _limited():
            found = await self.portal.journal.read(lambda session: inquiries.story(session, start_id))
        if found is None:
            raise errors.NotFound("There is no such start, or it was deleted.")
        self.tell(found)


@contextlib.asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_QUERY_S):
            yield
    except TimeoutError as error:
        raise errors.Unavailable("The portal's database takes too long at the moment.") from error


OPERATOR_HANDLERS: list[tuple[str, type[APIHandler]]] = [
    (r"/api/jsc/operators/overview", OverviewHandler),
    (r"/api/jsc/operators/labs", LabsHandler),
    (r"/api/jsc/operators/failures", FailuresHandler),
    (r"/api/jsc/operators/open", OpenHandler),
    (rf"/api/jsc/operators/starts/({names.START_ID.pattern[1:-1]})", StoryHandler),
]
