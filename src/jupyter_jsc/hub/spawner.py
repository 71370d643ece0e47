# SPDX-License-Identifier: BSD-3-Clause
"""JupyterHub's spawner of a lab: thin over :mod:`.starts`, which goes on where this hands over.

Truth lies in the journal: poll never says "ended" of what it does not know (V10), stop works without state (V3),
and after a restart of the hub ``get_url`` takes up the start where it was and waits until the lab answers, so
that JupyterHub's own wait cannot stop a job for a network fault (V8, V9, V11).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.spawner import Spawner, SpawnException
from pydantic import SecretStr

from jupyter_jsc import names, wire
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.hub.accounts import Account
from jupyter_jsc.hub.configure import LAB_SCOPE
from jupyter_jsc.hub.options import options_tree, validate
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.starts import StartEnded

_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|COOKIE", re.IGNORECASE)
_YEAR_S = 365 * 24 * 3600
_STOP_S = 15.0


class LabSpawner(Spawner):
    """Starts, polls and stops one lab through the manager of its system."""

    start_id = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.env_keep: list[str] = []
        self.start_timeout = _YEAR_S
        self.http_timeout = _YEAR_S
        self.poll_interval = 5
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
        """Return what JupyterHub stores; the journal has the rest."""
        return super().get_state() | ({"start_id": self.start_id} if self.start_id else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what JupyterHub stored."""
        super().load_state(state)
        self.start_id = state.get("start_id", "")

    def clear_state(self) -> None:
        """Forget the last start."""
        super().clear_state()
        self.start_id = ""

    async def start(self) -> str:
        """Return the address of a lab that answers; the journal is written before anything happens outside."""
        options = await self._checked_options()
        journal, starts = self.portal.journal, self.portal.starts
        await self._close_former()
        start_id = names.new_start_id()
        await journal.open_start(start_id, self.lab_id, self.user.name, self.name, options.model_dump(mode="json"))
        self.start_id = start_id
        self.portal.spawners[self.lab_id] = self
        self.orm_spawner.state = self.get_state()
        self.db.commit()
        try:
            address = await starts.run(self._start_lab(options), self._credentials)
        except StartEnded as error:
            raise _refusal(error.message, 500) from error
        except asyncio.CancelledError:
            await starts.finish(start_id, "cancelled", "hub", "The start was cancelled.")
            raise
        self.portal.spawn_task(self._announce(start_id))
        return address

    async def poll(self) -> int | None:
        """Return None unless the newest start has positively ended."""
        start = self.portal.journal.latest(self.lab_id)
        return None if start is not None and start.outcome is None else 0

    async def stop(self, now: bool = False) -> None:
        """End the lab's open start; job and tunnel follow, at once or as soon as their services answer again."""
        _ = now
        start = self.portal.journal.latest(self.lab_id)
        if start is not None:
            await self.portal.starts.finish(start.start_id, "stopped", "hub", "The lab was stopped.")
            await self.portal.starts.until_clean(start.start_id, _STOP_S)

    async def get_url(self) -> str:
        """Return the lab's address once it answers again after a restart of the hub.

        Called by JupyterHub for servers that it finds in its database. Waits as long as the lab has not
        ended; then JupyterHub is to give up soon.
        """
        start = self.portal.journal.latest(self.lab_id)
        if start is not None and start.outcome is None:
            self.portal.spawners[self.lab_id] = self
            self.portal.starts.lend_credentials(start.start_id, self._credentials)
            try:
                address = await self.portal.starts.resume(start.start_id)
            except StartEnded:
                pass
            else:
                self.portal.spawn_task(self._announce(start.start_id))
                return address
        self.http_timeout = 1
        return str(self.server.url)

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

    def _start_lab(self, options: wire.Options) -> wire.StartLab:
        system = self.portal.configuration.systems[options.system]
        if system.unicore.hub_connect_url:
            self.hub_connect_url = system.unicore.hub_connect_url
        env: Mapping[str, str] = {name: str(value) for name, value in self.get_env().items()}
        events = f"{env['JUPYTERHUB_API_URL']}/jsc/starts/{self.start_id}"
        return wire.StartLab(
            lab_id=self.lab_id,
            start_id=self.start_id,
            hub=self.portal.configuration.hub,
            user=self.user.name,
            options=options,
            env={name: value for name, value in env.items() if not _SECRET.search(name)},
            secrets={name: SecretStr(value) for name, value in env.items() if _SECRET.search(name)},
            events_url=f"{events}/events",
            started_url=f"{events}/started",
        )

    async def _checked_options(self) -> wire.Options:
        accounts = Account.of_auth_state(await self.user.get_auth_state())
        try:
            return validate(dict(self.user_options), options_tree(accounts, self.portal.configuration))
        except InvalidRequest as error:
            raise _refusal(error.message, 400) from error

    async def _credentials(self) -> SecretStr:
        token: SecretStr = await self.authenticator.fresh_access_token(self.user)
        return token

    async def _close_former(self) -> None:
        """Close a start that the hub forgot: one lab has one job."""
        former = self.portal.journal.latest(self.lab_id)
        if former is not None and former.outcome is None:
            await self.portal.starts.finish(former.start_id, "stopped", "hub", "Replaced by a new start.")

    async def _announce(self, start_id: str) -> None:
        """Say "ready" once JupyterHub has added the route; an earlier word would lead to an error page (V1)."""
        while self.pending:  # noqa: ASYNC110  JupyterHub sets flags and offers no event
            await asyncio.sleep(0.02)
        start = self.portal.journal.known(start_id)
        if self.ready and start is not None and start.outcome is None:
            await self.portal.starts.ready(start_id)


def _refusal(message: str, status: int) -> SpawnException:
    """Return an exception that JupyterHub shows without a traceback, on every page and stream (V4)."""
    error = SpawnException(message, reason="options" if status == 400 else "ended", status_code=status)
    error.jupyterhub_message = message
    return error
