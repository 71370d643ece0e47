# SPDX-License-Identifier: BSD-3-Clause
"""What a start takes from click to first answer and where that time goes; what the idle system takes; its own start.

The split comes from the journal: *queue* is the site's, from its acceptance of the job to the launcher's first
event; *lab* is the server's own start, from there until it listens; *platform* is the rest, ours.
"""

import asyncio
import contextlib
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench import processes
from bench.labs import OPTIONS, SERVER, logged_in
from bench.portal import PortalUser
from bench.table import Row, median, percentile, row

STARTS = 5
_QUEUE_S = 1.0
_SETTLE_S = 5.0
_LIMIT_S = 120.0


@dataclass(frozen=True)
class Split:
    """One start: milliseconds in all, and the parts that are not ours."""

    total: float
    queue: float
    lab: float

    @property
    def platform(self) -> float:
        """What is ours."""
        return self.total - self.queue - self.lab


async def run() -> list[Row]:
    """Return the rows of all three."""
    with tempfile.TemporaryDirectory(prefix="jsc-bench-") as name:
        folder = Path(name)
        async with processes.stock_server(folder) as stock:
            stock_start = stock.own_start_s * 1000
        async with processes.demo(folder / "demo", _QUEUE_S) as first:
            await asyncio.sleep(_SETTLE_S)
            idle = processes.memory_mb(first.pid)
            async with logged_in(first.address) as user:
                await user.save(SERVER, OPTIONS)
                splits = [await one_start(user) for _ in range(STARTS)]
        async with processes.demo(folder / "demo", _QUEUE_S) as second:
            again = second.start_s
    return [
        *_start_rows(splits, stock_start),
        *(row(f"idle memory of {what}", "MB", megabytes, 1) for what, megabytes in by_part(idle).items()),
        row("idle memory of everything", "MB", sum(idle.values()), 1),
        row("first start of the demo", "s", first.start_s, 1),
        row("second start of the demo", "s", again, 1),
    ]


def _start_rows(splits: list[Split], stock_start: float) -> list[Row]:
    return [
        row("click to first 200, p50", "ms", median([split.total for split in splits]), len(splits)),
        row("of that the site's queue, p50", "ms", median([split.queue for split in splits]), len(splits)),
        row(
            "of that the lab's own start, p50, against stock JupyterLab",
            "ms",
            median([split.lab for split in splits]),
            len(splits),
            peer=stock_start,
        ),
        row("of that the platform, p50", "ms", median([split.platform for split in splits]), len(splits)),
        row("of that the platform, worst", "ms", percentile([split.platform for split in splits], 1), len(splits)),
    ]


async def one_start(user: PortalUser) -> Split:
    """Start the lab, wait for its first 200 through the proxy, stop it, and return where the time went."""
    async with asyncio.TaskGroup() as tasks:
        ready = tasks.create_task(_until_ready(user))
        clicked = time.time()
        await user.start(SERVER)
        await ready
        await processes.until_200(f"{user.address}user/{user.name}/{SERVER}/api", user.session, pause_s=0.01)
        answered = time.time()
    start_id = (await user.starts(SERVER))[0]["start_id"]
    times = {event["code"]: _epoch(event["time"]) for event in reversed(await user.history(SERVER, start_id))}
    await user.stop(SERVER)
    await user.until_state(SERVER, "stopped")
    return Split(
        total=(answered - clicked) * 1000,
        queue=(times["lab_starting"] - times["accepted"]) * 1000,
        lab=(times["lab_listening"] - times["lab_starting"]) * 1000,
    )


async def _until_ready(user: PortalUser) -> None:
    """Watch the stream as the page does; asking all the time would slow the hub down."""
    async with asyncio.timeout(_LIMIT_S), contextlib.aclosing(user.events()) as events:
        async for event in events:
            if event["code"] == "ready":
                return
            if event["code"] in {"failed", "cancelled", "stopped", "ended"}:
                raise RuntimeError(f"{event['text']} {event['details']}")


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


_PARTS = {
    "hub": "jupyterhub --config",
    "proxy": "configurable-http-proxy",
    "UnicoreMgr": "unicoremgr",
    "K8sMgr": "k8smgr",
    "TunnelMgr": "tunnelmgr",
    "dashboard": "jupyter_jsc.cli dashboard",
    "demo world": "demo-world",
}


def by_part(memory: dict[str, float]) -> dict[str, float]:
    """Return the megabytes of each component; what is none of them (the demo itself, ssh) is ``the rest``."""
    found: dict[str, float] = dict.fromkeys([*_PARTS, "the rest"], 0.0)
    for process, megabytes in memory.items():
        names = [name for name, mark in _PARTS.items() if mark in process]
        found[names[0] if names else "the rest"] += megabytes
    return found
