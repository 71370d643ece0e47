# SPDX-License-Identifier: BSD-3-Clause
"""Processes of jobs: clean environment, exit codes, and nothing left behind, also when the parent is killed."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from jupyter_jsc.demo.unicore import processes
from jupyter_jsc.demo.unicore.settings import Node

PATH = "/usr/local/bin:/usr/bin:/bin"


def launch(directory: Path, text: str) -> processes.Launch:
    (directory / "job.sh").write_text(text)
    return processes.Launch("job.sh", directory, "out", "err", {"PATH": PATH})


async def start(directory: Path, text: str) -> processes.Process:
    return await processes.start(launch(directory, text), {"PATH": PATH, "LANG": "C.UTF-8", "MINE": "yes"})


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


async def number_in(path: Path) -> int:
    while not path.exists() or not path.read_text().endswith("\n"):
        await asyncio.sleep(0.01)
    return int(path.read_text())


@pytest.mark.parametrize(("text", "code"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
async def test_exit_code(tmp_path: Path, text: str, code: int) -> None:
    """The script's code comes through; a signal is 128 and its number."""
    process = await start(tmp_path, text)
    assert code == await process.wait()
    assert process.ended


async def test_environment_is_clean(tmp_path: Path) -> None:
    """Only what was given, and what bash itself sets."""
    await (await start(tmp_path, "env")).wait()
    names = {line.partition("=")[0] for line in (tmp_path / "out").read_text().splitlines()}
    assert {"PATH", "LANG", "MINE"} == names - {"PWD", "SHLVL", "_"}


def test_environment_on_a_node(tmp_path: Path) -> None:
    """A node's name and address come with the job's environment."""
    found = launch(tmp_path, "").on(Node("n1", "127.0.0.9"), MORE="x")
    assert found == {"PATH": PATH, "JSC_NODE_NAME": "n1", "JSC_NODE_ADDRESS": "127.0.0.9", "MORE": "x"}


async def test_end_leaves_nothing(tmp_path: Path) -> None:
    """What the script left in the background, also in a session of its own, ends with it."""
    process = await start(
        tmp_path, "setsid bash -c 'echo $$ > inner; exec sleep 600' & while [ ! -s inner ]; do :; done"
    )
    await process.wait()
    assert not alive(await number_in(tmp_path / "inner"))


async def test_terminate_lets_the_job_clean_up(tmp_path: Path) -> None:
    """SIGTERM reaches every process, and a child may finish although the script has ended."""
    child = "trap 'sleep 0.1; echo clean > done; exit' TERM; echo $$ > pid; while :; do sleep 0.02; done"
    (tmp_path / "child.sh").write_text(child)
    process = await start(tmp_path, "bash child.sh; true")
    await number_in(tmp_path / "pid")
    process.terminate()
    assert await process.wait() == 143
    assert (tmp_path / "done").read_text() == "clean\n"


async def test_kill(tmp_path: Path) -> None:
    """What ignores SIGTERM is killed."""
    process = await start(tmp_path, "trap '' TERM; echo $$ > pid; while :; do sleep 0.02; done")
    pid = await number_in(tmp_path / "pid")
    process.terminate()
    process.kill()
    assert await process.wait() == 137
    assert not alive(pid)
    process.terminate()


async def test_death_of_the_parent_ends_the_job(tmp_path: Path) -> None:
    """A parent that is killed outright leaves no process of the job."""
    launch(tmp_path, "setsid bash -c 'echo $$ > inner; exec sleep 600' & echo $$ > pid; sleep 600")
    program = f"""
import asyncio, pathlib
from jupyter_jsc.demo.unicore import processes
async def main():
    launch = processes.Launch("job.sh", pathlib.Path({str(tmp_path)!r}), "out", "err", {{}})
    await (await processes.start(launch, {{"PATH": {PATH!r}}})).wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    pids = [await number_in(tmp_path / name) for name in ("pid", "inner")]
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    while any(map(alive, pids)):
        await asyncio.sleep(0.01)
