# SPDX-License-Identifier: BSD-3-Clause
"""The processes of the demo: started with a log file each, watched, and ended without leaving anything behind.

On Linux the demo adopts orphans of its children (``PR_SET_CHILD_SUBREAPER``), so that SSH masters and labs,
which put themselves into sessions of their own, are found and ended too; and a child gets SIGTERM if the demo
itself is killed (``PR_SET_PDEATHSIG``).
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_jsc.errors import Unavailable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_END_S = 15.0


@dataclass(frozen=True)
class Command:
    """What to start, with the whole environment of the process."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)


class Processes:
    """The children of the demo by name. Ended in reverse order of their start."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._others = set(_children())
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    async def start(self, name: str, command: Command) -> None:
        """Start *command* in a session of its own; its output goes to ``<name>.log``, the last run's to ``.old``."""
        path = self._logs / f"{name}.log"
        if path.exists():
            path.replace(path.with_suffix(".old"))
        with path.open("wb") as log:
            path.chmod(0o600)
            self._running[name] = await asyncio.create_subprocess_exec(
                *command.argv,
                env=command.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def pid(self, name: str) -> int:
        """Return the process id of a running child."""
        return self._running[name].pid

    async def first_end(self) -> None:
        """Wait until any process ends by itself, then raise :class:`Unavailable` with its last lines."""
        tasks = {asyncio.create_task(child.wait()): name for name, child in self._running.items()}
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        name = tasks[ended.pop()]
        lines = (self._logs / f"{name}.log").read_text("utf-8", "replace").splitlines()[-15:]
        raise Unavailable(f"The process {name!r} of the demo ended. Its last lines:\n" + "\n".join(lines))

    async def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """End one process by signal *number*; by SIGKILL if it has not ended after 15 s."""
        child = self._running.pop(name)
        if child.returncode is None:
            child.send_signal(number)
            try:
                async with asyncio.timeout(_END_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()

    async def end_all(self) -> None:
        """End every process, the last one first, then whatever they left; not what was there before."""
        for name in reversed(list(self._running)):
            await self.end(name)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(50):
                if not (left := [pid for pid in _children() if pid not in self._others]):
                    return
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                await asyncio.sleep(0.1)
                _reap(left)


def _children() -> Iterator[int]:
    """Yield the process ids of all children of this process, adopted ones included (Linux; else none)."""
    tasks = Path("/proc/self/task")
    for path in tasks.glob("*/children"):
        yield from map(int, path.read_text("ascii").split())


def _reap(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
