# SPDX-License-Identifier: BSD-3-Clause
"""The demo's configuration as its user edits it: the working tree of a git repository, made from the example centre.

Called by :mod:`.folder`. It is the user's from then on: the demo commits nothing but new addresses.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jupyter_jsc.errors import Conflict, NotFound

BRANCH = "main"
_ADDRESSES = "addresses.yaml"
_GIT_S = 60.0
_AUTHOR = ("-c", "user.name=jupyter-jsc demo", "-c", "user.email=demo@example.org")
_QUIET = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")

_HEADER = """\
# Written by the demo: where its services and its systems' login nodes listen on this machine. `make demo` writes this
# file again, and commits it, when a port has changed.

"""


def ensure(path: Path) -> None:
    """Make the repository out of the example centre, unless it is there; one that is stays as it is.

    Raises :class:`NotFound` if git or the example is missing.
    """
    if shutil.which("git") is None:
        raise NotFound("git is not installed. The demo keeps its configuration in a git repository: install git.")
    if path.exists():
        return
    building = path.with_name(f"{path.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(_example(), building)
    _git(building, "init", "--quiet")
    _git(building, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    _git(building, "add", "--all")
    _git(building, *_AUTHOR, *_QUIET, "commit", "--quiet", "--message", "Begin with the example centre")
    building.rename(path)


def addresses(path: Path) -> dict[str, Any]:
    """Return what ``addresses.yaml`` says; :class:`Conflict` if it cannot be read."""
    try:
        tree = yaml.safe_load((path / _ADDRESSES).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Conflict(
            f"{path / _ADDRESSES} cannot be read. Bring it back: git -C {path} checkout -- {_ADDRESSES}"
        ) from error
    return tree if isinstance(tree, dict) else {}


def commit_addresses(path: Path, tree: Mapping[str, Any]) -> None:
    """Write and commit ``addresses.yaml``, and nothing else of what the user may have changed meanwhile.

    Raises :class:`Conflict` if another branch is checked out.
    """
    branch = _git(path, "rev-parse", "--abbrev-ref", "HEAD").strip()
    if branch != BRANCH:
        raise Conflict(f"The demo follows the branch {BRANCH}. Check it out: git -C {path} checkout {BRANCH}")
    text = yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)
    (path / _ADDRESSES).write_text(_HEADER + text, "utf-8")
    message = ("--message", "Use the addresses of this demo")
    _git(path, *_AUTHOR, *_QUIET, "commit", "--quiet", *message, "--", _ADDRESSES)


def _example() -> Path:
    """Return the folder of the example centre: beside the sources."""
    for parent in Path(__file__).resolve().parents:
        if (found := parent / "examples" / "config").is_dir():
            return found
    raise NotFound(
        "The folder examples/config is not here. Start the demo in a clone of the repository, by `make demo`."
    )


def _git(path: Path, *arguments: str) -> str:
    """Run git in *path* and return what it prints; :class:`Conflict` with its words if it refuses."""
    # Said twice, as a GIT_DIR of whoever starts the demo would lead into another repository.
    command = ["git", "--git-dir=.git", *arguments]
    try:
        done = subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=_GIT_S, check=True)
    except subprocess.CalledProcessError as error:
        raise Conflict(f"git refuses in {path}: {error.stderr.strip()[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Conflict(f"git does not work in {path}: {error}") from error
    return done.stdout
