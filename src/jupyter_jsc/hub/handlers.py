# SPDX-License-Identifier: BSD-3-Clause
"""The hub's API under ``/hub/api/jsc/``: labs and managers report, users' pages and programs ask.

Entered by ``LabAuthenticator.get_handlers``. XSRF protection is JupyterHub's own and on for every route that takes
a cookie; a lab's token must be the one of this very start.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.scopes import needs_scope
from pydantic import BaseModel, ValidationError

from jupyter_jsc import errors, names, wire
from jupyter_jsc.hub import labs
from jupyter_jsc.hub.accounts import Account
from jupyter_jsc.hub.configure import LAB_SCOPE, NOTICE_SCOPE
from jupyter_jsc.hub.journal import Start
from jupyter_jsc.hub.options import OptionTree, options_tree, validate
from jupyter_jsc.hub.portal import Portal

Model = TypeVar("Model", bound=BaseModel)
Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

_LARGEST_BODY = 64 * 1024
_UNWIND_S = 5.0
_CHANGEABLE = ("name", "display_name", "user_options")
"""What JupyterHub's own route changes of a stopped lab."""


def answers_errors(method: Method) -> Method:
    """Answer our errors as JSON with message, and with field, value and what is allowed where there are such."""

    @functools.wraps(method)
    async def wrapped(self: "JSCHandler", *args: Any, **kwargs: Any) -> None:
        try:
            await method(self, *args, **kwargs)
        except errors.JSCError as error:
            self.set_status(502 if isinstance(error, errors.HostKeyChanged) else error.status)
            self.set_header("Content-Type", "application/json")
            if error.retry_after_s is not None:
                self.set_header("Retry-After", str(int(error.retry_after_s)))
            self.finish(json.dumps({"status": error.status, "message": error.message} | _plain(error.detail)))

    return cast("Method", wrapped)


def _plain(detail: dict[str, Any]) -> dict[str, str]:
    return {name: str(detail[name]) for name in ("field", "value", "allowed") if name in detail}


class JSCHandler(APIHandler):
    """Base of our API handlers."""

    @property
    def portal(self) -> Portal:
        """The portal that this hub runs."""
        return self.authenticator.portal

    def body(self, model: type[Model]) -> Model:
        """Return the request's JSON as *model*, or raise :class:`errors.InvalidRequest`."""
        if len(self.request.body) > _LARGEST_BODY:
            raise errors.InvalidRequest(f"The body has more than {_LARGEST_BODY} bytes.")
        try:
            return model.model_validate_json(self.request.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "body"
            raise errors.InvalidRequest(f"{place}: {first['msg']}", field=place, allowed=first["msg"]) from error

    def caller(self, scope: str) -> Any:
        """Return the user who asks, or raise :class:`errors.Forbidden` without *scope*: a lab's token has none of these."""
        if self.current_user is None or not self.has_scope(f"{scope}!user={self.current_user.name}"):
            raise errors.Forbidden(f"This needs a login, or a token with the scope {scope}.")
        return self.user_of(self.current_user.name)

    async def tree(self, user: Any) -> OptionTree:
        """Return what *user* may choose now."""
        accounts = Account.of_auth_state(await user.get_auth_state())
        return options_tree(accounts, self.portal.configuration)

    def user_of(self, user_name: str) -> Any:
        """Return JupyterHub's user, or raise :class:`errors.NotFound`."""
        user = self.find_user(user_name)
        if user is None:
            raise errors.NotFound("There is no such user.")
        return user

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


class EventsHandler(JSCHandler):
    """A lab posts a line of its start's history."""

    @answers_errors
    async def post(self, start_id: str) -> None:
        """Append the event; 409 after the end of the start."""
        start = self.start_of_token(start_id)
        await self.portal.starts.lab_event(start, self.body(wire.Event))
        self.set_status(204)


class StartedHandler(JSCHandler):
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
        if NOTICE_SCOPE not in self.parsed_scopes:
            raise errors.Forbidden(f"This needs the scope {NOTICE_SCOPE}.")
        self.body(wire.SiteNotice)
        if self.portal.journal.known(start_id) is not None:
            self.portal.starts.wake()
        self.set_status(204)


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


class OptionsHandler(JSCHandler):
    """What the caller may choose."""

    @answers_errors
    async def get(self) -> None:
        """Answer the tree that the form renders."""
        tree = await self.tree(self.caller("read:servers"))
        systems = {name: _system_document(choice) for name, choice in tree.systems.items()}
        self.finish(json.dumps({"systems": systems}))


def _system_document(choice: Any) -> dict[str, Any]:
    return {
        "label": choice.label,
        "description": choice.description,
        "options": {key: {"label": option.label, "default": option.default} for key, option in choice.options.items()},
        "accounts": {
            name: {project: list(keys) for project, keys in projects.items()}
            for name, projects in choice.accounts.items()
        },
        "partitions": {key: partition.model_dump(mode="json") for key, partition in choice.partitions.items()},
    }


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
        await self._check(user_name, server_name)
        user, portal = self.find_user(user_name), self.authenticator.portal
        # JupyterHub would take the rest of a cancelled start for the start that is asked for.
        if not await _until(lambda: not labs.is_ending(user, server_name, portal)):
            raise errors.Conflict("The lab is still being stopped. Try again in a moment.")
        await super().post(user_name, server_name)
        spawner, journal = user.spawners[server_name], portal.journal
        await _until(lambda: spawner.pending != "spawn" or journal.known(spawner.start_id) is not None)

    @needs_scope("start:servers")
    @answers_errors
    async def put(self, user_name: str, server_name: str = "") -> None:
        """Create a stopped lab."""
        await self._check(user_name, server_name)
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
            await self._check(user_name, server_name)
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
            if not await _until(lambda: not spawner.pending):
                self.set_status(202)
                return
        await super().delete(user_name, server_name)

    async def _check(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        if user is None:
            raise errors.NotFound("There is no such user.")
        row = user.orm_spawners.get(server_name)
        options = self.get_server_json_body()["user_options"] or (row.user_options if row else None)
        accounts = Account.of_auth_state(await user.get_auth_state())
        validate(options, options_tree(accounts, self.authenticator.portal.configuration))


async def _until(condition: Callable[[], bool]) -> bool:
    """Return whether *condition* held within a few seconds; JupyterHub sets flags and offers no event."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_UNWIND_S):
            while not condition():  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)
    return condition()


_START = f"({names.START_ID.pattern[1:-1]})"
_LAB = r"([^/]+)/([^/]+)"

API_HANDLERS: list[tuple[str, type[APIHandler]]] = [
    (rf"/api/jsc/starts/{_START}/events", EventsHandler),
    (rf"/api/jsc/starts/{_START}/started", StartedHandler),
    (rf"/api/jsc/starts/{_START}/notice", NoticeHandler),
    (rf"/api/jsc/labs/{_LAB}/cancel", CancelHandler),
    (rf"/api/jsc/labs/{_LAB}/starts", StartsHandler),
    (rf"/api/jsc/labs/{_LAB}/starts/{_START}/events", HistoryHandler),
    (rf"/api/jsc/labs/{_LAB}", LabHandler),
    (r"/api/jsc/labs/([^/]+)", LabsHandler),
    (r"/api/jsc/options", OptionsHandler),
    (r"/api/users/([^/]+)/servers/([^/]+)", LabServerHandler),
]
