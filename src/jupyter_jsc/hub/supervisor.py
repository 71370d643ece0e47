# SPDX-License-Identifier: BSD-3-Clause
"""The supervisor: one loop that asks each manager about all open starts and finishes what ended starts left.

Level-triggered: what a site says now is compared with what is known; messages only wake it. A manager that
does not answer changes nothing. Started and owned by :class:`~jupyter_jsc.hub.portal.Portal`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from jupyter_jsc import errors, wire
from jupyter_jsc.client import ManagerClient
from jupyter_jsc.hub.journal import Start
from jupyter_jsc.hub.starts import Starts

log = structlog.get_logger()

_BATCH = 500


class Supervisor:
    """Keeps journal and sites together."""

    def __init__(
        self,
        starts: Starts,
        managers: Mapping[str, ManagerClient],
        interval_s: float,
        on_end: Callable[[Start], Awaitable[None]],
    ) -> None:
        self._starts = starts
        self._managers = managers
        self._interval_s = interval_s
        self._on_end = on_end
        self._cleaning: set[str] = set()

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
        if state is None or current is None or current.outcome is not None:
            return
        await self._starts.observe(current, state)
        if state.state is wire.State.ENDED:
            await self._on_end(current)

    async def _reference(self, start: Start) -> wire.LabRef | None:
        try:
            return await self._starts.reference(start)
        except errors.JSCError as error:
            log.warning("no credential, lab stays as it is", start_id=start.start_id, reason=error.message)
            return None

    async def clean_up(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to clean up after every ended start that is not clean; none twice at the same time."""
        for start in self._starts.journal.unfinished():
            if start.outcome is not None and start.start_id not in self._cleaning:
                self._cleaning.add(start.start_id)
                tasks.create_task(self._clean_up(start))

    async def _clean_up(self, start: Start) -> None:
        try:
            await self._starts.clean_up(start)
        except* errors.JSCError as group:
            reasons = [str(error) for error in group.exceptions]
            log.warning("clean-up not confirmed yet, trying again", start_id=start.start_id, reasons=reasons)
        finally:
            self._cleaning.discard(start.start_id)
