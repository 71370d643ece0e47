# SPDX-License-Identifier: BSD-3-Clause
"""The systems that a manager serves, each with its site driver; follows the configuration.

A driver stays while what it was made of stays the same, with its connections and caches. One that is replaced is
closed once its last call has ended. A system that a version removed is served from an earlier version for the labs
that still run there. Used by :mod:`.app`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import structlog

from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.notices import Retention
from jupyter_jsc.config.systems import System, SystemKind
from jupyter_jsc.errors import InvalidRequest, JSCError, NotFound
from jupyter_jsc.sites import Signing, Site, Tell, Telling

log = structlog.get_logger()

MakeSite = Callable[[str, System, Configuration], Site]
"""Makes the driver of a system from its name, its section, and the configuration as far as it is about that system."""

_NOT_FOR_DRIVERS: dict[str, Any] = {
    "identity_providers": {},
    "groups": {},
    "max_labs_per_user": None,
    "texts": {},
    "announcements": {},
    "maintenance": {},
    "retention": Retention(),
}
"""What drivers do not get to see, so that it cannot matter to them."""
_EARLIER = 64
"""So many drivers of earlier versions are kept at hand."""


@dataclass(eq=False)
class _Driver:
    """A site driver, what it was made of, and how many calls are in it."""

    name: str
    made_of: Configuration
    site: Site
    calls: int = 0
    leaving: bool = False


class Systems:
    """The site drivers by system. An async context manager; :meth:`follow` takes a new version over."""

    def __init__(self, current: Current, drivers: Mapping[SystemKind, MakeSite], manager: str | None = None) -> None:
        self._current = current
        self._make = drivers
        self._manager = manager
        self._tell: Tell = _tell_nobody
        self._in_force: dict[str, _Driver] = {}
        self._earlier: list[_Driver] = []
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.follow()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for driver in [*self._in_force.values(), *self._earlier]:
            await self._retire(driver)
        self._in_force, self._earlier = {}, []

    def on_change(self, tell: Tell) -> None:
        """Have *tell* called when a site hears that something changed; to be set before any driver is made."""
        self._tell = tell

    @property
    def names(self) -> list[str]:
        """The systems of the version in force."""
        return list(self._in_force)

    async def follow(self) -> None:
        """Serve what the version in force has; called at the start and after each change."""
        async with self._turn:
            configuration = self._current.configuration
            at_hand = [*self._in_force.values(), *self._earlier]
            served: dict[str, _Driver] = {}
            for name, system in configuration.systems.items():
                if not self._serves(system):
                    log.info("system left to another manager", system=name, kind=system.kind.value)
                elif (driver := await self._taken_over(name, configuration, at_hand)) is not None:
                    served[name] = driver
            self._in_force = served
            self._earlier = [driver for driver in at_hand if driver.name not in served]
            for driver in at_hand:
                if driver.name in served and driver is not served[driver.name]:
                    await self._retire(driver)

    @contextlib.asynccontextmanager
    async def about(self, name: str, version: str) -> AsyncIterator[Site]:
        """Hold the driver to reach a system with: the newest one, or if it was removed that of *version*.

        Raises :class:`InvalidRequest` for a system that is not served here.
        """
        async with self._held(self._in_force.get(name) or await self._removed(name, version)) as site:
            yield site

    @contextlib.asynccontextmanager
    async def starting(self, name: str, configuration: Configuration) -> AsyncIterator[Site]:
        """Hold the driver to start a lab with under *configuration*, so that hub and manager mean the same.

        Raises :class:`InvalidRequest` for a system that is not served here.
        """
        system = configuration.systems.get(name)
        if system is None or not self._serves(system):
            raise self._not_served(name)
        if configuration is self._current.configuration and name in self._in_force:
            driver = self._in_force[name]
        else:
            driver = await self._earlier_driver(name, configuration)
        async with self._held(driver) as site:
            yield site

    async def certificate(self, name: str) -> bytes:
        """Return the certificate that signs the notifications of a system; :class:`NotFound` if there is none."""
        known = [driver for driver in [*self._in_force.values(), *self._earlier] if driver.name == name]
        if not known or not isinstance(known[0].site, Signing):
            raise NotFound("This system sends no notifications here.")
        async with self._held(known[0]):
            return await known[0].site.certificate()

    @contextlib.asynccontextmanager
    async def _held(self, driver: _Driver) -> AsyncIterator[Site]:
        driver.calls += 1
        try:
            yield driver.site
        finally:
            driver.calls -= 1
            if driver.leaving and not driver.calls:
                await self._close(driver)

    async def _removed(self, name: str, version: str) -> _Driver:
        known = [driver for driver in self._earlier if driver.name == name]
        configuration = await asyncio.to_thread(self._current.find, version) if version else None
        system = configuration.systems.get(name) if configuration else None
        if configuration is not None and system is not None and self._serves(system):
            return await self._earlier_driver(name, configuration)
        if known:
            return known[-1]
        raise self._not_served(name)

    async def _earlier_driver(self, name: str, configuration: Configuration) -> _Driver:
        """Return a driver as *configuration* wants it, at hand already or made; the oldest one makes room."""
        async with self._turn:
            known = [driver for driver in [*self._in_force.values(), *self._earlier] if driver.name == name]
            driver = await self._driver(name, configuration, known)
            if driver not in known:
                self._earlier.append(driver)
            while len(self._earlier) > _EARLIER:
                await self._retire(self._earlier.pop(0))
            return driver

    async def _taken_over(self, name: str, configuration: Configuration, at_hand: list[_Driver]) -> _Driver | None:
        """Return the driver that serves a system from now on: where none can be made, the one that did so far."""
        known = [driver for driver in at_hand if driver.name == name]
        try:
            return await self._driver(name, configuration, known)
        except (JSCError, OSError) as error:
            log.warning("system not taken over", system=name, error=type(error).__name__, reason=str(error))
            return self._in_force.get(name)

    async def _driver(self, name: str, configuration: Configuration, known: list[_Driver]) -> _Driver:
        """Return the one of *known* that was made of the same parts, or a new one."""
        made_of = about_system(name, configuration)
        for driver in known:
            if driver.made_of == made_of:
                return driver
        system = made_of.systems[name]
        made = self._make[system.kind](name, system, made_of)
        if isinstance(made, Telling):
            made.on_change(self._tell)
        site = await made.__aenter__()
        return _Driver(name, made_of, site)

    def _serves(self, system: System) -> bool:
        return system.kind in self._make and self._manager in {None, system.manager}

    async def _retire(self, driver: _Driver) -> None:
        driver.leaving = True
        if not driver.calls:
            await self._close(driver)

    async def _close(self, driver: _Driver) -> None:
        try:
            await driver.site.__aexit__(None, None, None)
        except (JSCError, OSError) as error:
            log.warning("driver not closed properly", system=driver.name, error=type(error).__name__)

    def _not_served(self, name: str) -> InvalidRequest:
        allowed = ", ".join(self._in_force)
        return InvalidRequest(
            f"system: {name!r} is not served here. Allowed: {allowed}.", field="system", allowed=allowed
        )


def _tell_nobody(hub: str, start_id: str) -> None:
    _ = hub, start_id


def about_system(name: str, configuration: Configuration) -> Configuration:
    """Return what the driver of a system is made of, without all that can change under its feet."""
    own = {key: reservation for key, reservation in configuration.reservations.items() if reservation.system == name}
    narrowed = {"systems": {name: configuration.systems[name]}, "reservations": own}
    return configuration.model_copy(update=_NOT_FOR_DRIVERS | narrowed)
