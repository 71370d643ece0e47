# SPDX-License-Identifier: BSD-3-Clause
"""Starts the processes of jobs, each under a watcher of its own (:mod:`jupyter_jsc.demo.stepd`).

Called by :mod:`.batch` for batch jobs and by :mod:`.engine` for login-node jobs.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from jupyter_jsc.demo.unicore.settings import Node

_STEPD = Path(__file__).parents[1] / "stepd.py"


@dataclass(frozen=True)
class Launch:
    """What to run where: a bash script in a job's directory, with nothing of our own environment."""

    script: str
    directory: Path
    stdout: str
    stderr: str
    environment: Mapping[str, str] = field(repr=False)

    def on(self, node: Node, **more: str) -> Mapping[str, str]:
        """Return the environment on *node*: the job's, the node's identity and *more*."""
        return {**self.environment, "JSC_NODE_NAME": node.name, "JSC_NODE_ADDRESS": node.address, **more}


class Process:
    """A running job. Its end leaves no process behind."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Return the exit code once everything has ended; 128 + the number if a signal ended the script."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Send SIGTERM to all its processes."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all its processes."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


async def start(launch: Launch, environment: Mapping[str, str]) -> Process:
    """Run the script of *launch* with exactly this environment; output is appended to its two files."""
    with (
        _open_output(launch.directory / launch.stdout) as stdout,
        _open_output(launch.directory / launch.stderr) as stderr,
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_STEPD), str(os.getpid()), "/bin/bash", launch.script),
            cwd=launch.directory,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    return Process(process)


def _open_output(path: Path) -> IO[bytes]:
    """Open an output file, empty, 0644, and for appending: the job and the batch system both write to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    return os.fdopen(descriptor, "wb")
