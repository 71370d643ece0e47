# SPDX-License-Identifier: BSD-3-Clause
"""Job directories: modes, imports that stay inside, the script."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.unicore import description, workspace
from jupyter_jsc.demo.unicore.description import Import, Rejected


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_modes(tmp_path: Path) -> None:
    """The directory follows the umask; imports are 0640 or as asked; scripts are open, as on the real site."""
    directory = tmp_path / "job"
    workspace.create(directory, 0o077)
    workspace.stage_in(directory, (Import("a", "1"), Import("sub/b", "2", "rw-------")))
    submit = directory / workspace.write_scripts(directory, "#!/bin/bash\n", "#!/bin/bash\n")
    login = directory / workspace.write_scripts(directory, "#!/bin/bash\n", None)
    assert [mode(path) for path in (directory, directory / "a", directory / "sub/b", submit, login)] == [
        0o700,
        0o640,
        0o600,
        0o774,
        0o700,
    ]
    assert (submit.name[:11], login.name[:12]) == ("bss_submit_", "UNICORE_Job_")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "link/x"])
def test_imports_stay_inside(tmp_path: Path, name: str) -> None:
    """A path out of the directory is refused, also through a link."""
    directory = tmp_path / "job"
    workspace.create(directory, 0o077)
    (directory / "link").symlink_to(tmp_path)
    with pytest.raises(Rejected, match="Staging in failed"):
        workspace.stage_in(directory, (Import(name, ""),))
    assert not (tmp_path / "x").exists()


@given(st.integers(0, 0o777))
def test_permissions(value: int) -> None:
    """Text and mode say the same."""
    assert value == workspace.mode_of(workspace.permissions_of(value))
    assert value == workspace.mode_of(f"{value:o}")


def test_script(tmp_path: Path) -> None:
    """Environment in double quotes, arguments expanded by the shell, site variables replaced as text."""
    text = {
        "Executable": "cat",
        "Arguments": ["-", "<<<", '"$A|$USERNAME|$LOGNAME"'],
        "Environment": {"A": "two words and `echo more`"},
    }
    script = workspace.script(description.parse(text), tmp_path, "UID=u", "a1", tmp_path / "home")
    output = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, check=True)
    assert (output.stdout, output.stderr) == ("two words and more|a1NAME|a1\n", "")
    assert workspace.exit_code(tmp_path) == "0"


def test_no_exit_code_yet(tmp_path: Path) -> None:
    """No file or an empty one is no code."""
    assert workspace.exit_code(tmp_path) is None
    (tmp_path / workspace.EXIT_CODE_FILE).write_text("")
    assert workspace.exit_code(tmp_path) is None
