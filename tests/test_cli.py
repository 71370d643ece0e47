# SPDX-License-Identifier: BSD-3-Clause
"""The command line: mistakes end it with a sentence that names the place, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jupyter_jsc.cli", *arguments], check=False, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", ["unicoremgr", "tunnelmgr", "demo-world"])
@pytest.mark.parametrize(
    ("content", "said"),
    [("prot: 1", "prot"), ("- a list", "mapping"), ("a: [", "settings.yaml")],
    ids=["key", "list", "cut"],
)
def test_wrong_settings_are_named(tmp_path: Path, command: str, content: str, said: str) -> None:
    """An operator reads which key of which file is wrong."""
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    done = cli(command, "--settings", str(path))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_what_an_operator_runs() -> None:
    """The processes of a deployment and the demo are found without the docs."""
    said = cli("--help").stdout
    assert [word for word in ("demo", "unicoremgr", "tunnelmgr") if word not in said] == []
