# SPDX-License-Identifier: BSD-3-Clause
"""The batch system: first come, first served on whole nodes; cancelling and forgetting."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.unicore import Node, SiteSettings
from jupyter_jsc.demo.unicore.batch import BatchSystem, Request, hostlist
from jupyter_jsc.demo.unicore.processes import Launch


@pytest.fixture
async def batch(tmp_path: Path) -> AsyncIterator[BatchSystem]:
    """A batch system with three nodes; everything is cancelled at the end."""
    nodes = tuple(Node(f"n{number}", f"127.0.0.{number}") for number in (1, 2, 3))
    settings = SiteSettings("S", "http://127.0.0.1/S", tmp_path, nodes, (), (), queue_delay_s=0.02, kill_wait_s=0.3)
    system = BatchSystem(settings)
    async with asyncio.TaskGroup() as tasks:
        system.open(tasks)
        try:
            yield system
        finally:
            system.close()


def request(directory: Path, script: str, *, nodes: int = 1, runtime_s: int = 60, name: str = "job") -> Request:
    file = directory / f"{abs(hash(script))}.sh"
    file.write_text(script)
    launch = Launch(file.name, directory, "out", "err", {"PATH": "/usr/bin:/bin"})
    return Request(name, "batch", "a1", "p1", nodes, 0, runtime_s, launch)


async def until(batch: BatchSystem, job_id: int, **wanted: str) -> dict[str, str]:
    while True:
        found = batch.describe(job_id)
        assert found is not None
        if all(found.get(key) == value for key, value in wanted.items()):
            return found
        await asyncio.sleep(0.01)


async def test_queue_delay_then_nodes(batch: BatchSystem, tmp_path: Path) -> None:
    """A job waits, runs on the first free nodes with Slurm's variables, and is COMPLETED."""
    job_id = batch.submit(request(tmp_path, 'echo "$SLURM_JOB_ID $SLURM_JOB_NODELIST $SLURMD_NODENAME"', nodes=2))
    assert {job_id: "PENDING"} == batch.queue()
    waiting = batch.describe(job_id)
    assert waiting is not None
    assert (waiting["Reason"], waiting["EndTime"]) == ("Priority", "Unknown")
    assert waiting["StartTime"] != "Unknown"
    found = await until(batch, job_id, JobState="COMPLETED")
    assert (found["NodeList"], found["BatchHost"], found["ExitCode"]) == ("n[1-2]", "n1", "0:0")
    assert f"{job_id} n[1-2] n1\n" == (tmp_path / "out").read_text()
    assert batch.queue() == {}


async def test_first_come_first_served(batch: BatchSystem, tmp_path: Path) -> None:
    """Who does not fit waits for Resources and holds up all behind it; cancelling lets them go on."""
    running = batch.submit(request(tmp_path, "sleep 600", nodes=2))
    await until(batch, running, JobState="RUNNING")
    big = batch.submit(request(tmp_path, "true", nodes=2))
    await until(batch, big, Reason="Resources")
    small = batch.submit(request(tmp_path, "sleep 601"))
    impossible = batch.submit(request(tmp_path, "true", nodes=4))
    await until(batch, impossible, Reason="PartitionNodeLimit")
    await until(batch, small, Reason="Priority")
    assert [node.name for node in batch.free_nodes()] == ["n3"]
    batch.cancel(big)
    await until(batch, big, JobState="CANCELLED", NodeList="")
    assert (await until(batch, small, JobState="RUNNING"))["NodeList"] == "n3"


async def test_cancel_escalates(batch: BatchSystem, tmp_path: Path) -> None:
    """What ignores SIGTERM is COMPLETING until the kill wait is over, then CANCELLED; twice is once."""
    job_id = batch.submit(request(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.02; done"))
    while not (tmp_path / "out").exists() or "up" not in (tmp_path / "out").read_text():
        await asyncio.sleep(0.01)
    batch.cancel(job_id)
    batch.cancel(job_id)
    assert {job_id: "COMPLETING"} == batch.queue()
    await batch.wait(job_id)
    assert (batch.describe(job_id) or {})["JobState"] == "CANCELLED"
    assert (tmp_path / "err").read_text().count(f"*** JOB {job_id} ON n1 CANCELLED AT ") == 1


async def test_cancel_while_waiting(batch: BatchSystem, tmp_path: Path) -> None:
    """A cancelled job that waits never runs."""
    job_id = batch.submit(request(tmp_path, "true"))
    batch.cancel(job_id)
    await batch.wait(job_id)
    assert (batch.describe(job_id) or {})["JobState"] == "CANCELLED"
    assert not (tmp_path / "out").exists()


async def test_time_limit_and_failure(batch: BatchSystem, tmp_path: Path) -> None:
    """A job past its time is TIMEOUT, one that fails by itself FAILED with its code; an odd name is replaced."""
    late = batch.submit(request(tmp_path, "sleep 600", runtime_s=0))
    failed = batch.submit(request(tmp_path, "exit 3", name="my-job"))
    assert (await until(batch, late, JobState="TIMEOUT"))["Reason"] == "TimeLimit"
    found = await until(batch, failed, JobState="FAILED")
    assert (found["Reason"], found["ExitCode"], found["JobName"]) == ("NonZeroExitCode", "3:0", "UNICORE_job")


async def test_forget(batch: BatchSystem, tmp_path: Path) -> None:
    """Ended jobs can be forgotten; living ones stay."""
    ended = batch.submit(request(tmp_path, "true"))
    living = batch.submit(request(tmp_path, "sleep 600"))
    await until(batch, ended, JobState="COMPLETED")
    batch.forget_ended()
    assert batch.describe(ended) is None
    assert batch.describe(living) is not None
    batch.cancel(ended)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["jwc01"], "jwc01"),
        (["jwc01", "jwc02", "jwc03", "jwc07"], "jwc[01-03,07]"),
        (["a9", "a10"], "a9,a10"),
        (["login", "x1", "y1"], "login,x1,y1"),
    ],
)
def test_hostlist(names: list[str], expected: str) -> None:
    """Neighbours are written as ranges, as Slurm does."""
    assert expected == hostlist(names)


@given(st.lists(st.integers(0, 99), unique=True, min_size=2))
def test_hostlist_loses_no_host(numbers: list[int]) -> None:
    """The expression names each host once."""
    inner = hostlist(f"n{number:02}" for number in sorted(numbers)).removeprefix("n[").removesuffix("]")
    found: list[int] = []
    for part in inner.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    assert sorted(numbers) == found
