# SPDX-License-Identifier: BSD-3-Clause
"""Ways back to the hub: remote forwards on the connections to jump hosts, for labs that have no route of their own.

Each leads from ``hub_forward`` of a jump host to ``hub_address`` of TunnelMgr's settings; nothing that a request says
changes either. Level-triggered like tunnels: one task a jump host makes true what is wanted, whenever it is woken. What
was asked of a master is recorded before, so that a TunnelMgr that adopts the master can take it back.

Called by :mod:`.tunnels`, which knows the connections.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from jupyter_jsc.config.systems import HubForward
from jupyter_jsc.errors import Conflict, HostKeyChanged, Unavailable
from jupyter_jsc.tunnelmgr.endpoints import Endpoints
from jupyter_jsc.tunnelmgr.mux import REMOTE, Forward, Mux

log = structlog.get_logger()

OPEN = "open"
NOT_CONNECTED = "not connected"
NO_HUB = "refused: hub_address is not set in TunnelMgr's settings"
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


@dataclass
class _Way:
    """The way back of one jump host: how it is, and what wakes its task."""

    state: str = NOT_CONNECTED
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class WaysBack:
    """The ways back of all jump hosts.

    *reach* returns a connection of the caller's own to a jump host's master, which is made if it is not there;
    *remaining* one to a master that something else uses, or None after it has ended a master that nothing uses.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        hub_address: str,
        reach: Callable[[str], Awaitable[Mux]],
        remaining: Callable[[str], Awaitable[Mux | None]],
    ) -> None:
        self._endpoints = endpoints
        host, _, port = hub_address.rpartition(":")
        self._hub = (host.strip("[]"), int(port)) if hub_address else None
        self._reach, self._remaining = reach, remaining
        self._wanted: dict[str, Forward] = {}
        self._homeless: list[str] = []
        self._ways: dict[str, _Way] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def run(self, tasks: asyncio.TaskGroup, wanted: Mapping[str, HubForward]) -> None:
        """Keep the ways back that are wanted, from now on, in *tasks*."""
        self._tasks = tasks
        self.follow(wanted)

    def follow(self, wanted: Mapping[str, HubForward]) -> None:
        """Have these ways back, by jump host, and no others; returns at once."""
        homeless = [] if self._hub else sorted(wanted)
        if homeless and homeless != self._homeless:
            log.error("ways back lead nowhere: hub_address is not set", jump_hosts=homeless)
        self._homeless = homeless
        before = self._wanted
        if self._hub:
            host, port = self._hub
            self._wanted = {
                name: Forward(way.listen_host, way.listen_port, host, port, REMOTE) for name, way in wanted.items()
            }
        if self._tasks is None:
            return
        for name in {*self._wanted, *self._endpoints.ways_back()} - set(self._ways):
            self._ways[name] = _Way()
            self._tasks.create_task(self._keep(name, self._ways[name]))
        for name, way in self._ways.items():
            if before.get(name) != self._wanted.get(name):
                way.wake.set()

    def lost(self, name: str) -> None:
        """Make the way back again, if one is wanted: the connection that had it is gone."""
        if name in self._ways:
            self._ways[name].state = NOT_CONNECTED
            self._ways[name].wake.set()

    def state(self, name: str) -> str | None:
        """Return how the way back of a jump host is: :data:`OPEN`, or why not; None if none is wanted."""
        if name in self._homeless:
            return NO_HUB
        if name not in self._wanted:
            return None
        return self._ways[name].state if name in self._ways else NOT_CONNECTED

    def troubles(self) -> dict[str, str]:
        """Return the ways back that are wanted and not open, by jump host, each with the reason."""
        states = {name: self.state(name) or OPEN for name in {*self._wanted, *self._homeless}}
        return {name: state for name, state in sorted(states.items()) if state != OPEN}

    async def _keep(self, name: str, way: _Way) -> None:
        """Make true what is wanted, each time that it is woken; return once nothing is wanted nor left."""
        failures = 0
        while True:
            way.wake.clear()
            wanted = self._wanted.get(name)
            pause_s = None
            try:
                await self._make(name, wanted)
            except (Conflict, Unavailable, HostKeyChanged) as error:
                kind = "refused" if isinstance(error, Conflict) else NOT_CONNECTED
                self._say(name, way, f"{kind}: {error.detail.get('reason') or error.message}")
                pause_s = min(_FIRST_WAIT_S * 2.0 ** min(failures, 20), _LONGEST_WAIT_S) * random.uniform(0.5, 1)
                failures += 1
            else:
                if name not in self._wanted and wanted is None:
                    del self._ways[name]
                    return
                failures = 0
                if not way.wake.is_set():
                    self._say(name, way, OPEN)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await way.wake.wait()

    async def _make(self, name: str, wanted: Forward | None) -> None:
        """Have the jump host's master listen for *wanted* and for nothing else that was ever asked of it."""
        present = self._endpoints.ways_back().get(name)
        if wanted is None and present is None:
            return
        connection = await (self._remaining(name) if wanted is None else self._reach(name))
        if connection is not None:
            try:
                if present is not None and present != wanted:
                    await connection.close_forward(present)
                if wanted is not None:
                    self._endpoints.set_way_back(name, wanted)
                    await connection.open_forward(wanted)
            finally:
                connection.close()
        if wanted is None:
            self._endpoints.set_way_back(name, None)
            log.info("way back closed", jump_host=name)

    def _say(self, name: str, way: _Way, state: str) -> None:
        if state != way.state:
            way.state = state
            if state == OPEN:
                log.info("way back open", jump_host=name)
            else:
                log.warning("way back not open", jump_host=name, state=state)
