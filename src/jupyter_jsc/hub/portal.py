# SPDX-License-Identifier: BSD-3-Clause
"""The portal inside the hub: configuration, journal, clients, starts, supervisor. One object, owned by the authenticator.

Reached as ``authenticator.portal`` by spawner, handlers and pages. What a ``jupyterhub_config.py`` must set is
done by :func:`jupyter_jsc.hub.configure.configure`: authenticator and spawner classes, the custom scopes
``custom:jsc:lab`` (held by users, given to labs), ``custom:jsc:notice`` (role of the managers' services) and
``custom:jsc:accounts`` (role of the service that pushes account lists),
``slow_spawn_timeout`` 0, named servers, servers and proxy left alone at shutdown.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from weakref import WeakValueDictionary

import structlog
from jupyterhub.app import JupyterHub
from prometheus_client import REGISTRY
from pydantic import SecretStr

from jupyter_jsc import errors, names
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.hub.clients import Clients
from jupyter_jsc.hub.health import Health
from jupyter_jsc.hub.identity import identity_of
from jupyter_jsc.hub.journal import Journal
from jupyter_jsc.hub.records import Start
from jupyter_jsc.hub.starts import Starts
from jupyter_jsc.hub.supervisor import Supervisor
from jupyter_jsc.rights.identity import Facts, LiveLab
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.tree import OptionTree

_AGAIN_S = 5.0

log = structlog.get_logger()


@dataclass
class Portal:
    """Everything of ours that lives as long as the hub."""

    current: Current
    journal: Journal
    clients: Clients
    poll_interval_s: float
    starts: Starts = field(init=False)
    health: Health = field(init=False)
    spawners: WeakValueDictionary[str, Any] = field(default_factory=WeakValueDictionary)
    """The spawners of labs in use, by lab id; each enters itself."""
    admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from counting the labs in use to writing a start down, so that no two starts fill the same place."""
    name: str = field(init=False)
    """The portal's name, part of every lab id. A commit that changes it must not make running labs unknown."""
    state_locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By user name; held while a user's auth_state is read, changed and stored."""
    _hub: JupyterHub = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.name = self.configuration.hub
        self.starts = Starts(
            self.clients,
            self.journal,
            token_of=self._token_of,
            on_end=lambda start: self.spawn_task(self._ended(start)),
        )
        self.health = Health(self.clients)

    @classmethod
    def from_settings(cls, settings: HubSettings, *, database_url: str) -> Self:
        """Return a portal whose tables are there and whose clients are not yet open.

        Raises :class:`errors.InvalidRequest` if the configuration gives the portal another name than its labs know.
        """
        current = Current(settings.configuration)
        journal = Journal(database_url)
        journal.open()
        clients = Clients(current, settings.manager_token_files, settings.tunnelmgr_token_file)
        portal = cls(current, journal, clients, settings.poll_interval_s)
        for start in journal.unfinished():
            if start.lab_id != portal.lab_id(start.user, start.server):
                message = f"The configuration's `hub` is {portal.name!r}, but labs are in use under another name."
                journal.close()
                raise errors.InvalidRequest(message, field="hub", value=portal.name, allowed="the name as it was")
        return portal

    @property
    def configuration(self) -> Configuration:
        """The configuration that is in force. Read it at each use: a commit may change it at any moment."""
        return self.current.configuration

    def facts(self, user: Any, except_server: str = "") -> Facts:
        """Return what is in use now, as far as it matters to *user*, without the lab *except_server* of theirs."""
        own = self.journal.open_of(user.name)
        rows = user.orm_spawners
        groups = dict(self.journal.open_by_group)
        for start in own:
            if start.server == except_server:
                groups |= {group: groups[group] - 1 for group in start.groups}
        return Facts(
            labs=tuple(_live(start, rows.get(start.server)) for start in own if start.server != except_server),
            group_labs=groups,
            health=self.health.systems(self.configuration),
        )

    def tree(self, user: Any, auth_state: Mapping[str, Any] | None, except_server: str = "") -> OptionTree:
        """Return what *user* may start now, where the lab *except_server* of theirs does not count as in use."""
        return options_for(identity_of(user, auth_state), self.configuration, self.facts(user, except_server))

    def lab_id(self, user: str, server: str) -> str:
        """Return the id of a user's lab."""
        return names.lab_id(self.name, user, server)

    def start(self, hub: JupyterHub) -> None:
        """Begin to supervise in *hub*, until its loop ends. Called once, inside that loop."""
        self._hub = hub
        REGISTRY.register(self.current)
        self.spawn_task(self.current.watch(self._configuration_changed))
        self.spawn_task(self._supervise())

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

    async def _supervise(self) -> None:
        """Supervise until JupyterHub cancels all tasks at its end. The journal stays open: others may still write."""
        try:
            await Supervisor(self.starts, self.health, self.poll_interval_s).run()
        finally:
            await self.clients.close()

    async def _configuration_changed(self) -> None:
        """Have everything follow the version that is in force now, then tell all open pages."""
        if self.configuration.hub != self.name:
            log.error("the portal keeps its name: labs are known by it", name=self.name, refused=self.configuration.hub)
        self.spawn_task(self.clients.retire(self.journal.unfinished()))
        self.starts.wake()
        self.journal.configuration_changed(self.current.version)

    async def _token_of(self, user_name: str, /, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the user's fresh access token, also when no request or spawner of the user is there.

        See :class:`.credentials.TokenOf`.
        """
        try:
            user = self._hub.users[user_name]
        except KeyError:
            raise errors.CredentialRefused("This user is not known to the portal any more.") from None
        token: SecretStr = await self._hub.authenticator.fresh_access_token(user, refused=refused)
        return token

    async def _ended(self, start: Start) -> None:
        """Let JupyterHub notice at once that a start is over, then tell the user's pages."""
        spawner = self.spawners.get(start.lab_id)
        if spawner is not None:
            await spawner.start_ended(start.start_id)
        self.journal.list_changed(start.user)


def _live(start: Start, row: Any) -> LiveLab:
    """Return an open start as limits count it; *row* is JupyterHub's of the lab, None if it is deleted."""
    title = row.display_name if row is not None else ""
    return LiveLab(title or start.server, start.system, str(start.options.get("option", "")), start.groups)
