# SPDX-License-Identifier: BSD-3-Clause
"""The hub's API about labs, for users' pages and programs; ``API_HANDLERS`` is the whole API under ``/hub/api/jsc/``.

Entered by ``LabAuthenticator.get_handlers``.
"""

import json
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.scopes import needs_scope
from pydantic import BaseModel

from jupyter_jsc import errors, names, wire
from jupyter_jsc.hub import labs
from jupyter_jsc.hub.access import ACCESS_HANDLERS
from jupyter_jsc.hub.api import JSCHandler, answers_errors
from jupyter_jsc.hub.callbacks import CALLBACK_HANDLERS
from jupyter_jsc.hub.operators import OPERATOR_HANDLERS
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.readiness import READY_HANDLERS
from jupyter_jsc.rights.tree import OptionTree
from jupyter_jsc.rights.validate import check_start, validate

_CHANGEABLE = ("name", "display_name", "user_options")
"""What JupyterHub's own route changes of a stopped lab."""


class CancelHandler(JSCHandler):
    """A user ends a lab, at whatever moment of its life."""

    @needs_scope("delete:servers")
    @answers_errors
    async def post(self, user_name: str, server_name: str) -> None:
        """Cancel a start, also while the hub reconnects after a restart; stop a lab that runs."""
        await cancel(self, self.user_of(user_name), server_name, self.portal)
        self.set_status(204)


async def cancel(handler: Any, user: Any, server: str, portal: Portal) -> None:
    """End the lab's open start: the flow unwinds by itself, wherever it is; a lab in use is stopped by the hub."""
    latest = portal.journal.latest(portal.lab_id(user.name, server))
    spawner = user.spawners[server] if server in user.orm_spawners else None
    if spawner is not None and spawner.ready:
        await handler.stop_single_user(user, server)
    elif latest is not None and latest.outcome is None and (spawner is None or spawner.pending != "stop"):
        await portal.starts.finish(latest.start_id, "cancelled", "hub", "The start was cancelled.")


class LabsHandler(JSCHandler):
    """A user's labs."""

    @needs_scope("read:servers")
    @answers_errors
    async def get(self, user_name: str) -> None:
        """Answer all labs, also stopped ones."""
        user = self.user_of(user_name)
        found = labs.list_labs(user, self.portal, await self.tree(user))
        self.finish(json.dumps({"labs": [lab.document() for lab in found]}))


class _SaveLab(BaseModel):
    title: Any = None
    options: Any = None


class LabHandler(JSCHandler):
    """One lab: create, change, delete."""

    @needs_scope("start:servers")
    @answers_errors
    async def put(self, user_name: str, server_name: str) -> None:
        """Create the lab or change the stopped lab; 400 names field, value and what is allowed."""
        user = self.user_of(user_name)
        wanted = self.body(_SaveLab)
        lab = labs.save_lab(
            user, server_name, wanted.title, wanted.options, portal=self.portal, tree=await self.tree(user)
        )
        self.finish(json.dumps(lab.document()))

    @needs_scope("delete:servers")
    @answers_errors
    async def delete(self, user_name: str, server_name: str) -> None:
        """Delete the stopped lab with its history."""
        await labs.delete_lab(self.user_of(user_name), server_name, portal=self.portal)
        self.set_status(204)


class StartsHandler(JSCHandler):
    """The starts of a lab."""

    @needs_scope("read:servers")
    @answers_errors
    async def get(self, user_name: str, server_name: str) -> None:
        """Answer the newest starts, the newest first."""
        found = await self.portal.journal.starts(self.portal.lab_id(user_name, server_name))
        self.finish(json.dumps({"starts": [start.document() for start in found]}))


class HistoryHandler(JSCHandler):
    """The events of a start."""

    @needs_scope("read:servers")
    async def get(self, user_name: str, server_name: str, start_id: str) -> None:
        """Answer the events, the oldest first."""
        lab_id = self.portal.lab_id(user_name, server_name)
        events = [event.document() for event in await self.portal.journal.events(start_id) if event.lab_id == lab_id]
        self.finish(json.dumps({"events": events}))


