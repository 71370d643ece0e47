# SPDX-License-Identifier: BSD-3-Clause
"""The flow of one start: submit, wait for the lab, open its tunnel, see it answer; and its end, clean-up included.

Called by :mod:`.spawner` (run, resume, finish), :mod:`.handlers` (the lab's and the managers' messages) and
:mod:`.supervisor` (what sites say). Every step may be repeated; the journal is written before each of them.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog
from jupyterhub.crypto import decrypt, encrypt
from pydantic import SecretStr

from jupyter_jsc import errors, wire
from jupyter_jsc.client import ManagerClient, TunnelClient
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.journal import Journal, Start

log = structlog.get_logger()

Credentials = Callable[[], Awaitable[SecretStr]]
"""Gives the user's fresh access token, or raises :class:`errors.CredentialRefused`."""

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_PROBE_S = 0.025
_LONGEST_PROBE_S = 2.0


class StartEnded(errors.JSCError):
    """The start ended before the lab was usable; the journal says why."""

    status = 422
    title = "Start ended"


@dataclass
class _Live:
    """What the hub knows of a start beside the journal, gone with the process."""

    credentials: Credentials | None = None
    state: wire.LabState = field(default_factory=lambda: wire.LabState(state=wire.State.UNKNOWN))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    site_token: SecretStr | None = None


