# SPDX-License-Identifier: BSD-3-Clause
"""JupyterHub's spawner of a lab: thin over :mod:`.starts`, which goes on where this hands over.

Truth lies in the journal: poll never says "ended" of what it does not know (V10), stop works without state (V3),
and after a restart of the hub ``get_url`` takes up the start where it was and waits until the lab answers, so
that JupyterHub's own wait cannot stop a job for a network fault (V8, V9, V11).
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.spawner import Spawner, SpawnException
from pydantic import SecretStr

from jupyter_jsc import errors, names, wire
from jupyter_jsc.hub.configure import LAB_SCOPE
from jupyter_jsc.hub.credentials import seal, unseal
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.records import Start
from jupyter_jsc.hub.starts import StartEnded
from jupyter_jsc.rights.validate import check_start, validate

_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|COOKIE", re.IGNORECASE)
_YEAR_S = 365 * 24 * 3600
_HTTP_S = 300
"""How long JupyterHub waits for a lab that has answered us a moment ago."""
_STOP_S = 15.0
_AGAIN_S = 10.0
_NOWHERE = "http://127.0.0.1:9"
"""The discard port, where nothing answers: JupyterHub needs an address even for a lab that has ended."""


class LabSpawner(Spawner):
    """Starts, polls and stops one lab through the manager of its system."""

    start_id = ""
    refusal: errors.JSCError | None = None
    """Why the last start was refused before it was one; None if it was not."""
    _wanted: Mapping[str, Any]
    _token_hash = ""
    _sealed = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.env_keep: list[str] = []
        self.start_timeout = _YEAR_S
        self.http_timeout = _HTTP_S
        self.poll_interval = 5
        self.apply_user_options = _take_options
        self.server_token_scopes = ["users:activity!user", "access:servers!server", f"{LAB_SCOPE}!server"]

    @property
    def portal(self) -> Portal:
        """The portal that this hub runs."""
        return self.authenticator.portal

    @property
    def lab_id(self) -> str:
        """The lab's id."""
        return self.portal.lab_id(self.user.name, self.name)

    def get_state(self) -> dict[str, Any]:
        """Return what JupyterHub stores; the journal has the rest. The lab's token is there encrypted only."""
        if not self.start_id:
            return super().get_state()
        ours = {"start_id": self.start_id, "token_hash": self._token_hash, "sealed": self._sealed}
        return super().get_state() | ours

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what JupyterHub stored."""
        super().load_state(state)
        self.start_id = state.get("start_id", "")
        self._token_hash = state.get("token_hash", "")
        self._sealed = state.get("sealed", "")

    def clear_state(self) -> None:
        """Forget the last start."""
        super().clear_state()
        self.start_id = self._token_hash = self._sealed = ""

    def is_token_of(self, start_id: str, token: str) -> bool:
        """Tell whether *token* is the one that the lab of this very start was given."""
        known = self.start_id == start_id and bool(self._token_hash)
        return known and hmac.compare_digest(_hash(token), self._token_hash)

    async def start(self) -> str:
        """Return the address of a lab that answers; the journal is written before anything happens outside."""
        # SQLite: nothing that the hub's session holds may lock out the journal's own connection.
        self.db.commit()
        try:
            await self._close_former()
            start = await self._open_start()
            address = await self.portal.starts.run(self.start_id, await self._start_lab(start))
        except errors.JSCError as error:
            raise _refusal(error) from error
        # A start that is cancelled stays open here: JupyterHub calls stop() after a user's cancel, and does not
        # when the hub itself goes down.
        self.portal.spawn_task(self._announce(self.start_id))
        return address

    async def poll(self) -> int | None:
        """Return None unless the newest start has positively ended."""
        start = self.portal.journal.latest(self.lab_id)
        return None if start is not None and start.outcome is None else 0

    async def stop(self, now: bool = False) -> None:
        """End the lab's open start; job and tunnel follow, at once or as soon as their services answer again."""
        _ = now
        start = self.portal.journal.latest(self.lab_id)
        if start is None:
            return
        if await self.portal.starts.was_ready(start.start_id):
            await self.portal.starts.finish(start.start_id, "stopped", "hub", "The lab was stopped.")
        else:
            await self.portal.starts.finish(start.start_id, "cancelled", "hub", "The start was cancelled.")
        await self.portal.starts.until_clean(start.start_id, _STOP_S)

    async def get_url(self) -> str:
        """Return the lab's address once it answers again after a restart of the hub.

        Called by JupyterHub for servers that it finds in its database. Waits as long as the lab has not
        ended, and submits a start whose job the site does not have yet; then JupyterHub is to give up soon.
        """
        while (start := self.portal.journal.latest(self.lab_id)) is not None and start.outcome is None:
            self.portal.spawners[self.lab_id] = self
            try:
                address = await self._resumed(start)
            except StartEnded as error:
                self.log.info("%s is over: %s", self._log_name, error.message)
            except Exception:  # JupyterHub would forget the lab, and its job would run on alone (V8)
                self.log.exception("%s cannot be resumed now, trying again", self._log_name)
                await asyncio.sleep(_AGAIN_S)
            else:
                self.portal.spawn_task(self._announce(start.start_id, resumed=True))
                return f"{address}{self.server.base_url}"
        self.http_timeout = 1
        return _NOWHERE

    async def start_ended(self, start_id: str) -> None:
        """Return once JupyterHub has noticed that a start is over. Called by the portal."""
        if self.ready and self.start_id == start_id:
            await self.poll_and_notify()
        elif self._waiting_for_response and self._spawn_future is not None and self.start_id == start_id:
            # JupyterHub waits for an answer of a lab that is gone, and nobody else would end that.
            self._spawn_future.cancel()
            await asyncio.wait({self._spawn_future})
            await self.user.stop(self.name)
        while self.active and self.start_id in {start_id, ""}:  # noqa: ASYNC110  JupyterHub sets flags and offers no event
            await asyncio.sleep(0.02)

    async def delete_forever(self) -> None:
        """Forget the lab's history. Called by JupyterHub when the stopped lab or its user is deleted."""
        await self.portal.journal.forget(self.lab_id)
        self.portal.journal.list_changed(self.user.name)

    async def rename(self, old_name: str, new_name: str) -> None:
        """Refuse: jobs, tunnels and history are found by the name; the title is what people read."""
        _ = old_name, new_name
        raise SpawnException("The name of a lab stays as it is. Change its title.", reason="rename", status_code=400)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of the start for JupyterHub's own progress stream, replayed for each watcher."""
        start = self.portal.journal.latest(self.lab_id)
        seen = 0
        while start is not None:
            for event in await self.portal.journal.events(start.start_id):
                if event.id > seen:
                    seen = event.id
                    yield {"progress": min(event.progress, 99), "message": event.text}
            if (current := self.portal.journal.known(start.start_id)) is None or current.outcome is not None:
                return
            await asyncio.sleep(0.5)

    async def _start_lab(self, start: Start) -> wire.StartLab:
        system = (await self.portal.clients.reaching(start)).systems.get(start.system)
        env: Mapping[str, str] = {name: str(value) for name, value in self.get_env().items()}
        events = f"{env['JUPYTERHUB_API_URL']}/jsc/starts/{self.start_id}"
        return wire.StartLab(
            lab_id=self.lab_id,
            start_id=self.start_id,
            hub=self.portal.name,
            user=self.user.name,
            options=wire.Options.model_validate(start.options),
            groups=list(start.groups),
            configuration=start.configuration,
            env={name: value for name, value in env.items() if not _SECRET.search(name)},
            secrets={name: SecretStr(value) for name, value in env.items() if _SECRET.search(name)},
            events_url=f"{events}/events",
            started_url=f"{events}/started",
            hub_urls=list(system.hub_urls) if system is not None else [],
        )

    async def _open_start(self) -> Start:
        """Check what is wanted with the rights of now, then write the start into the journal.

        JupyterHub's database gets what its resumption needs (V6). Nobody else's start is counted or written in between.
        """
        start_id = names.new_start_id()
        sealed = (await seal({"api_token": self.api_token})).decode("ascii")
        state = await self.user.get_auth_state()
        async with self.portal.admission:
            version = self.portal.current.version
            options, groups = self._admitted(state)
            # The state first: a start that the journal knows can then always be resumed.
            self.start_id, self._token_hash, self._sealed = start_id, _hash(self.api_token), sealed
            self.portal.spawners[self.lab_id] = self
            self.orm_spawner.state = self.get_state()
            self.db.commit()
            return await self.portal.journal.open_start(
                start_id,
                self.lab_id,
                self.user.name,
                self.name,
                options.model_dump(mode="json"),
                configuration=version,
                groups=groups,
            )

    def _admitted(self, auth_state: Mapping[str, Any] | None) -> tuple[wire.Options, tuple[str, ...]]:
        """Return the options, and the groups whose rights they need; raises what hinders, kept in ``refusal``."""
        tree = self.portal.tree(self.user, auth_state, self.name)
        try:
            options = validate(dict(self._wanted), tree)
            check_start(options, tree)
        except (errors.InvalidRequest, errors.Conflict) as error:
            self.refusal = error
            raise
        return options, tree.groups

    async def _resumed(self, start: Start) -> str:
        self.api_token = (await unseal(self._sealed.encode("ascii"))).get("api_token", "") if self._sealed else ""
        starts = self.portal.starts
        if await starts.was_ready(start.start_id):
            return await starts.reconnect(start.start_id)
        known = self.api_token and self.start_id == start.start_id
        lab = await self._start_lab(start) if known else None
        return await starts.run(start.start_id, lab)

    async def _close_former(self) -> None:
        """Close a start that the hub forgot: one lab has one job."""
        former = self.portal.journal.latest(self.lab_id)
        if former is not None and former.outcome is None:
            await self.portal.starts.finish(former.start_id, "stopped", "hub", "Replaced by a new start.")

    async def _announce(self, start_id: str, *, resumed: bool = False) -> None:
        """Say "ready" once there is a route; an earlier word would lead to an error page (V1).

        JupyterHub adds the route of a new start. Of those that it resumes it adds all at once, when the last of
        them, which may be queued for hours, has an answer; so the route of a *resumed* one is added here.
        """
        while self.pending:  # noqa: ASYNC110  JupyterHub sets flags and offers no event
            await asyncio.sleep(0.02)
        if resumed:
            await self.portal.route(self.user, self.name)
        start = self.portal.journal.known(start_id)
        if self.ready and start is not None and start.outcome is None:
            if start.last is None or start.last.code != "ready":
                await self.portal.starts.say(start_id, "ready", 100, "The lab is ready.")
            self.portal.journal.list_changed(self.user.name)


async def _take_options(spawner: LabSpawner, user_options: Mapping[str, Any]) -> None:
    """Keep what is wanted until :meth:`LabSpawner.start` checks it. Called by JupyterHub (``apply_user_options``)."""
    if not spawner.name:
        raise _refusal(errors.InvalidRequest("A lab needs a name.", field="server", allowed="a name"))
    spawner._wanted, spawner.refusal = user_options, None  # noqa: SLF001  a hook of this class, as JupyterHub wants it


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _refusal(error: errors.JSCError) -> SpawnException:
    """Return an exception that JupyterHub shows without a traceback, on every page and stream (V4)."""
    checked = isinstance(error, errors.InvalidRequest | errors.Conflict)
    refusal = SpawnException(
        error.message, reason="options" if checked else "ended", status_code=error.status if checked else 500
    )
    refusal.jupyterhub_message = error.message
    return refusal
