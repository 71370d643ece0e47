# SPDX-License-Identifier: BSD-3-Clause
"""The software of the demo's nodes, used by bash as jobs use it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_jsc.config import load
from jupyter_jsc.demo import software

EXAMPLE = Path("examples/config")


@pytest.fixture
def nodes(tmp_path: Path) -> software.Software:
    """The software of the example centre."""
    return software.install(tmp_path / "site of the demo", sys.executable, load.load(EXAMPLE))


def bash(nodes: software.Software, *lines: str) -> subprocess.CompletedProcess[str]:
    """Run a script with nothing but a job's environment."""
    env = {"PATH": nodes.path, **nodes.environment}
    command = ["/bin/bash", "-c", "\n".join(lines)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_python3_is_the_interpreter_with_jupyterlab(nodes: software.Software) -> None:
    """An option that names no interpreter gets one that can run labs, with its arguments as they were."""
    done = bash(nodes, "python3 -c 'import sys; print(sys.executable, sys.argv[1:])' 'a  b'")
    assert done.stdout == f"{sys.executable} ['a  b']\n"


def test_setup_and_modules_of_the_example_load(nodes: software.Software) -> None:
    """Whatever the example's options and software load is there, in order; a purge forgets it."""
    configuration = load.load(EXAMPLE)
    modules = [
        name for part in configuration.software.values() for item in part.items.values() for name in item.modules
    ]
    for option in configuration.options.values():
        assert bash(nodes, "set -eu", *option.setup).stderr == ""
    done = bash(nodes, "set -eu", "module purge", f"module load {' '.join(modules)}", "bash -c 'echo $LOADEDMODULES'")
    assert done.stdout == ":".join(modules) + "\n"


def test_terminals_have_the_module_command(nodes: software.Software) -> None:
    """A shell that a server starts, as JupyterLab's terminals do, knows what is loaded and can load more."""
    terminal = '["-lc", "module load Julia/1.12; echo $LOADEDMODULES"]'
    server = f"import os, subprocess; subprocess.run([os.environ['SHELL'], *{terminal}], check=True)"
    done = bash(nodes, "module load R/4.5", f"python3 -c {shlex.quote(server)}")
    assert done.stdout == "R/4.5:Julia/1.12\n"


def test_an_unknown_module_fails_as_with_lmod(nodes: software.Software) -> None:
    """The lines that users of real systems know, and a failing command; what was loaded before stays."""
    done = bash(nodes, "module load R/4.5 'R/4.*' Julia/1.12", 'echo "$? $LOADEDMODULES"')
    assert done.stdout == "1 R/4.5\n"
    assert 'The following module(s) are unknown: "R/4.*"' in done.stderr
