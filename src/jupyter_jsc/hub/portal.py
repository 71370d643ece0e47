# SPDX-License-Identifier: BSD-3-Clause
"""The portal inside the hub: configuration, journal, clients, starts, supervisor. One object, owned by the authenticator.

Reached as ``authenticator.portal`` by spawner, handlers and pages. What a ``jupyterhub_config.py`` must set is
done by :func:`jupyter_jsc.hub.configure.configure`.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self
from weakref import WeakValueDictionary

import structlog

from jupyter_jsc import names
from jupyter_jsc.client import ManagerClient, TunnelClient
from jupyter_jsc.config import load
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.hub.journal import Journal, Start
from jupyter_jsc.hub.starts import Starts
from jupyter_jsc.hub.supervisor import Supervisor

log = structlog.get_logger()


@dataclass
class Portal:
    """Everything of ours that lives as long as the hub."""

    configuration: Configuration
    journal: Journal
    managers: dict[str, ManagerClient]
    tunnels: TunnelClient
    starts: Starts
    poll_interval_s: float
    spawners: WeakValueDictionary[str, Any] = field(default_factory=WeakValueDictionary)
    """The spawners of labs in use, by lab id; each enters itself."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def from_settings(cls, settings: HubSettings, *, database_url: str) -> Self:
        """Return a portal whose tables are there and whose clients are not yet open."""
        configuration = load.load(settings.configuration)
        journal = Journal(database_url)
        journal.open()
        managers = {
            name: ManagerClient(str(configuration.managers[name].url), token_file)
            for name, token_file in settings.manager_token_files.items()
        }
        tunnels = TunnelClient(str(configuration.tunnelmgr.url), settings.tunnelmgr_token_file)
        starts = Starts(configuration, journal, managers, tunnels)
        return cls(configuration, journal, managers, tunnels, starts, settings.poll_interval_s)

    def lab_id(self, user: str, server: str) -> str:
        """Return the id of a user's lab."""
        return names.lab_id(self.configuration.hub, user, server)

    def start(self) -> None:
        """Begin to supervise. Called once, inside the hub's running loop."""
        self.spawn_task(self._run())

    def spawn_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* in the background, owned by the portal, with errors in the log."""

        async def guarded() -> None:
            try:
                await work
            except Exception:  # the outermost frame of a background task
                log.exception("background task failed")

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all tasks, close clients and journal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.journal.close()

    async def _run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for client in (*self.managers.values(), self.tunnels):
                await stack.enter_async_context(client)
            await Supervisor(self.starts, self.managers, self.poll_interval_s, self._ended).run()

    async def _ended(self, start: Start) -> None:
        """Let JupyterHub notice at once that a lab in use has ended by itself."""
        spawner = self.spawners.get(start.lab_id)
        if spawner is not None and spawner.ready:
            await spawner.poll_and_notify()
