# SPDX-License-Identifier: BSD-3-Clause
"""The watcher as a program: what the tests of the processes do not reach."""

import os
import subprocess
import sys

from jupyter_jsc.demo import stepd


def run(parent: int, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(stepd.__file__), str(parent), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_missing_command() -> None:
    """A command that is not there ends with 127 and says so."""
    ended = run(os.getpid(), "no-such-command-here")
    assert (ended.returncode, ended.stderr) == (127, "no-such-command-here: No such file or directory\n")


def test_parent_already_gone() -> None:
    """Nothing is run for a parent that has ended meanwhile."""
    ended = run(1, "echo", "hello")
    assert (ended.returncode, ended.stdout) == (1, "")


def test_standard_library_only() -> None:
    """It runs without site packages, so it may import nothing of ours."""
    assert run(os.getpid(), "true").returncode == 0
