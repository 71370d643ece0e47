# SPDX-License-Identifier: BSD-3-Clause
"""What the dashboard asks: the hub, the managers and TunnelMgr, each within a time limit of its own.

One that does not answer leaves its place empty, with the time since when; the others stand. Called by :mod:`.pages`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Self, TypeVar

import structlog

from jupyter_jsc import errors
from jupyter_jsc.client import ManagerClient, OperatorClient, Service, TunnelClient
from jupyter_jsc.config import model
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import DashboardSettings
from jupyter_jsc.operators import OpenStarts, Overview
from jupyter_jsc.wire import JumpHostInfo, SystemHealth, Tunnel

log = structlog.get_logger()

Value = TypeVar("Value")
Client = TypeVar("Client", bound=Service)

HUB, TUNNELMGR = "hub", "tunnelmgr"
_LIMIT_S = 4.0


@dataclass(frozen=True)
class Silence:
    """A service that was asked in vain."""

    service: str
    since: datetime
    reason: str = ""
    """What it says instead; empty: it does not answer."""


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """What a service said, or its silence."""

    value: Value | None = None
    silence: Silence | None = None


@dataclass(frozen=True)
class Manager:
    """A manager as it answered: the version that it has in force, and its systems."""

    version: Answer[str]
    systems: Answer[dict[str, SystemHealth]]


@dataclass(frozen=True)
class Tunnels:
    """TunnelMgr as it answered."""

    version: Answer[str]
    tunnels: Answer[list[Tunnel]]
    jump_hosts: Answer[list[JumpHostInfo]]


@dataclass(frozen=True)
class Picture:
    """Everything at about the same time."""

    hub: Answer[Overview]
    managers: Mapping[str, Manager]
    tunnelmgr: Tunnels
    open_starts: Answer[OpenStarts]


class Sources:
    """Clients of all services, at the addresses that the configuration says now. An async context manager."""

    def __init__(self, current: Current, settings: DashboardSettings) -> None:
        self._current = current
        self._settings = settings
        self._clients: dict[tuple[str, model.Service | None], Service] = {}
        self._silent: dict[str, datetime] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for client in self._clients.values():
            await client.__aexit__()
        self._clients.clear()

    async def follow(self) -> None:
        """Let go of the services that are not in the configuration any more. Called after each change of it."""
        configuration = self._current.configuration
        kept = {(HUB, None), (TUNNELMGR, configuration.tunnelmgr), *configuration.managers.items()}
        for key in [key for key in self._clients if key not in kept]:
            # Whoever waits for its answer meets a closed connection, which is a silence like any other.
            await self._clients.pop(key).__aexit__()
        known = {HUB, TUNNELMGR, *configuration.managers}
        self._silent = {name: since for name, since in self._silent.items() if name.partition(" ")[0] in known}

    async def picture(self) -> Picture:
        """Ask everybody at once."""
        hub, opened, tunnelmgr, managers = await asyncio.gather(
            self.ask_hub(lambda hub: hub.overview()),
            self.ask_hub(lambda hub: hub.open_starts()),
            self.tunnels(),
            self._managers(),
        )
        return Picture(hub, managers, tunnelmgr, opened)

    async def ask_hub(self, question: Callable[[OperatorClient], Awaitable[Value]]) -> Answer[Value]:
        """Return the hub's answer; :class:`errors.NotFound` and :class:`errors.InvalidRequest` are raised."""

        async def asked() -> Value:
            path = self._settings.hub_token_file
            return await question(await self._client(OperatorClient, HUB, str(self._settings.hub_api_url), path))

        return await self._ask(HUB, asked)

    async def tunnels(self) -> Tunnels:
        """Ask TunnelMgr."""
        section, path = self._current.configuration.tunnelmgr, self._settings.tunnelmgr_token_file

        async def client() -> TunnelClient:
            return await self._client(TunnelClient, TUNNELMGR, str(section.url), path, section)

        async def version() -> str:
            return await (await client()).version()

        async def tunnels() -> list[Tunnel]:
            return await (await client()).all()

        async def jump_hosts() -> list[JumpHostInfo]:
            return await (await client()).jump_hosts()

        return Tunnels(
            *await asyncio.gather(
                self._ask(TUNNELMGR, version),
                self._ask(f"{TUNNELMGR} tunnels", tunnels),
                self._ask(f"{TUNNELMGR} jump hosts", jump_hosts),
            )
        )

    async def _managers(self) -> dict[str, Manager]:
        names = list(self._current.configuration.managers)
        return dict(zip(names, await asyncio.gather(*map(self._manager, names)), strict=True))

    async def _manager(self, name: str) -> Manager:
        section, path = self._current.configuration.managers[name], self._settings.manager_token_files.get(name)

        async def client() -> ManagerClient:
            if path is None:
                raise FileNotFoundError(name)
            return await self._client(ManagerClient, name, str(section.url), path, section)

        async def version() -> str:
            return await (await client()).version()

        async def systems() -> dict[str, SystemHealth]:
            return await (await client()).systems()

        # It asks its systems. One that hangs itself does not tell its version either, which is looked at first.
        waiting = f"takes longer than {_LIMIT_S:.0f} s to hear from its systems"
        asked = self._ask(f"{name} systems", systems, waiting=waiting)
        return Manager(*await asyncio.gather(self._ask(name, version), asked))

    async def _ask(self, name: str, question: Callable[[], Awaitable[Value]], *, waiting: str = "") -> Answer[Value]:
        """Return the answer or the silence; *waiting* is the reason where a service may itself wait for somebody."""
        service = name.partition(" ")[0]
        reason = ""
        try:
            async with asyncio.timeout(_LIMIT_S):
                value = await question()
        except (errors.NotFound, errors.InvalidRequest):
            raise
        except (errors.NotAuthenticated, errors.Forbidden):
            reason = "does not know the dashboard's token"
        except TimeoutError:
            reason = waiting
        except OSError as error:
            reason = f"was not asked, since the dashboard has no token for it ({type(error).__name__})"
        except errors.JSCError:
            reason = ""
        else:
            self._silent.pop(name, None)
            return Answer(value)
        if name not in self._silent:
            log.warning("asked in vain", service=name, reason=reason)
        since = self._silent.setdefault(name, datetime.now(UTC))
        return Answer(silence=Silence(service, since, reason))

    async def _client(
        self, kind: type[Client], name: str, url: str, token_file: Path, section: model.Service | None = None
    ) -> Client:
        key = (name, section)
        found = self._clients.get(key)
        if found is None:
            ca_file = section.ca_file if section else ""
            # Entered before anybody else gets it; entering waits for nothing.
            found = self._clients[key] = await kind(url, token_file, ca_file=ca_file).__aenter__()
        assert isinstance(found, kind)
        return found
