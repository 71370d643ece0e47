# SPDX-License-Identifier: BSD-3-Clause
"""The portal inside the hub: configuration, journal, clients, starts, supervisor. One object, owned by the authenticator.

Reached as ``authenticator.portal`` by spawner, handlers and pages. What a ``jupyterhub_config.py`` must set is
done by :func:`jupyter_jsc.hub.configure.configure`: authenticator and spawner classes, the custom scopes
``custom:jsc:lab`` (held by users, given to labs) and ``custom:jsc:notice`` (role of the managers' services),
``slow_spawn_timeout`` 0, named servers, servers and proxy left alone at shutdown.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self
from weakref import WeakValueDictionary

import structlog
from jupyterhub.app import JupyterHub
from pydantic import SecretStr

from jupyter_jsc import errors, names
from jupyter_jsc.client import ManagerClient, TunnelClient
from jupyter_jsc.config import load
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.hub.journal import Journal, Start
from jupyter_jsc.hub.starts import Starts
from jupyter_jsc.hub.supervisor import Supervisor

_AGAIN_S = 5.0

log = structlog.get_logger()


@dataclass
class Portal:
    """Everything of ours that lives as long as the hub."""

    configuration: Configuration
    journal: Journal
    managers: dict[str, ManagerClient]
    tunnels: TunnelClient
    poll_interval_s: float
    starts: Starts = field(init=False)
    spawners: WeakValueDictionary[str, Any] = field(default_factory=WeakValueDictionary)
    """The spawners of labs in use, by lab id; each enters itself."""
    _hub: JupyterHub = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.starts = Starts(
            self.configuration,
            self.journal,
            self.managers,
            self.tunnels,
            token_of=self._token_of,
            on_end=lambda start: self.spawn_task(self._ended(start)),
        )

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
        return cls(configuration, journal, managers, tunnels, settings.poll_interval_s)

    def lab_id(self, user: str, server: str) -> str:
        """Return the id of a user's lab."""
        return names.lab_id(self.configuration.hub, user, server)

    def start(self, hub: JupyterHub) -> None:
        """Begin to supervise in *hub*, until its loop ends. Called once, inside that loop."""
        self._hub = hub
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

    async def route(self, user: Any, server: str) -> None:
        """Lead a ready lab's address to it; a proxy that does not answer is asked until the lab is ready no more."""
        while user.spawners[server].ready:
            try:
                await self._hub.proxy.add_user(user, server)
            except Exception:  # whatever the proxy's own driver raises
                log.exception("the proxy took no route", user=user.name, server=server)
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _run(self) -> None:
        """Supervise until JupyterHub cancels all tasks at its end. The journal stays open: others may still write."""
        async with contextlib.AsyncExitStack() as stack:
            for client in (*self.managers.values(), self.tunnels):
                await stack.enter_async_context(client)
            await Supervisor(self.starts, self.managers, self.poll_interval_s).run()

    async def _token_of(self, user_name: str) -> SecretStr:
        """Return the user's fresh access token, also when no request or spawner of the user is there."""
        try:
            user = self._hub.users[user_name]
        except KeyError:
            raise errors.CredentialRefused("This user is not known to the portal any more.") from None
        token: SecretStr = await self._hub.authenticator.fresh_access_token(user)
        return token

    async def _ended(self, start: Start) -> None:
        """Let JupyterHub notice at once that a start is over, then tell the user's pages."""
        spawner = self.spawners.get(start.lab_id)
        if spawner is not None:
            await spawner.start_ended(start.start_id)
        self.journal.list_changed(start.user)
