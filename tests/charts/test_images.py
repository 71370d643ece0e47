# SPDX-License-Identifier: BSD-3-Clause
"""Images: pinned, non-root, built without an index; what they hold is what the rest is tested with."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "images").glob("*/Containerfile"))
EXTRAS = {"k8smgr": "kubernetes", "lab": "lab"}


def pins(name: str) -> dict[str, set[str]]:
    """Name → versions that a lock has; several where they depend on the platform."""
    found: dict[str, set[str]] = {}
    for line in re.findall(r"^(\S+==\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE):
        package, _, version = line.partition("==")
        found.setdefault(canonicalize_name(package), set()).add(version)
    return found


def wanted(extra: str) -> set[str]:
    """The names of what the package and one of its extras need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    waiting = [*project["dependencies"], *project["optional-dependencies"][extra]]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "jupyter-jsc":
            waiting += [each for more in requirement.extras for each in project["optional-dependencies"][more]]
        else:
            found.add(canonicalize_name(requirement.name))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_containerfile_keeps_the_rules(path: Path) -> None:
    """Several stages on one pinned base, no download of its own, an unprivileged user at the end."""
    text = path.read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?", text, re.MULTILINE)
    named = {name for _, name in stages}
    assert len(stages) > 1
    assert [base for base, _ in stages if base not in {"${BASE}", "scratch", *named}] == []
    assert "ARG BASE=docker.io/library/debian:bookworm-slim\n" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000:1000"]
    assert re.findall(r"curl|wget|apt-get|https?://|ADD ", text) == []
    for command in re.findall(r"pip install.*", text):
        assert "--no-index" in command
    for command in re.findall(r"\$install .*", text):
        assert "--require-hashes" in command or command.endswith("--no-deps wheels/jupyter_jsc-*.whl")


@pytest.mark.parametrize(("image", "extra"), EXTRAS.items())
def test_lock_of_an_image_fits_the_others(image: str, extra: str) -> None:
    """It has what its extra needs, in the versions that the tests run with, each with a hash and for every platform."""
    locked, tested = pins(image), pins("demo")
    assert wanted(extra) - set(locked) == set()
    assert {name: versions for name, versions in locked.items() if not versions <= tested.get(name, set())} == {}
    text = (ROOT / f"requirements/{image}.txt").read_text()
    assert re.findall(r"^\S+==\S+ ;.*", text, re.MULTILINE) == []
    assert len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)) == len(locked)


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs Debian")
def test_packages_that_are_there_cost_no_network() -> None:
    """A base with all packages makes a build that asks nobody; another one asks apt."""
    script = ROOT / "images/install-packages"
    done = subprocess.run([script, "dpkg", "bash"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_missing_packages_are_asked_of_apt(tmp_path: Path) -> None:
    """Only what is missing is installed."""
    for name, script in {
        "dpkg-query": '[ "$3" = there ] && printf "install ok installed"',
        "apt-get": 'echo "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "rm").symlink_to("/bin/true")
    script = ROOT / "images/install-packages"
    done = subprocess.run(
        [script, "there", "away"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines() == ["update -qq", "install -qq -y --no-install-recommends away"]