class LabServerHandler(UserServerAPIHandler):
    """JupyterHub's own server API, with the options checked before anything is stored or started.

    A start answers before its options would be looked at (``slow_spawn_timeout`` is 0), so the check comes first.
    """

    @needs_scope("start:servers")
    @answers_errors
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Start the lab with the options given, or else with those saved; answered once the journal has the start."""
        user, portal = self._user(user_name), self.authenticator.portal
        options, tree = await self._checked(user, server_name)
        check_start(options, tree)
        # JupyterHub would take the rest of a cancelled start for the start that is asked for.
        if not await labs.until(lambda: not labs.is_ending(user, server_name, portal)):
            raise errors.Conflict("The lab is still being stopped. Try again in a moment.")
        await super().post(user_name, server_name)
        await labs.until_begun(user.spawners[server_name])

    @needs_scope("start:servers")
    @answers_errors
    async def put(self, user_name: str, server_name: str = "") -> None:
        """Create a stopped lab."""
        await self._checked(self._user(user_name), server_name)
        await super().put(user_name, server_name)

    @needs_scope("start:servers")
    @answers_errors
    async def patch(self, user_name: str, server_name: str = "") -> None:
        """Change a stopped lab's options or title; JupyterHub's own route fails on an unknown field (V13)."""
        body, allowed = self.get_json_body(), ", ".join(_CHANGEABLE)
        for field in [name for name in body if name not in _CHANGEABLE] if isinstance(body, dict) else ["body"]:
            raise errors.InvalidRequest(
                f"{field[:50]}: not possible. Allowed: {allowed}.", field=field, allowed=allowed
            )
        if "user_options" in body:
            await self._checked(self._user(user_name), server_name)
        await super().patch(user_name, server_name)

    @needs_scope("delete:servers")
    @answers_errors
    async def delete(self, user_name: str, server_name: str = "") -> None:
        """Stop the lab, also while it starts or the hub reconnects to it, where JupyterHub's own route fails (V9)."""
        user = self.find_user(user_name)
        if (
            user is not None
            and server_name in user.spawners
            and user.spawners[server_name].pending in {"spawn", "check"}
        ):
            spawner = user.spawners[server_name]
            await cancel(self, user, server_name, self.authenticator.portal)
            if not await labs.until(lambda: not spawner.pending):
                self.set_status(202)
                return
        await super().delete(user_name, server_name)

    def _user(self, user_name: str) -> Any:
        user = self.find_user(user_name)
        if user is None:
            raise errors.NotFound("There is no such user.")
        return user

    async def _checked(self, user: Any, server_name: str) -> tuple[wire.Options, OptionTree]:
        """Return the options of the request, or else those that are saved, with the tree that they are in."""
        row = user.orm_spawners.get(server_name)
        options = self.get_server_json_body()["user_options"] or (row.user_options if row else None)
        tree = self.authenticator.portal.tree(user, await user.get_auth_state(), server_name)
        return validate(options, tree), tree


_START = f"({names.START_ID.pattern[1:-1]})"
_LAB = r"([^/]+)/([^/]+)"

API_HANDLERS: list[tuple[str, type[APIHandler]]] = [
    *CALLBACK_HANDLERS,
    *ACCESS_HANDLERS,
    *READY_HANDLERS,
    *OPERATOR_HANDLERS,
    (rf"/api/jsc/labs/{_LAB}/cancel", CancelHandler),
    (rf"/api/jsc/labs/{_LAB}/starts", StartsHandler),
    (rf"/api/jsc/labs/{_LAB}/starts/{_START}/events", HistoryHandler),
    (rf"/api/jsc/labs/{_LAB}", LabHandler),
    (r"/api/jsc/labs/([^/]+)", LabsHandler),
    (r"/api/users/([^/]+)/servers/([^/]+)", LabServerHandler),
]
