# SPDX-License-Identifier: BSD-3-Clause
"""Processes that outlive this command: started once, found again by their process id, and ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.kubernetes.network import inside
from tools.kubernetes.places import STATE

_END_S = 5.0


def start(name: str, node: str, command: list[str], **environment: str) -> None:
    """Leave the process *name* running in the namespace of *node*; its output is in the state folder's ``logs``."""
    if alive(name):
        return
    (STATE / "logs").mkdir(parents=True, exist_ok=True)
    (STATE / "pids").mkdir(exist_ok=True)
    with inside(node), (STATE / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | environment,
            cwd="/",
        )
    (STATE / "pids" / name).write_text(f"{process.pid} {_begun(process.pid)}")


def alive(name: str) -> bool:
    """Whether the process *name* runs."""
    return bool(_pid(name))


def names() -> list[str]:
    """All processes that were started, newest first."""
    found = sorted((STATE / "pids").glob("*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [path.name for path in found]


def end(name: str) -> None:
    """Leave the process *name* ended, by force after five seconds."""
    if pid := _pid(name):
        os.kill(pid, signal.SIGTERM)
        if not until(lambda: not alive(name), _END_S):
            os.kill(pid, signal.SIGKILL)
            until(lambda: not alive(name), _END_S)
    (STATE / "pids" / name).unlink(missing_ok=True)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether *condition* came true within *seconds*."""
    end_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_at:
            return False
        time.sleep(0.1)
    return True


def with_words(*words: str) -> Iterator[int]:
    """Yield the ids of processes whose command line has each of *words* in it; this process is none of them."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if int(folder.name) != os.getpid() and all(word in line for word in words):
            yield int(folder.name)


def kill(pid: int) -> None:
    """Leave the process *pid* killed, if there is one."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _pid(name: str) -> int:
    """The process id of *name*; 0 if it has ended, also if its number was given to another process since."""
    try:
        pid, begun = (STATE / "pids" / name).read_text().split()
    except (FileNotFoundError, ValueError):
        return 0
    return int(pid) if begun == _begun(int(pid)) else 0


def _begun(pid: int) -> str:
    """When *pid* began, in the kernel's ticks; empty if it is not there or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
