# SPDX-License-Identifier: BSD-3-Clause
"""Watches one job like slurmstepd: runs it in a session of its own and leaves none of its processes behind.

Run as a program by :mod:`.unicore.processes` and :mod:`.kubernetes.containers`: ``stepd.py <pid of the parent> <command> …``;
standard library only. SIGTERM goes to all processes of the job, which may then take their time; SIGUSR2 is SIGTERM for the
command alone, whose end ends the others, as in a container; SIGUSR1 kills them all, as the death of the parent does. Ends with
the command's exit code (128 + the signal that ended it) once nothing is left.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


def main() -> int:
    """Run the command and return its exit code."""
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent:
        return 1
    child = os.fork()
    if child == 0:
        _become(argv)
    return _watch(child)


def _become(argv: list[str]) -> NoReturn:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        os.execvp(argv[0], argv)  # noqa: S606  becoming the command is what this program is for
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


def _watch(child: int) -> int:
    code: int | None = None
    patient = False
    while True:
        number = signal.sigwait(_SIGNALS)
        if number == signal.SIGCHLD:
            code = _reap(child, code)
        elif number == signal.SIGTERM:
            patient = True
            _signal(_descendants(), signal.SIGTERM)
        elif number == signal.SIGUSR2:
            _signal([child] if code is None else [], signal.SIGTERM)
        else:
            patient = False
            _signal(_descendants(), signal.SIGKILL)
        if code is None:
            continue
        left = _descendants()
        if not left:
            return code
        if not patient:
            _signal(left, signal.SIGKILL)


def _reap(child: int, code: int | None) -> int | None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                ended = os.waitstatus_to_exitcode(status)
                code = ended if ended >= 0 else 128 - ended
    return code


def _descendants() -> list[int]:
    """Return all living processes below this one; orphans come here too, as this is their subreaper."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state != b"Z":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found = list(children.get(os.getpid(), []))
    for pid in found:
        found += children.get(pid, [])
    return found


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
