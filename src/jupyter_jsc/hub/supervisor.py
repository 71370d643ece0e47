# SPDX-License-Identifier: BSD-3-Clause
"""The supervisor: loops that ask each manager about open starts and systems, and finish what ended starts left.

Level-triggered: what a site says now is compared with what is known; messages only wake it. A manager that
does not answer changes nothing. Started and owned by :class:`~jupyter_jsc.hub.portal.Portal`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from jupyter_jsc import errors, wire
from jupyter_jsc.client import ManagerClient
from jupyter_jsc.hub.health import Health
from jupyter_jsc.hub.records import Start
from jupyter_jsc.hub.starts import Starts

log = structlog.get_logger()

_BATCH = 500
_LONGEST_WAIT_S = 300.0
_DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class _Again:
    """When to try a clean-up again, by the loop's clock, and how long to wait if that fails too."""

    at: float
    wait_s: float


class Supervisor:
    """Keeps journal and sites together."""

    def __init__(self, starts: Starts, health: Health, interval_s: float) -> None:
        self._starts = starts
        self._health = health
        self._interval_s = interval_s
        self._asked: set[str] = set()
        self._cleaning: set[str] = set()
        self._again: dict[str, _Again] = {}

    async def run(self) -> None:
        """Look at everything each interval, or soon after being woken, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(lambda: self.begin_to_ask(tasks)))
            tasks.create_task(self._for_ever(lambda: self.clean_up(tasks)))
            tasks.create_task(self._for_ever(self._health.ask_tunnelmgr))
            tasks.create_task(self._for_ever(self.expire, _DAY_S))

    async def begin_to_ask(self, tasks: asyncio.TaskGroup) -> None:
        """Give each manager that is configured, or that has an open start, loops of its own: none waits for another.

        A manager that is gone keeps its loops, which then have nothing to ask.
        """
        wanted = set(self._starts.clients.current.configuration.managers)
        wanted |= {name for start in self._starts.journal.unfinished() if (name := await self._manager_name(start))}
        for name in sorted(wanted - self._asked):
            self._asked.add(name)
            tasks.create_task(self._for_ever(lambda name=name: self.ask(name)))  # type: ignore[misc]
            tasks.create_task(self._for_ever(lambda name=name: self._health.ask_manager(name)))  # type: ignore[misc]

    async def expire(self) -> None:
        """Delete starts that ended longer ago than the configuration keeps them, in small transactions."""
        days = self._starts.clients.current.configuration.retention.history_days
        before = datetime.now(UTC) - timedelta(days=days)
        deleted = 0
        while count := await self._starts.journal.expire(before):
            deleted += count
        if deleted:
            log.info("old starts deleted", starts=deleted, days=days)

    async def _for_ever(self, look: Callable[[], Awaitable[None]], interval_s: float | None = None) -> None:
        """Call *look* each interval; each of the supervisor's own also as soon as it is woken."""
        woken = asyncio.Event() if interval_s else self._starts.waker()
        while True:
            woken.clear()
            try:
                await look()
            except Exception:  # the loop's outermost frame: nothing may end the supervision of all labs
                log.exception("supervision failed, going on")
            try:
                async with asyncio.timeout(interval_s or self._interval_s):
                    await woken.wait()
            except TimeoutError:
                pass

    async def ask(self, name: str) -> None:
        """Ask one manager about all its open starts and note what it says."""
        starts = [start for start in self._starts.journal.unfinished() if start.outcome is None and start.handle]
        starts = [start for start in starts if await self._manager_name(start) == name]
        for first in range(0, len(starts), _BATCH):
            batch = starts[first : first + _BATCH]
            try:
                await self._ask(batch)
            except errors.JSCError as error:
                log.warning("manager does not answer, labs stay as they are", manager=name, reason=error.message)
                return

    async def _ask(self, starts: list[Start]) -> None:
        """Ask about starts that have one manager, at whatever addresses their configurations have it."""
        asked: dict[ManagerClient, list[wire.LabRef]] = {}
        for start in starts:
            if reference := await self._reference(start):
                asked.setdefault(await self._starts.clients.manager_of(start), []).append(reference)
        for client, references in asked.items():
            states = await client.poll(references)
            for reference in references:
                await self._note(reference.start_id, states.get(reference.start_id))

    async def _manager_name(self, start: Start) -> str | None:
        try:
            return await self._starts.clients.manager_name(start)
        except errors.NotFound:
            return None

    async def _note(self, start_id: str, state: wire.LabState | None) -> None:
        current = self._starts.journal.known(start_id)
        if state is not None and current is not None:
            await self._starts.observe(current, state)

    async def _reference(self, start: Start) -> wire.LabRef | None:
        try:
            return await self._starts.reference(start)
        except errors.JSCError as error:
            log.warning("no credential, lab stays as it is", start_id=start.start_id, reason=error.message)
            return None

    async def clean_up(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to clean up after every ended start that is not clean; none twice at the same time."""
        now = asyncio.get_running_loop().time()
        for start in self._starts.journal.unfinished():
            again = self._again.get(start.start_id)
            if start.outcome is None or start.start_id in self._cleaning or (again and again.at > now):
                continue
            self._cleaning.add(start.start_id)
            tasks.create_task(self._clean_up(start))

    async def _clean_up(self, start: Start) -> None:
        try:
            await self._starts.clean_up(start)
        except errors.JSCError as error:
            self._try_again(start, error.message)
        except Exception:  # a task's outermost frame: one start must not end the supervision of all
            log.exception("clean-up failed", start_id=start.start_id)
            self._try_again(start, "internal error")
        else:
            self._again.pop(start.start_id, None)
        finally:
            self._cleaning.discard(start.start_id)

    def _try_again(self, start: Start, reason: str) -> None:
        before = self._again.get(start.start_id)
        wait_s = min(before.wait_s * 2, _LONGEST_WAIT_S) if before else self._interval_s
        self._again[start.start_id] = _Again(asyncio.get_running_loop().time() + wait_s, wait_s)
        log.warning("clean-up not confirmed yet, trying again", start_id=start.start_id, reason=reason, wait_s=wait_s)
