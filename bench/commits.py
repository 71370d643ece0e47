# SPDX-License-Identifier: BSD-3-Clause
"""From ``git commit`` to in force in every service, many times in a row, while labs run and start.

Each process of the demo says in its log which version it has taken over; the clock runs from the end of ``git commit`` to
the moment when that line is there. One websocket to a kernel stays open all the time and is asked after each commit; one
start waits in the queue when the commits begin. A websocket that drops or a start that is lost ends the bench.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bench import processes
from bench.labs import OPTIONS, running_lab
from bench.portal import Kernel
from bench.table import Row, percentile, row
from jupyter_jsc.demo.folder import REPOSITORY

COMMITS = 1000
SERVICES = {
    "configsync": "published",
    "unicoremgr": "in force in UnicoreMgr",
    "k8smgr": "in force in K8sMgr",
    "tunnelmgr": "in force in TunnelMgr",
    "dashboard": "in force in the dashboard",
    "hub": "in force in the hub",
}
"""Name of the log of each process, and what its line means."""
_PENDING = "pending"
_QUEUE_S = 10.0
_LOOK_EVERY_S = 0.005
_LIMIT_S = 60.0
_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")

Delays = dict[str, list[float]]
"""By process: milliseconds from each commit."""


async def run() -> list[Row]:
    """Return the rows."""
    with tempfile.TemporaryDirectory(prefix="jsc-bench-") as name:
        folder = Path(name) / "demo"
        async with (
            processes.demo(folder, _QUEUE_S) as demo,
            running_lab(demo.address) as (user, server),
            user.kernel(server) as kernel,
        ):
            await user.save(_PENDING, OPTIONS)
            await user.start(_PENDING)
            delays = await measure(folder, kernel)
            await user.until(_PENDING, "ready")
            await user.stop(_PENDING)
    delays = {"all": [max(each) for each in zip(*delays.values(), strict=True)], **delays}
    titles = {"all": "in force everywhere", **SERVICES}
    return [
        row(f"commit to {titles[service]}, {label}", "ms", percentile(found, share), COMMITS)
        for service, found in delays.items()
        for label, share in (("p50", 0.5), ("p95", 0.95), ("worst", 1.0))
    ]


async def measure(folder: Path, kernel: Kernel) -> Delays:
    """Commit again and again; each time wait until every process has taken it over, and ask the kernel something."""
    delays: Delays = {service: [] for service in SERVICES}
    with contextlib.ExitStack() as stack:
        logs = {service: stack.enter_context(log_end(folder / "logs" / f"{service}.log")) for service in SERVICES}
        for number in range(COMMITS):
            commit = await make_commit(folder / REPOSITORY, number)
            began = time.perf_counter()
            async with asyncio.timeout(_LIMIT_S), asyncio.TaskGroup() as tasks:
                waiting = {name: tasks.create_task(until_said(log, commit)) for name, log in logs.items()}
            for service, task in waiting.items():
                delays[service].append((task.result() - began) * 1000)
            await kernel.ask("execute_request", {"code": "1+1"})
    return delays


async def make_commit(repository: Path, number: int) -> str:
    """Change what every page shows, and return the commit."""
    content = f'announcements:\n  bench:\n    title: "Commit {number}"\n'
    (repository / "bench.yaml").write_text(content, "utf-8")
    await _git(repository, "add", "bench.yaml")
    await _git(repository, *_AUTHOR, "commit", "--quiet", "--message", f"Commit {number}")
    return await _git(repository, "rev-parse", "HEAD")


async def _git(repository: Path, *arguments: str) -> str:
    child = await asyncio.create_subprocess_exec(
        "git", "-C", str(repository), *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"git {arguments[-1]} ended with {child.returncode}")
    return said.decode("ascii", "replace").strip()


@contextlib.contextmanager
def log_end(path: Path) -> Iterator[BinaryIO]:
    """Open a log where it ends now."""
    with path.open("rb") as log:
        log.seek(0, 2)
        yield log


async def until_said(log: BinaryIO, commit: str) -> float:
    """Return when a log named the commit first, on the clock of :func:`time.perf_counter`."""
    said = b""
    while True:
        said = said[-1000:] + log.read()
        if commit.encode() in said:
            return time.perf_counter()
        await asyncio.sleep(_LOOK_EVERY_S)
