# SPDX-License-Identifier: BSD-3-Clause
"""A user's labs: JupyterHub's named servers with what the journal knows of them. Called by pages and handlers."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_jsc import errors, names
from jupyter_jsc.config.base import Text
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.records import Start
from jupyter_jsc.rights.tree import FREE, OptionTree
from jupyter_jsc.rights.validate import blocked, validate

TITLE_LENGTH = 60
_CLEAN_S = 10.0
_UNWIND_S = 5.0
_BEGUN_S = 60.0


@dataclass(frozen=True)
class Lab:
    """A lab as a user sees it."""

    server: str
    title: str
    options: Mapping[str, Any]
    state: str
    """``stopped``, ``starting``, ``running``, ``stopping`` or ``reconnecting``."""
    start: Start | None
    """The newest start, open or ended."""
    url: str
    problem: str
    """Why the saved options are no longer possible; empty if they are."""
    blocked: Text = FREE
    """Why a lab that is stopped cannot be started just now although its options are possible; empty if it can."""

    def document(self) -> dict[str, Any]:
        """Return the lab as JSON for the API."""
        return {
            "server": self.server,
            "title": self.title,
            "options": dict(self.options),
            "state": self.state,
            "url": self.url,
            "problem": self.problem,
            "blocked": self.blocked.en,
            "start": self.start.document() if self.start else None,
        }


def list_labs(user: Any, portal: Portal, tree: OptionTree) -> list[Lab]:
    """Return all labs of JupyterHub's *user*."""
    return [_lab(user, row, portal, tree) for name, row in user.orm_spawners.items() if name]


def find_lab(user: Any, server: str, portal: Portal, tree: OptionTree) -> Lab:
    """Return one lab, or raise :class:`errors.NotFound`."""
    row = user.orm_spawners.get(server)
    if not server or row is None:
        raise errors.NotFound(f"There is no lab {server!r}.")
    return _lab(user, row, portal, tree)


def save_lab(user: Any, server: str, title: object, options: object, *, portal: Portal, tree: OptionTree) -> Lab:
    """Create a lab, or change a stopped one, once title and options are checked.

    Raises :class:`errors.InvalidRequest`, and :class:`errors.Conflict` while the lab runs.
    """
    checked = validate(options, tree).model_dump(mode="json")
    if not isinstance(title, str) or not title.strip() or len(title) > TITLE_LENGTH or not title.isprintable():
        allowed = f"1 to {TITLE_LENGTH} printable characters"
        raise errors.InvalidRequest(
            f"title: Allowed: {allowed}.", field="title", value=repr(title)[:50], allowed=allowed
        )
    if len(server) > names.SERVER_NAME_LENGTH or not names.SERVER_NAME.match(server):
        allowed = "up to 30 of a-z, 0-9 and single hyphens, beginning with a letter"
        raise errors.InvalidRequest(f"server: {server[:50]!r}. Allowed: {allowed}.", field="server", allowed=allowed)
    if server in user.spawners and user.spawners[server].active:
        raise errors.Conflict("The lab is in use. Stop it before you change it.")
    spawner = user.get_or_create_spawner(server, title.strip(), replace_failed=True)
    spawner.orm_spawner.display_name = title.strip()
    spawner.user_options = spawner.orm_spawner.user_options = checked
    user.db.commit()
    portal.journal.list_changed(user.name)
    return find_lab(user, server, portal, tree)


async def delete_lab(user: Any, server: str, *, portal: Portal) -> None:
    """Delete a stopped lab with its history; :class:`errors.Conflict` while anything of it may still run."""
    row = user.orm_spawners.get(server)
    if not server or row is None:
        raise errors.NotFound(f"There is no lab {server!r}.")
    if server in user.spawners and user.spawners[server].active:
        raise errors.Conflict("The lab is in use. Stop it before you delete it.")
    lab_id = portal.lab_id(user.name, server)
    for start in portal.journal.unfinished():
        if start.lab_id == lab_id and not await portal.starts.until_clean(start.start_id, _CLEAN_S):
            raise errors.Conflict("The lab's last job is still being stopped. Try again in a minute.")
    await user.spawners[server].delete_forever()
    user.spawners.pop(server, None)
    user.db.delete(row)
    user.db.commit()


async def until_begun(spawner: Any) -> None:
    """Return once the journal has the start that JupyterHub has begun, or a long while has passed.

    Raises :class:`errors.Conflict` or :class:`errors.InvalidRequest` if the last check refused it: a lab that started
    at the same moment took the place, or a commit has changed what is possible.
    """
    journal = spawner.portal.journal
    # Among many starts at once the last check has its turn late; an answer before it would be a guess.
    await until(lambda: spawner.pending != "spawn" or journal.known(spawner.start_id) is not None, _BEGUN_S)
    if spawner.refusal is not None:
        raise spawner.refusal


async def until(condition: Callable[[], bool], longest_s: float = _UNWIND_S) -> bool:
    """Return whether *condition* held within *longest_s* seconds; JupyterHub sets flags and offers no event."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            while not condition():  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)
    return condition()


def is_ending(user: Any, server: str, portal: Portal) -> bool:
    """Tell whether JupyterHub has yet to notice the end of the lab's last start."""
    return _state(user.spawners.get(server), portal.journal.latest(portal.lab_id(user.name, server))) == "stopping"


def _lab(user: Any, row: Any, portal: Portal, tree: OptionTree) -> Lab:
    start = portal.journal.latest(portal.lab_id(user.name, row.name))
    options = row.user_options or {}
    state = _state(user.spawners.get(row.name), start)
    problem, hindrance = _hindrances(options, tree)
    return Lab(
        server=row.name,
        title=row.display_name or row.name,
        options=options,
        state=state,
        start=start,
        url=user.server_url(row.name),
        problem=problem,
        blocked=hindrance if state == "stopped" else FREE,
    )


def _state(spawner: Any, start: Start | None) -> str:
    if spawner is None or not spawner.active:
        return "stopped"
    if spawner.pending == "spawn" and (start is None or start.start_id != spawner.start_id):
        return "starting"
    if spawner.pending == "stop" or start is None or start.outcome is not None:
        return "stopping"
    if spawner.pending == "check" and start.host is not None:
        return "reconnecting"
    return "running" if spawner.ready else "starting"


def _hindrances(options: Mapping[str, Any], tree: OptionTree) -> tuple[str, Text]:
    """Return why *options* are not possible, and if they are, why they cannot be started just now."""
    try:
        return "", blocked(validate(dict(options), tree), tree)
    except errors.InvalidRequest as error:
        return error.message, FREE
