# SPDX-License-Identifier: BSD-3-Clause
"""The demo's processes: logs, the first one that ends, and that nothing stays behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from jupyter_jsc.demo.processes import Command, Processes
from jupyter_jsc.errors import Unavailable


def python(code: str) -> Command:
    return Command([sys.executable, "-c", code], dict(os.environ))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def written(path: Path) -> str:
    """Return the content of *path* once there is some."""
    async with asyncio.timeout(20):
        while not (path.exists() and path.read_text("utf-8").endswith("\n")):
            await asyncio.sleep(0.02)
    return path.read_text("utf-8")


async def test_a_process_that_ends_by_itself_is_named_with_its_last_lines(tmp_path: Path) -> None:
    """The operator sees which process ended, and why, without looking for a log."""
    processes = Processes(tmp_path)
    await processes.start("calm", python("import time; time.sleep(600)"))
    await processes.start("hasty", python("print('no such table'); raise SystemExit(3)"))
    with pytest.raises(Unavailable, match=r"'hasty'[\s\S]*no such table"):
        await processes.first_end()
    await processes.end_all()


async def test_end_all_finds_a_grandchild_in_a_session_of_its_own(tmp_path: Path) -> None:
    """SSH masters and labs detach themselves; they end with the demo all the same."""
    child = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); print(p.pid, flush=True)"
    processes = Processes(tmp_path)
    await processes.start("parent", python(child))
    grandchild = int(await written(tmp_path / "parent.log"))
    await processes.end_all()
    assert not alive(grandchild)


async def test_a_process_that_ignores_the_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs does not hold up the end for ever."""
    monkeypatch.setattr("jupyter_jsc.demo.processes._END_S", 0.2)
    processes = Processes(tmp_path)
    await processes.start(
        "deaf",
        python("import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"),
    )
    await written(tmp_path / "deaf.log")
    pid = processes.pid("deaf")
    await processes.end("deaf", signal.SIGTERM)
    assert not alive(pid)


async def test_the_last_log_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    """After a restart the log of the run before can still be read."""
    for word in ("first", "second"):
        processes = Processes(tmp_path)
        await processes.start("p", python(f"print({word!r})"))
        await written(tmp_path / "p.log")
        await processes.end_all()
    assert (tmp_path / "p.old").read_text() == "first\n"
    assert (tmp_path / "p.log").read_text() == "second\n"
