# SPDX-License-Identifier: BSD-3-Clause
"""Tunnels: what the records want, made true on the masters. Level-triggered: every step may be repeated.

Called by :mod:`.app`. A tunnel that is moved or made again keeps its local port, so that nothing above it changes. A new
version of the configuration is taken over without touching a connection that it says nothing about: a jump host that
was removed, or that has another address now, keeps its connection until its last tunnel is closed.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace

import structlog

from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import TunnelMgrSettings
from jupyter_jsc.config.systems import HubForward, JumpHost, System
from jupyter_jsc.errors import Conflict, HostKeyChanged, InvalidRequest, JSCError, NotFound, Unavailable
from jupyter_jsc.tunnelmgr import masters, mux
from jupyter_jsc.tunnelmgr.endpoints import Endpoint, Endpoints
from jupyter_jsc.tunnelmgr.masters import Client, Master
from jupyter_jsc.tunnelmgr.mux import Forward, Mux
from jupyter_jsc.tunnelmgr.targets import check_target
from jupyter_jsc.tunnelmgr.ways_back import WaysBack
from jupyter_jsc.wire import JumpHostInfo, JumpHostState, OpenTunnel, Tunnel

log = structlog.get_logger()

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_PORT_TRIES = 20
_STRICTNESS = list(JumpHostState)


class Tunnels:
    """All tunnels and jump hosts of this TunnelMgr."""

    def __init__(self, current: Current, settings: TunnelMgrSettings) -> None:
        self._current = current
        self._settings = settings
        settings.runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.runtime_dir.chmod(0o700)
        self.endpoints = Endpoints(settings.database, settings.first_port, settings.last_port)
        self._client = Client(settings.ssh, settings.identity_file, settings.runtime_dir)
        self._masters: dict[str, Master] = {}
        self._know(self._configured())
        self._states = {name: JumpHostState(state) for name, state in self.endpoints.jump_host_states().items()}
        self._busy: dict[str, asyncio.Lock] = {}
        self._watched: set[str] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self.ways_back = WaysBack(self.endpoints, settings.hub_address, self._aside, self._remaining)

    async def run(self) -> None:
        """Restore every recorded tunnel, and keep masters and tunnels alive until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            used = {record.jump_host for record in self.endpoints.all()}
            for name in used & set(self._masters):
                tasks.create_task(self._restore(name))
            for name in used - set(self._masters):
                tasks.create_task(self._restore_removed(name))
            self.ways_back.run(tasks, self._hub_forwards())
            await asyncio.Event().wait()

    async def follow(self) -> None:
        """Take over the jump hosts of the version in force. Called after each change of the configuration."""
        configured = self._configured()
        self._know(configured)
        self.ways_back.follow(self._hub_forwards())
        for name, master in list(self._masters.items()):
            if name in configured and self._state(name) is JumpHostState.CLOSED and master.connected:
                await master.drop()  # whoever watches it moves its tunnels
            await self._tidy(name)
        self.ways_back.follow(self._hub_forwards())

    async def release(self) -> None:
        """Let go of every master without ending it, and close the records."""
        for master in self._masters.values():
            await master.release()
        self.endpoints.close()

    async def open(self, lab_id: str, wanted: OpenTunnel) -> Tunnel:
        """Return the lab's tunnel, with its forward listening.

        Raises :class:`TargetRefused` for a host that the system does not allow, :class:`HostKeyChanged` and
        :class:`Unavailable` if no jump host can be used now.
        """
        system, version = await self._system(wanted.system, wanted.configuration)
        check_target(system, wanted.host)
        async with self._busy.setdefault(lab_id, asyncio.Lock()):
            record = self.endpoints.get(lab_id)
            if record is not None and _target(record) != (wanted.system, wanted.host, wanted.port):
                await self._close(record)
                record = None
            if record is None:
                record = await self._place_new(lab_id, wanted, system, version)
            else:
                record = await self._place(replace(record, start_id=wanted.start_id), system, version)
            return self._tunnel(record)

    async def close(self, lab_id: str, start_id: str | None) -> None:
        """Close the lab's tunnel, unless it belongs to another start than *start_id*; not there is closed."""
        async with self._busy.setdefault(lab_id, asyncio.Lock()):
            record = self.endpoints.get(lab_id)
            if record is not None and start_id in {None, record.start_id}:
                await self._close(record)
                await self._tidy(record.jump_host)
                self.ways_back.follow(self._hub_forwards())
        self._busy.pop(lab_id, None)

    def get(self, lab_id: str) -> Tunnel:
        """Return the lab's tunnel, or raise :class:`NotFound`."""
        record = self.endpoints.get(lab_id)
        if record is None:
            raise NotFound("There is no tunnel to this lab.")
        return self._tunnel(record)

    def all(self) -> list[Tunnel]:
        """Return all tunnels."""
        return [self._tunnel(record) for record in self.endpoints.all()]

    def jump_hosts(self) -> list[JumpHostInfo]:
        """Return all jump hosts as they are now."""
        return [self._info(name, system) for system, name in self._names()]

    async def set_state(self, name: str, state: JumpHostState) -> JumpHostInfo:
        """Open, drain or close a jump host; the tunnels of a closed one move to another of the same system."""
        system = next((system for system, known in self._names() if known == name), None)
        if system is None:
            raise NotFound(f"There is no jump host {name!r}.")
        self._states[name] = state
        self.endpoints.set_jump_host_state(name, state)
        self.ways_back.follow(self._hub_forwards())
        if state is JumpHostState.CLOSED:
            await self._masters[name].drop()
            await self._move_from(name)
        return self._info(name, system)

    async def health(self) -> str:
        """Return ``ok``, or which jump hosts that have tunnels are not connected."""
        used = {record.jump_host for record in self.endpoints.all()}
        lost = sorted(name for name in used if name in self._masters and not self._masters[name].connected)
        return f"not connected: {', '.join(lost)}" if lost else "ok"

    async def _place_new(self, lab_id: str, wanted: OpenTunnel, system: System, version: str) -> Endpoint:
        refused: set[int] = set()
        for _ in range(_PORT_TRIES):
            port = self.endpoints.free_port(refused)
            record = Endpoint(lab_id, wanted.start_id, wanted.system, wanted.host, wanted.port, port, "")
            try:
                return await self._place(record, system, version)
            except Conflict:
                refused.add(port)
        raise Unavailable("No local port for the tunnel could be taken.", tried=len(refused))

    async def _place(self, record: Endpoint, system: System, version: str) -> Endpoint:
        """Make the record's forward listen on the first jump host that can, the present one first."""
        problem: JSCError = Unavailable(f"No jump host of {system.label} is open at the moment.")
        for name in self._candidates(record, system):
            try:
                connection = await self._connected(name)
                await connection.open_forward(self._forward(record))
            except (Unavailable, HostKeyChanged) as error:
                problem = error
                continue
            known_since = version if name in system.jump_hosts else record.configuration
            placed = replace(record, jump_host=name, configuration=known_since)
            self.endpoints.put(placed)
            return placed
        raise problem

    def _candidates(self, record: Endpoint, system: System) -> list[str]:
        load = dict.fromkeys(system.jump_hosts, 0)
        for other in self.endpoints.all():
            if other.jump_host in load:
                load[other.jump_host] += 1
        self._know({name: host for name, host in system.jump_hosts.items() if name not in self._masters})
        usable = [name for name in load if self._state(name, system) is JumpHostState.OPEN and name != record.jump_host]
        usable.sort(key=lambda name: self._preference(name, load[name] / system.jump_hosts[name].weight))
        stays = record.jump_host in self._masters and self._state(record.jump_host, system) is not JumpHostState.CLOSED
        return [record.jump_host, *usable] if stays else usable

    def _preference(self, name: str, load: float) -> tuple[bool, bool, float, float]:
        """Return what the best jump host for a new tunnel has least of."""
        master = self._masters[name]
        return master.outdated, not master.connected, load, random.random()

    async def _close(self, record: Endpoint) -> None:
        master = self._masters.get(record.jump_host)
        if master is not None and master.connected:
            try:
                await (await master.ensure()).close_forward(self._forward(record))
            except Unavailable:
                log.warning("forward not closed, replacing its master", jump_host=master.name)
                await master.drop()
        self.endpoints.remove(record.lab_id)

    async def _connected(self, name: str) -> Mux:
        master = self._masters.get(name)
        if master is None:
            raise Unavailable(f"The jump host {name} was removed.")
        connection = await master.ensure()
        self._watch(name, master)
        return connection

    def _watch(self, name: str, master: Master) -> None:
        if name not in self._watched and self._tasks is not None:
            self._watched.add(name)
            self._tasks.create_task(self._keep(name, master))

    async def _keep(self, name: str, master: Master) -> None:
        """Watch a master; when it is lost, make it and its tunnels again, here or elsewhere, as long as it takes."""
        try:
            await master.watch()
        finally:
            self._watched.discard(name)
        self.ways_back.lost(name)
        if master.connected:  # made again by somebody who did not wait for this
            self._watch(name, master)
        await self._restore(name)

    async def _aside(self, name: str) -> Mux:
        """Return another connection to a jump host's master, the caller's own: a request on it holds up no tunnel."""
        await self._connected(name)
        return await mux.connect(masters.socket_path(self._settings.runtime_dir, name))

    async def _remaining(self, name: str) -> Mux | None:
        """Return a connection to a master that is in use, or end one that is not: nobody else might."""
        master = self._masters.get(name)
        in_use = master is not None and (master.connected or self._uses(name))
        if in_use and self._state(name) is not JumpHostState.CLOSED:
            return await self._aside(name)
        await masters.terminate(self._settings.runtime_dir, name)
        return None

    async def _restore_removed(self, name: str) -> None:
        """Make the forwards of a jump host again that the version in force has no more: as it was, if that is known."""
        for record in [record for record in self.endpoints.all() if record.jump_host == name]:
            earlier = await asyncio.to_thread(self._current.find, record.configuration)
            system = earlier.systems.get(record.system) if earlier is not None else None
            if system is not None and name in system.jump_hosts:
                self._know({name: system.jump_hosts[name]})
                break
        await self._restore(name)

    async def _tidy(self, name: str) -> None:
        """End a connection that no tunnel uses if its jump host was removed or is reached in another way now."""
        master = self._masters.get(name)
        if master is None or self._uses(name):
            return
        removed = name not in self._configured()
        if removed:
            del self._masters[name]
        if removed or master.outdated:
            log.info("jump host left", jump_host=name, removed=removed)
            await master.drop()

    async def _restore(self, name: str) -> None:
        """Make the forwards of one jump host again, retrying with capped, jittered pauses while there are any."""
        wait_s = _FIRST_WAIT_S
        while records := [record for record in self.endpoints.all() if record.jump_host == name]:
            if name in self._masters and self._state(name) is not JumpHostState.CLOSED:
                try:
                    connection = await self._connected(name)
                    for record in records:
                        await connection.open_forward(self._forward(record))
                    return
                except (Unavailable, HostKeyChanged) as error:
                    log.warning("tunnels not restored yet", jump_host=name, tunnels=len(records), reason=error.message)
                except Conflict as error:
                    log.warning("a tunnel's local port is taken", jump_host=name, **error.detail)
            if await self._move_from(name):
                return
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _move_from(self, name: str) -> bool:
        """Move the tunnels of a jump host to others of the same system; return whether none is left."""
        left = False
        for record in [record for record in self.endpoints.all() if record.jump_host == name]:
            try:
                system, version = await self._system(record.system, record.configuration)
            except InvalidRequest:
                left = True
                continue
            self._know({other: host for other, host in system.jump_hosts.items() if other not in self._masters})
            for other in system.jump_hosts:
                if other == name or self._state(other, system) is not JumpHostState.OPEN:
                    continue
                try:
                    connection = await self._connected(other)
                    await connection.open_forward(self._forward(record))
                except (Unavailable, HostKeyChanged, Conflict):
                    continue
                self.endpoints.put(replace(record, jump_host=other, configuration=version))
                break
            else:
                left = True
        return not left

    async def _system(self, name: str, version: str) -> tuple[System, str]:
        """Return a system and the version that has it: the one in force, else *version*, which a lab was started with."""
        in_force = self._current.configuration.systems
        if name in in_force:
            return in_force[name], self._current.version
        earlier = await asyncio.to_thread(self._current.find, version) if version else None
        if earlier is not None and name in earlier.systems:
            return earlier.systems[name], version
        allowed = ", ".join(in_force)
        raise InvalidRequest(f"system: {name!r} is not known. Allowed: {allowed}.", field="system", allowed=allowed)

    def _uses(self, name: str) -> bool:
        return any(record.jump_host == name for record in self.endpoints.all())

    def _hub_forwards(self) -> dict[str, HubForward]:
        """Return the ways back that are wanted, by jump host; one that was removed keeps its own for the labs it has."""
        configured = self._configured()
        return {
            name: master.jump_host.hub_forward
            for name, master in self._masters.items()
            if master.jump_host.hub_forward is not None
            and (name in configured or self._uses(name))
            and self._state(name) is not JumpHostState.CLOSED
        }

    def _configured(self) -> dict[str, JumpHost]:
        systems = self._current.configuration.systems.values()
        return {name: jump_host for system in systems for name, jump_host in system.jump_hosts.items()}

    def _know(self, jump_hosts: Mapping[str, JumpHost]) -> None:
        """Have a master for each; one that is there connects as it says now, the next time that it connects."""
        for name, jump_host in jump_hosts.items():
            if name in self._masters:
                self._masters[name].jump_host = jump_host
            else:
                self._masters[name] = Master(name, jump_host, self._client)

    def _names(self) -> list[tuple[str, str]]:
        """Return system and name of each jump host, last those that were removed and still have tunnels."""
        systems = self._current.configuration.systems.items()
        found = [(key, name) for key, system in systems for name in system.jump_hosts]
        known = {name for _system, name in found}
        removed = {record.jump_host: record.system for record in self.endpoints.all() if record.jump_host not in known}
        return found + [(system, name) for name, system in removed.items() if name in self._masters]

    def _state(self, name: str, system: System | None = None) -> JumpHostState:
        """Return the stricter of what operators and the configuration say; a removed jump host gets no new tunnels.

        *system* is the one that is asked for, in a version that has it.
        """
        jump_host = self._configured().get(name) or (system.jump_hosts.get(name) if system is not None else None)
        configured = jump_host.state if jump_host is not None else JumpHostState.DRAINING
        return max(configured, self._states.get(name, JumpHostState.OPEN), key=_STRICTNESS.index)

    def _info(self, name: str, system: str) -> JumpHostInfo:
        master = self._masters.get(name)
        beat = master.last_beat if master is not None else None
        now = asyncio.get_running_loop().time()
        return JumpHostInfo(
            name=name,
            system=system,
            state=self._state(name),
            connected=master is not None and master.connected,
            tunnels=sum(record.jump_host == name for record in self.endpoints.all()),
            heartbeat_age_s=None if beat is None else round(now - beat, 3),
            hub_forward=self.ways_back.state(name),
        )

    def _forward(self, record: Endpoint) -> Forward:
        return Forward(self._settings.endpoint_host, record.local_port, record.host, record.port)

    def _tunnel(self, record: Endpoint) -> Tunnel:
        master = self._masters.get(record.jump_host)
        return Tunnel(
            lab_id=record.lab_id,
            start_id=record.start_id,
            system=record.system,
            host=record.host,
            port=record.port,
            endpoint_host=self._settings.endpoint_host,
            endpoint_port=record.local_port,
            jump_host=record.jump_host,
            connected=master is not None and master.connected,
        )


def _target(record: Endpoint) -> tuple[str, str, int]:
    return record.system, record.host, record.port