class Starts:
    """All starts of this hub."""

    def __init__(
        self,
        configuration: Configuration,
        journal: Journal,
        managers: Mapping[str, ManagerClient],
        tunnels: TunnelClient,
    ) -> None:
        self._configuration = configuration
        self.journal = journal
        self._managers = managers
        self._tunnels = tunnels
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

    def manager(self, start: Start) -> ManagerClient:
        """Return the manager of the start's system; :class:`errors.NotFound` if the system is configured no more."""
        system = self._configuration.systems.get(start.system)
        if system is None:
            raise errors.NotFound(f"The system {start.system!r} is not part of the portal any more.")
        return self._managers[system.manager]

    def state(self, start_id: str) -> wire.LabState:
        """Return what the site said last of a start; ``unknown`` if it has not been asked."""
        live = self._live.get(start_id)
        return live.state if live else wire.LabState(state=wire.State.UNKNOWN)

    def lend_credentials(self, start_id: str, credentials: Credentials) -> None:
        """Let this start act with the user's token while the site has given none of its own."""
        self._of(start_id).credentials = credentials

    async def run(self, lab: wire.StartLab, credentials: Credentials) -> str:
        """Bring a new start, written in the journal, to a lab that answers; return its address.

        Raises :class:`StartEnded`, with the journal closed, if it does not come to that; a cancelled start
        ends at once, whatever step it is in.
        """
        self.lend_credentials(lab.start_id, credentials)
        flow = asyncio.ensure_future(self._flow(lab, credentials))
        ended = asyncio.ensure_future(self.until_ended(lab.start_id))
        try:
            await asyncio.wait({flow, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not flow.done():
                raise StartEnded(self._why(lab.start_id))
            return flow.result()
        finally:
            flow.cancel()
            ended.cancel()

    async def _flow(self, lab: wire.StartLab, credentials: Credentials) -> str:
        try:
            await self._say(lab.start_id, "hub", "submitted", 5, f"Submitting to {self._label(lab.options.system)}.")
            answer = await self._submit(lab, credentials)
            await self._accepted(lab.start_id, answer)
            return await self.resume(lab.start_id)
        except errors.JSCError as error:
            if not isinstance(error, StartEnded):
                await self.finish(lab.start_id, "failed", "hub", error.message, details=_facts(error))
            raise StartEnded(self._why(lab.start_id)) from error

    async def resume(self, start_id: str) -> str:
        """Wait until the lab listens, open its tunnel and see it answer; return its address.

        Raises :class:`StartEnded` once the start has an outcome.
        """
        while True:
            start = self._open(start_id)
            if start.host and start.port:
                wanted = wire.OpenTunnel(start_id=start_id, system=start.system, host=start.host, port=start.port)
                if address := await self._reach(start, wanted):
                    return address
            else:
                await self._change(start_id)

    async def lab_started(self, start: Start, target: wire.LabStarted) -> None:
        """Take the lab's word where it listens, if that lies inside its allocation; repeatable.

        Raises :class:`errors.TargetRefused`, :class:`errors.Conflict` after the end of the start, and
        :class:`errors.Unavailable` if the allocation cannot be found out now.
        """
        if start.outcome is not None:
            raise errors.Conflict("This start has ended.")
        system = self._configuration.systems[start.system]
        state = (await self.manager(start).poll([await self.reference(start)])).get(start.start_id)
        if state is None or state.state is wire.State.UNKNOWN:
            raise errors.Unavailable("The job's allocation cannot be found out at the moment.", retry_after_s=2)
        in_allocation = state.nodes is None or target.host in state.nodes
        if not (in_allocation and system.allows_host(target.host)):
            log.warning("target refused", start_id=start.start_id, host=target.host, nodes=state.nodes)
            raise errors.TargetRefused("The host is not part of this job's allocation.")
        if (start.host, start.port) != (target.host, target.port):
            await self.journal.update(start.start_id, host=target.host, port=target.port)
        await self.observe(start, state)
        self._of(start.start_id).changed.set()

    async def observe(self, start: Start, state: wire.LabState) -> None:
        """Note what the site says of an open start; write an event if it changed; close the start if it ended."""
        live = self._of(start.start_id)
        before, live.state = live.state, state if state.state is not wire.State.UNKNOWN else live.state
        if state.state is wire.State.ENDED:
            outcome = "ended" if start.host else "failed"
            await self.finish(
                start.start_id, outcome, "site", state.text or "The job has ended.", details=state.log_tail
            )
            return
        if state.ends is not None and state.ends != start.ends:
            await self.journal.update(start.start_id, ends=state.ends)
        if state.state is before.state and state.text == before.text:
            return
        if state.state is wire.State.QUEUED:
            await self._say(
                start.start_id, "site", "queued", 25, state.text or f"Queued on {self._label(start.system)}."
            )
        elif state.state is wire.State.RUNNING and before.state is not wire.State.RUNNING and not start.host:
            where = f"Running on {', '.join(state.nodes)}." if state.nodes else "The job is running."
            await self._say(start.start_id, "site", "running", 45, where)

    async def finish(self, start_id: str, outcome: str, sender: str, text: str, *, details: str = "") -> bool:
        """Close a start and wake whoever waits for it; the supervisor cleans up. False if it was closed already."""
        final = wire.Event(code=outcome, progress=100, text=text[:500], details=details[-8192:])
        closed = await self.journal.end(start_id, outcome, sender, final)
        if closed:
            log.info("start closed", start_id=start_id, outcome=outcome)
        self._of(start_id).changed.set()
        self.wake()
        return closed

    async def clean_up(self, start: Start) -> None:
        """Stop the job and close the tunnel of a start that has an outcome; it is clean once both are confirmed.

        Raises what hinders it; the supervisor tries again.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tunnels.close(start.lab_id, start.start_id))
            tasks.create_task(self._stop_job(start))
        await self.journal.update(start.start_id, cleaned=True, secret=None)
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
        try:
            async with asyncio.timeout(timeout_s):
                while (start := self.journal.known(start_id)) and not start.cleaned:
                    live = self._of(start_id)
                    live.changed.clear()
                    await live.changed.wait()
        except TimeoutError:
            return False
        return True

    async def ready(self, start_id: str) -> None:
        """Note that the lab can be opened: its route is there."""
        await self._say(start_id, "hub", "ready", 100, "The lab is ready.")

    async def reference(self, start: Start) -> wire.LabRef:
        """Return how a manager finds the start, with the best credential there is."""
        options = start.options
        return wire.LabRef(
            lab_id=start.lab_id,
            start_id=start.start_id,
            system=start.system,
            handle=wire.Handle(url=start.handle) if start.handle else None,
            credential=await self._credential(start.start_id),
            account=options.get("account"),
            project=options.get("project"),
        )

    async def _stop_job(self, start: Start) -> None:
        try:
            await self.manager(start).stop(await self.reference(start))
        except errors.CredentialRefused:
            live = self._of(start.start_id)
            if live.site_token is None:
                raise
            live.site_token = None
            await self.journal.update(start.start_id, secret=None)
            raise
        except errors.NotFound:
            log.warning("job of a removed system left alone", start_id=start.start_id, system=start.system)

    async def _submit(self, lab: wire.StartLab, credentials: Credentials) -> wire.StartAnswer:
        """Return the manager's answer; as long as it or the site is unavailable, say so once and try again."""
        wait_s, said = _FIRST_WAIT_S, False
        while True:
            start = self._open(lab.start_id)
            try:
                return await self.manager(start).start(lab, await credentials())
            except errors.Unavailable as error:
                if not said:
                    label = self._label(lab.options.system)
                    text = f"{label} does not answer at the moment. The start waits and tries again."
                    await self._say(lab.start_id, "hub", "waiting", 8, text, error.message)
                    said = True
                await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _accepted(self, start_id: str, answer: wire.StartAnswer) -> None:
        secret = None
        if answer.site_token is not None:
            self._of(start_id).site_token = answer.site_token
            secret = await encrypt({"token": answer.site_token.get_secret_value()})
        await self.journal.update(start_id, handle=answer.handle.url, secret=secret)
        await self._say(start_id, "manager", "accepted", 15, "The system has accepted the job.")
        self.wake()

    async def _reach(self, start: Start, wanted: wire.OpenTunnel) -> str | None:
        """Open the tunnel and probe the lab until it answers; None if the start changed meanwhile."""
        wait_s = _FIRST_WAIT_S
        try:
            tunnel = await self._tunnels.open(start.lab_id, wanted)
        except errors.Unavailable as error:
            log.warning("no tunnel yet", start_id=start.start_id, reason=error.message)
            await self._change(start.start_id, wait_s)
            return None
        if start.last is None or start.last.code not in {"tunnel_open", "ready"}:
            via = f" through {tunnel.jump_host}" if tunnel.jump_host else ""
            await self._say(start.start_id, "hub", "tunnel_open", 90, f"Connected to {start.host}{via}.")
        address = f"http://{tunnel.endpoint_host}:{tunnel.endpoint_port}"
        wait_s = _PROBE_S
        timeout = aiohttp.ClientTimeout(total=10, connect=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for _ in range(20):
                self._open(start.start_id)
                if await _answers(session, address):
                    return address
                await self._change(start.start_id, wait_s)
                wait_s = min(wait_s * 2, _LONGEST_PROBE_S)
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

    async def _credential(self, start_id: str) -> SecretStr | None:
        live = self._of(start_id)
        if live.site_token is None and (secret := await self.journal.secret(start_id)):
            live.site_token = SecretStr((await decrypt(secret))["token"])
        if live.site_token is not None:
            return live.site_token
        return await live.credentials() if live.credentials else None

    async def _say(self, start_id: str, sender: str, code: str, progress: int, text: str, details: str = "") -> None:
        await self.journal.add_event(
            start_id, sender, wire.Event(code=code, progress=progress, text=text[:500], details=details[:8192])
        )

    def _of(self, start_id: str) -> _Live:
        return self._live.setdefault(start_id, _Live())

    def _label(self, system: str) -> str:
        found = self._configuration.systems.get(system)
        return found.label if found else system


async def _answers(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"{address}/api", allow_redirects=False):
            return True
    except (aiohttp.ClientError, TimeoutError):
        return False


def _facts(error: errors.JSCError) -> str:
    return "\n".join(f"{name}: {value}" for name, value in error.detail.items())
