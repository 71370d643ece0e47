# SPDX-License-Identifier: BSD-3-Clause
"""What labs and managers tell the hub: events, where a lab listens, that a site spoke.

A lab's token must be the one of this very start; what it says goes to :mod:`.starts`.
"""

from typing import Any

from jupyterhub.apihandlers.base import APIHandler

from jupyter_jsc import errors, names, wire
from jupyter_jsc.hub.api import JSCHandler, answers_errors
from jupyter_jsc.hub.configure import LAB_SCOPE, NOTICE_SCOPE
from jupyter_jsc.hub.records import Start


class LabCallback(JSCHandler):
    """Base of what a lab posts about its own start."""

    def start_of_token(self, start_id: str) -> Start:
        """Return the start, if the request's token is the one that this very start's lab was given.

        Raises :class:`errors.NotFound` for any other start, :class:`errors.Forbidden` for any other token.
        """
        start = self.portal.journal.known(start_id)
        if start is None:
            raise errors.NotFound("There is no such start, or it is over.")
        held = self.parsed_scopes.get(LAB_SCOPE)
        own = isinstance(held, dict) and f"{start.user}/{start.server}" in held.get("server", ())
        if not (own and self._spawner(start).is_token_of(start_id, self.get_auth_token() or "")):
            self.log.warning("Refused a callback for %s: the token is not that of this start", start_id)
            raise errors.Forbidden("This token is not the one of this start.")
        return start

    def _spawner(self, start: Start) -> Any:
        return self.user_of(start.user).spawners[start.server]


class EventsHandler(LabCallback):
    """A lab posts a line of its start's history."""

    @answers_errors
    async def post(self, start_id: str) -> None:
        """Append the event; 409 after the end of the start."""
        start = self.start_of_token(start_id)
        await self.portal.starts.lab_event(start, self.body(wire.Event))
        self.set_status(204)


class StartedHandler(LabCallback):
    """A lab says where it listens."""

    @answers_errors
    async def post(self, start_id: str) -> None:
        """Note the target if it lies in the job's allocation; the same word twice is one."""
        start = self.start_of_token(start_id)
        await self.portal.starts.lab_started(start, self.body(wire.LabStarted))
        self.set_status(204)


class NoticeHandler(JSCHandler):
    """A manager passes on that a site spoke of a start."""

    @answers_errors
    async def post(self, start_id: str) -> None:
        """Look at the start at once; what the notice says is a hint, not a truth."""
        self.need(NOTICE_SCOPE)
        self.body(wire.SiteNotice)
        if self.portal.journal.known(start_id) is not None:
            self.portal.starts.wake()
        self.set_status(204)


_START = f"({names.START_ID.pattern[1:-1]})"

CALLBACK_HANDLERS: list[tuple[str, type[APIHandler]]] = [
    (rf"/api/jsc/starts/{_START}/events", EventsHandler),
    (rf"/api/jsc/starts/{_START}/started", StartedHandler),
    (rf"/api/jsc/starts/{_START}/notice", NoticeHandler),
]
