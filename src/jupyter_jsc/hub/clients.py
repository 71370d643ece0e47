# SPDX-License-Identifier: BSD-3-Clause
"""Clients of the managers and of TunnelMgr, at the addresses that the configuration says now.

A system that a commit removed is reached as the configuration of the lab's start says. A client whose address is no
longer in use is closed once its last request is surely over. Called by :mod:`.starts` and :mod:`.supervisor`.
"""

import asyncio
import contextlib
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import structlog

from jupyter_jsc import errors
from jupyter_jsc.client import ManagerClient, Service, TunnelClient
from jupyter_jsc.config import model
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.records import Start

Client = TypeVar("Client", bound=Service)
Place = TypeVar("Place", bound=Hashable)

_LAST_REQUEST_S = 300.0
"""Longer than any request with all its attempts."""

log = structlog.get_logger()


class Clients:
    """Open clients by name and section of the configuration; each is opened at its first use."""

    def __init__(self, current: Current, manager_token_files: Mapping[str, Path], tunnelmgr_token_file: Path) -> None:
        self.current = current
        self._manager_token_files = manager_token_files
        self._tunnelmgr_token_file = tunnelmgr_token_file
        self._managers: dict[tuple[str, model.Service], ManagerClient] = {}
        self._tunnels: dict[model.Service, TunnelClient] = {}

    async def snapshot(self, version: str) -> Configuration:
        """Return the configuration that a start was made with, or the one in force where that is not kept any more."""
        if version == self.current.version:
            return self.current.configuration
        return await asyncio.to_thread(self.current.of, version)

    async def reaching(self, start: Start) -> Configuration:
        """Return the configuration that says how to reach the start's system: the newest that has it."""
        newest = self.current.configuration
        return newest if start.system in newest.systems else await self.snapshot(start.configuration)

    async def manager_name(self, start: Start) -> str:
        """Return the name of the manager of the start's system; :class:`errors.NotFound` if nothing tells."""
        system = (await self.reaching(start)).systems.get(start.system)
        if system is None:
            raise errors.NotFound(f"The system {start.system!r} is not part of the portal any more.")
        return system.manager

    async def manager_of(self, start: Start) -> ManagerClient:
        """Return the manager of the start's system.

        Raises :class:`errors.NotFound` if no configuration that is kept has the system, :class:`errors.Unavailable`
        if the hub has no token for its manager.
        """
        name = await self.manager_name(start)
        section = self.current.configuration.managers.get(name)
        return await self._manager(name, section or (await self.reaching(start)).managers.get(name))

    async def manager(self, name: str) -> ManagerClient:
        """Return a manager of the configuration in force; :class:`errors.Unavailable` if it is in there no more."""
        return await self._manager(name, self.current.configuration.managers.get(name))

    async def tunnels(self) -> TunnelClient:
        """Return TunnelMgr."""
        section = self.current.configuration.tunnelmgr
        return await _opened(self._tunnels, section, TunnelClient, section, self._tunnelmgr_token_file)

    async def retire(self, open_starts: Iterable[Start]) -> None:
        """Close the clients that neither the configuration in force nor one of *open_starts* needs, in a while.

        Returns when they are closed. Called after each change of the configuration.
        """
        needed: set[Service] = {await self.tunnels()}
        for start in open_starts:
            with contextlib.suppress(errors.JSCError):
                needed.add(await self.manager_of(start))
        for name in self.current.configuration.managers:
            with contextlib.suppress(errors.JSCError):
                needed.add(await self.manager(name))
        old = [*_unneeded(self._managers, needed), *_unneeded(self._tunnels, needed)]
        try:
            if old:
                await asyncio.sleep(_LAST_REQUEST_S)
        finally:
            await _close(old)

    async def close(self) -> None:
        """Close all clients."""
        await _close([*self._managers.values(), *self._tunnels.values()])

    async def _manager(self, name: str, section: model.Service | None) -> ManagerClient:
        if section is None or name not in self._manager_token_files:
            # A later commit, or the hub's next start, can make this good: nothing is given up for it.
            raise errors.Unavailable(f"The portal knows no manager {name!r} at the moment, or has no token for it.")
        return await _opened(self._managers, (name, section), ManagerClient, section, self._manager_token_files[name])


async def _opened(
    known: dict[Place, Client], key: Place, kind: type[Client], section: model.Service, token_file: Path
) -> Client:
    if key not in known:
        client = kind(str(section.url), token_file, ca_file=section.ca_file, timeout_s=section.timeout_s)
        # Entered before anybody else gets it; entering waits for nothing.
        known[key] = await client.__aenter__()
    return known[key]


def _unneeded(known: dict[Place, Client], needed: set[Service]) -> list[Client]:
    return [known.pop(place) for place, client in list(known.items()) if client not in needed]


async def _close(clients: Iterable[Service]) -> None:
    for client in clients:
        await client.__aexit__(None, None, None)
