# SPDX-License-Identifier: BSD-3-Clause
"""The supervisor: one loop that asks each manager about all open starts and finishes what ended starts left.

Level-triggered: what a site says now is compared with what is known; messages only wake it. A manager that
does not answer changes nothing. Started and owned by :class:`~jupyter_jsc.hub.portal.Portal`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from jupyter_jsc import errors, wire
from jupyter_jsc.client import ManagerClient
from jupyter_jsc.hub.journal import Start
from jupyter_jsc.hub.starts import Starts

log = structlog.get_logger()

_BATCH = 500
_LONGEST_WAIT_S = 300.0


@dataclass(frozen=True)
class _Again:
    """When to try a clean-up again, by the loop's clock, and how long to wait if that fails too."""

    at: float
    wait_s: float


class Supervisor:
    """Keeps journal and sites together."""

    def __init__(
        self,
        starts: Starts,
        managers: Mapping[str, ManagerClient],
        interval_s: float,
    ) -> None:
        self._starts = starts
        self._managers = managers
        self._interval_s = interval_s
        self._cleaning: set[str] = set()
        self._again: dict[str, _Again] = {}

    async def run(self) -> None:
        """Look at everything each interval, or soon after being woken, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._managers:
                tasks.create_task(self._for_ever(lambda name=name: self.ask(name)))  # type: ignore[misc]
            tasks.create_task(self._for_ever(lambda: self.clean_up(tasks)))

    async def _for_ever(self, look: Callable[[], Awaitable[None]]) -> None:
        woken = self._starts.waker()
        while True:
            woken.clear()
            try:
                await look()
            except Exception:  # the loop's outermost frame: nothing may end the supervision of all labs
                log.exception("supervision failed, going on")
            try:
                async with asyncio.timeout(self._interval_s):
                    await woken.wait()
            except TimeoutError:
                pass

    async def ask(self, name: str) -> None:
        """Ask one manager about all its open starts and note what it says."""
        client = self._managers[name]
        starts = [start for start in self._starts.journal.unfinished() if self._is_asked(start, client)]
        for first in range(0, len(starts), _BATCH):
            batch = starts[first : first + _BATCH]
            try:
                references = [reference for start in batch if (reference := await self._reference(start))]
                states = await client.poll(references) if references else {}
            except errors.JSCError as error:
                log.warning("manager does not answer, labs stay as they are", manager=name, reason=error.message)
                return
            for start in batch:
                await self._note(start.start_id, states.get(start.start_id))

    def _is_asked(self, start: Start, client: ManagerClient) -> bool:
        if start.outcome is not None or start.handle is None:
            return False
        try:
            return self._starts.manager(start) is client
        except errors.NotFound:
            return False

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
