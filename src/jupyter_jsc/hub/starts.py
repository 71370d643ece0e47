# SPDX-License-Identifier: BSD-3-Clause
"""The flow of one start: submit, wait for the lab, open its tunnel, see it answer; and its end, clean-up included.

Called by :mod:`.spawner` (run, reconnect, finish), :mod:`.handlers` (the lab's and the managers' messages) and
:mod:`.supervisor` (what sites say). Every step may be repeated; the journal is written before each of them.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from jupyter_jsc import errors, wire
from jupyter_jsc.hub.clients import Clients
from jupyter_jsc.hub.credentials import Credentials, TokenOf
from jupyter_jsc.hub.journal import Journal
from jupyter_jsc.hub.probe import LabProbe
from jupyter_jsc.hub.records import Start

log = structlog.get_logger()

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_MOST_LAB_EVENTS = 500

FINAL_CODES = frozenset({"failed", "cancelled", "stopped", "ended"})
HUB_CODES = FINAL_CODES | {"submitted", "waiting", "accepted", "tunnel_waiting", "tunnel_open", "reconnecting", "ready"}
"""Codes that only the hub writes."""


class StartEnded(errors.JSCError):
    """The start ended before the lab was usable; the journal says why."""

    status = 422
    title = "Start ended"


@dataclass
class _Live:
    """What the hub knows of a start beside the journal, gone with the process."""

    state: wire.LabState = field(default_factory=lambda: wire.LabState(state=wire.State.UNKNOWN))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    posted: int = 0


class Starts:
    """All starts of this hub."""

    def __init__(
        self,
        clients: Clients,
        journal: Journal,
        *,
        token_of: TokenOf,
        on_end: Callable[[Start], None],
    ) -> None:
        self.clients = clients
        self.journal = journal
        self._credentials = Credentials(journal, token_of)
        self._on_end = on_end
        self._live: dict[str, _Live] = {}
        self._wakers: list[asyncio.Event] = []

    def waker(self) -> asyncio.Event:
        """Return an event that is set whenever the supervisor should look at once."""
        self._wakers.append(event := asyncio.Event())
        return event

    def wake(self) -> None:
        """Make the supervisor look at once."""
        for event in self._wakers:
            event.set()

    async def run(self, start_id: str, lab: wire.StartLab | None) -> str:
        """Bring a start, written in the journal, to a lab that answers; return its address.

        *lab* is what to submit; None if that is not known any more. Raises :class:`StartEnded`, with the journal
        closed, if it does not come to that; a start that is finished elsewhere ends at once, whatever step it is in.
        """
        flow = asyncio.ensure_future(self._flow(start_id, lab))
        ended = asyncio.ensure_future(self.until_ended(start_id))
        try:
            await asyncio.wait({flow, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not flow.done():
                raise StartEnded(self._why(start_id))
            return flow.result()
        finally:
            # A submission that is given up has left the wire before the job is looked for and stopped.
            flow.cancel()
            ended.cancel()
            await asyncio.gather(flow, ended, return_exceptions=True)

    async def _flow(self, start_id: str, lab: wire.StartLab | None) -> str:
        try:
            if self._open(start_id).handle is None:
                await self._submit(start_id, lab)
            return await self.resume(start_id)
        except StartEnded:
            raise
        except errors.JSCError as error:
            await self.finish(start_id, "failed", "hub", error.message, details=_facts(error))
            raise StartEnded(self._why(start_id)) from error

    async def reconnect(self, start_id: str) -> str:
        """Return the address of a lab that was ready once; what hinders is said once, and tried again for ever.

        Raises :class:`StartEnded` once the start has an outcome: nothing but the lab's own end ends the waiting.
        """
        said = False
        while True:
            try:
                return await self.resume(start_id)
            except StartEnded:
                raise
            except errors.JSCError as error:
                if not said:
                    await self.say(start_id, "reconnecting", 90, f"{error.message} Trying again.", _facts(error))
                    said = True
                await self._change(start_id, _LONGEST_WAIT_S)

    async def resume(self, start_id: str) -> str:
        """Wait until the lab listens, open its tunnel and see it answer; return its address.

        Raises :class:`StartEnded` once the start has an outcome, and what TunnelMgr refuses for good.
        """
        while True:
            start = self._open(start_id)
            if start.host and start.port:
                wanted = wire.OpenTunnel(
                    start_id=start_id,
                    system=start.system,
                    host=start.host,
                    port=start.port,
                    configuration=start.configuration,
                )
                if address := await self._reach(start, wanted):
                    return address
            else:
                await self._change(start_id)

    async def lab_event(self, start: Start, event: wire.Event) -> None:
        """Append what the lab says; :class:`errors.Conflict` after the end, or if it says too much."""
        if start.outcome is not None:
            raise errors.Conflict("This start has ended.")
        if event.code in HUB_CODES:
            allowed = "codes of the lab's own progress"
            raise errors.InvalidRequest(
                f"code: {event.code!r} is not possible. Allowed: {allowed}.",
                field="code",
                value=repr(event.code),
                allowed=allowed,
            )
        live = self._of(start.start_id)
        if live.posted >= _MOST_LAB_EVENTS:
            raise errors.Conflict("This start has posted too many events.")
        live.posted += 1
        await self.journal.add_event(start.start_id, "lab", event)

    async def lab_started(self, start: Start, target: wire.LabStarted) -> None:
        """Take the lab's word where it listens, if that lies inside its allocation; the same word twice is one.

        Raises :class:`errors.TargetRefused`, :class:`errors.Conflict` after the end of the start or for a second
        target, and :class:`errors.Unavailable` if the allocation cannot be found out now.
        """
        if start.outcome is not None:
            raise errors.Conflict("This start has ended.")
        if start.host is not None:
            if (start.host, start.port) != (target.host, target.port):
                raise errors.Conflict("This lab has said before where it listens.")
            return
        manager = await self.clients.manager_of(start)
        state = (await manager.poll([await self.reference(start)])).get(start.start_id)
        if state is None or state.state is wire.State.UNKNOWN:
            raise errors.Unavailable("The job's allocation cannot be found out at the moment.", retry_after_s=2)
        await self.observe(self.journal.known(start.start_id) or start, state)
        if state.state is wire.State.ENDED:
            raise errors.Conflict("This job has ended.")
        in_allocation = state.nodes is None or target.host in state.nodes
        system = (await self.clients.snapshot(start.configuration)).systems.get(start.system)
        if not (in_allocation and system is not None and system.allows_host(target.host)):
            log.warning("target refused", start_id=start.start_id, host=target.host, nodes=state.nodes)
            raise errors.TargetRefused("The host is not part of this job's allocation.")
        await self.journal.update(start.start_id, host=target.host, port=target.port)
        self._of(start.start_id).changed.set()

    async def observe(self, start: Start, state: wire.LabState) -> None:
        """Note what the site says of an open start; write an event if it changed; close the start if it ended."""
        if start.outcome is not None:
            return
        live = self._of(start.start_id)
        if state.state is wire.State.UNKNOWN:
            if state.code == "credential" and await self._credentials.refused(start.start_id):
                log.info("site refuses its own token, using the user's", start_id=start.start_id)
            return
        before, live.state = live.state, state
        if state.history != before.history:
            await self._tell(start.start_id, state.history)
        if state.state is wire.State.ENDED:
            outcome = "ended" if await self.was_ready(start.start_id) else "failed"
            text = state.text or "The job has ended."
            await self.finish(start.start_id, outcome, "site", text, details=state.log_tail)
            return
        if state.nodes and start.host and start.host not in state.nodes:
            log.warning("target outside of the allocation", start_id=start.start_id, host=start.host, nodes=state.nodes)
            await self.finish(start.start_id, "failed", "hub", "The lab named a host that is not part of its job.")
            return
        if state.ends is not None and state.ends != start.ends:
            await self.journal.update(start.start_id, ends=state.ends)
        if state.state is before.state and state.text == before.text:
            return
        if state.history and not state.text:
            return  # the site's own lines say more
        if state.state is wire.State.QUEUED:
            text = state.text or f"Queued on {await self._label(start)}."
            await self.say(start.start_id, "queued", 25, text, sender="site")
        elif state.state is wire.State.RUNNING and before.state is not wire.State.RUNNING and not start.host:
            where = f"Running on {', '.join(state.nodes)}." if state.nodes else "The job is running."
            await self.say(start.start_id, "running", 45, where, sender="site")

    async def _tell(self, start_id: str, history: list[wire.Event]) -> None:
        """Append what the site tells of the start and the journal does not have yet."""
        for event in history:
            if event.code not in HUB_CODES:
                await self.journal.add_event(start_id, "site", event, once=True)

    async def finish(self, start_id: str, outcome: str, sender: str, text: str, *, details: str = "") -> bool:
        """Close a start and wake whoever waits for it; the supervisor cleans up. False if it was closed already."""
        final = wire.Event(code=outcome, progress=100, text=text[:500], details=details[-8192:])
        closed = await self.journal.end(start_id, outcome, sender, final)
        if closed and (start := self.journal.known(start_id)):
            log.info("start closed", start_id=start_id, outcome=outcome)
            self._on_end(start)
        if live := self._live.get(start_id):
            live.changed.set()
        self.wake()
        return closed

    async def clean_up(self, start: Start) -> None:
        """Stop the job and close the tunnel of a start that has an outcome; it is clean once both are confirmed.

        Neither waits for the other. Raises what hinders; the supervisor tries again.
        """
        answers = await asyncio.gather(self._close_tunnel(start), self._stop_job(start), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        await self.journal.update(start.start_id, cleaned=True, secret=None)
        self._credentials.forget(start.start_id)
        self._live.pop(start.start_id, _Live()).changed.set()

    async def until_ended(self, start_id: str) -> None:
        """Return once the start has an outcome."""
        try:
            while True:
                await self._change(start_id)
        except StartEnded:
            pass

    async def until_clean(self, start_id: str, timeout_s: float) -> bool:
        """Return whether job and tunnel were confirmed gone within *timeout_s*."""
        live = self._of(start_id)
        try:
            async with asyncio.timeout(timeout_s):
                while (start := self.journal.known(start_id)) and not start.cleaned:
                    await live.changed.wait()
                    live.changed.clear()
        except TimeoutError:
            return False
        return True

    async def was_ready(self, start_id: str) -> bool:
        """Return whether the lab could be used at some time."""
        return any(event.code == "ready" for event in await self.journal.events(start_id))

    async def reference(self, start: Start) -> wire.LabRef:
        """Return how a manager finds the start, with the best credential there is."""
        return wire.LabRef(
            lab_id=start.lab_id,
            start_id=start.start_id,
            system=start.system,
            handle=wire.Handle(url=start.handle) if start.handle else None,
            credential=await self._credentials.of(start),
            account=start.options.get("account"),
            project=start.options.get("project"),
            configuration=start.configuration,
        )

    async def say(
        self, start_id: str, code: str, progress: int, text: str, details: str = "", *, sender: str = "hub"
    ) -> None:
        """Append a line to the start's history."""
        event = wire.Event(code=code, progress=progress, text=text[:500], details=details[:8192])
        await self.journal.add_event(start_id, sender, event)

    async def _close_tunnel(self, start: Start) -> None:
        tunnels = await self.clients.tunnels()
        await tunnels.close(start.lab_id, start.start_id)

    async def _stop_job(self, start: Start) -> None:
        try:
            manager = await self.clients.manager_of(start)
            try:
                await manager.stop(await self.reference(start))
            except errors.CredentialRefused:
                if not await self._credentials.refused(start.start_id):
                    raise
                await manager.stop(await self.reference(start))
        except errors.NotFound:
            log.warning("job of a removed system left alone", start_id=start.start_id, system=start.system)

    async def _submit(self, start_id: str, lab: wire.StartLab | None) -> None:
        """Have the site take the job; as long as it or the manager is unavailable, say so once and try again."""
        if lab is None:
            raise errors.Unavailable("The portal was restarted before the job was submitted. Start the lab again.")
        await self.say(start_id, "submitted", 5, f"Submitting to {await self._label(self._open(start_id))}.")
        wait_s, said = _FIRST_WAIT_S, False
        while True:
            start = self._open(start_id)
            try:
                answer = await self._hand_over(start, lab)
                break
            except errors.Unavailable as error:
                if not said:
                    text = f"{error.message} The start waits and tries again."
                    await self.say(start_id, "waiting", 8, text, _facts(error))
                    said = True
                await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        await self._credentials.keep(start_id, answer)
        await self.say(start_id, "accepted", 15, "The system has accepted the job.", sender="manager")
        self.wake()

    async def _hand_over(self, start: Start, lab: wire.StartLab) -> wire.StartAnswer:
        """Have the manager start the job; a token that is refused before its time is over is changed for a new one once."""
        manager = await self.clients.manager_of(start)
        token = await self._credentials.of_user(start)
        try:
            return await manager.start(lab, token)
        except errors.CredentialRefused:
            log.info("access token refused, asking for another", start_id=start.start_id, system=start.system)
            return await manager.start(lab, await self._credentials.of_user(start, refused=token))

    async def _reach(self, start: Start, wanted: wire.OpenTunnel) -> str | None:
        """Open the tunnel and wait until the lab answers; None if it is time to look at the start again."""
        try:
            tunnel = await (await self.clients.tunnels()).open(start.lab_id, wanted)
        except errors.Unavailable as error:
            log.warning("no tunnel yet", start_id=start.start_id, reason=error.message)
            if start.last is None or start.last.code != "tunnel_waiting":
                await self.say(start.start_id, "tunnel_waiting", 80, f"{error.message} Trying again.", _facts(error))
            await self._change(start.start_id, _FIRST_WAIT_S)
            return None
        if start.last is None or start.last.code not in {"tunnel_open", "ready"}:
            via = f" through {tunnel.jump_host}" if tunnel.jump_host else ""
            await self.say(start.start_id, "tunnel_open", 90, f"Connected to {start.host}{via}.")
        address = f"http://{tunnel.endpoint_host}:{tunnel.endpoint_port}"
        async with LabProbe(address) as probe:
            for wait_s in probe.waits():
                self._open(start.start_id)
                if await probe.answers():
                    return address
                await self._change(start.start_id, wait_s)
        return None

    async def _change(self, start_id: str, timeout_s: float | None = None) -> None:
        """Wait until something about the start changed, at most *timeout_s*."""
        live = self._of(start_id)
        live.changed.clear()
        self._open(start_id)
        try:
            async with asyncio.timeout(timeout_s):
                await live.changed.wait()
        except TimeoutError:
            pass

    def _open(self, start_id: str) -> Start:
        start = self.journal.known(start_id)
        if start is None or start.outcome is not None:
            raise StartEnded(self._why(start_id))
        return start

    def _why(self, start_id: str) -> str:
        start = self.journal.known(start_id)
        return start.last.text if start and start.last else "The start has ended."

    def _of(self, start_id: str) -> _Live:
        return self._live.setdefault(start_id, _Live())

    async def _label(self, start: Start) -> str:
        system = (await self.clients.snapshot(start.configuration)).systems.get(start.system)
        return system.label if system else start.system


def _facts(error: errors.JSCError) -> str:
    return "\n".join(f"{name}: {value}" for name, value in error.detail.items())
