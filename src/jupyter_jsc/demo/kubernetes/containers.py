# SPDX-License-Identifier: BSD-3-Clause
"""Containers as processes of this machine, each under a watcher that leaves nothing of it (:mod:`jupyter_jsc.demo.stepd`).

Called by :mod:`.pods`.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from jupyter_jsc.demo import stepd

_BEFORE_ITS_WATCH = {-signal.SIGUSR1: -signal.SIGKILL, -signal.SIGUSR2: -signal.SIGTERM}
"""How a container ends that is told to before its watcher listens: the watcher itself ends, by the order's signal."""


@dataclass(frozen=True)
class Launch:
    """What to run."""

    argv: Sequence[str]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(repr=False)


class Container(Protocol):
    """A container that runs."""

    async def wait(self) -> int:
        """Return the exit code once nothing of it is left."""

    def terminate(self) -> None:
        """Send SIGTERM to its first process, whose end ends all others."""

    def kill(self) -> None:
        """Kill it."""


class Process:
    """A container that is a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait(self) -> int:
        """Return the exit code once nothing of it is left."""
        code = await self._process.wait()
        code = _BEFORE_ITS_WATCH.get(code, code)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Send SIGTERM to its first process, whose end ends all others."""
        self._signal(signal.SIGUSR2)

    def kill(self) -> None:
        """Kill it."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class Hollow:
    """A container that runs in name only, until it is told to end."""

    def __init__(self) -> None:
        self._end = asyncio.Event()
        self._code = 0

    async def wait(self) -> int:
        """Return the exit code once it was told to end."""
        await self._end.wait()
        return self._code

    def terminate(self) -> None:
        """End it as a process does that leaves SIGTERM to the system."""
        self._code = 128 + signal.SIGTERM
        self._end.set()

    def kill(self) -> None:
        """End it as SIGKILL does."""
        self._code = 128 + signal.SIGKILL
        self._end.set()


async def start(launch: Launch) -> Process:
    """Run *launch* with exactly its environment; output is appended to its log."""
    descriptor = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(stepd.__file__), str(os.getpid()), *launch.argv),
            cwd=launch.directory,
            env=dict(launch.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Process(process)
