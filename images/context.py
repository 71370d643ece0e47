# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: INP001 - a script that runs pip
"""Make, for each image, the folder that it is built in: Containerfile, requirements and all wheels, checked by hash.

``python images/context.py DIR`` fetches from the package index; building in ``DIR/<image>`` then needs it no more.
What is there already is not fetched again. For Debian 12's Python 3.11.2 on this machine's processor.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "images"
REQUIREMENTS = ROOT / "requirements"
NAMES = ("k8smgr", "ssh", "lab")
_GLIBC = 36
"""Debian 12 has glibc 2.36."""


def main(folder: Path) -> None:
    """Leave the folder of each image below *folder*."""
    for name in NAMES:
        context = folder / name
        context.mkdir(parents=True, exist_ok=True)
        shutil.copy(IMAGES / name / "Containerfile", context)
        shutil.copy(IMAGES / "install-packages", context)
        if (requirements := REQUIREMENTS / f"{name}.txt").exists():
            shutil.copy(requirements, context / "requirements.txt")
            shutil.copy(REQUIREMENTS / "pip.txt", context)
            for file in (requirements, REQUIREMENTS / "pip.txt"):
                fetch(file, context / "wheels")
    own_wheel(folder / "k8smgr" / "own")


def fetch(requirements: Path, wheels: Path) -> None:
    """Leave the wheel of each requirement in *wheels*; the index is asked only if the requirements have changed."""
    fetched = wheels.with_name(f"fetched-{requirements.name}")
    if fetched.exists() and fetched.read_bytes() == requirements.read_bytes():
        return
    processor = platform.machine()
    tags = [f"manylinux_2_{minor}_{processor}" for minor in range(5, _GLIBC + 1)]
    tags += [f"{old}_{processor}" for old in ("manylinux1", "manylinux2010", "manylinux2014")]
    target = ["--only-binary=:all:", "--python-version=3.11.2", *(f"--platform={tag}" for tag in tags)]
    _pip("download", "--require-hashes", "--no-deps", *target, f"--requirement={requirements}", f"--dest={wheels}")
    shutil.copy(requirements, fetched)


def own_wheel(wheels: Path) -> None:
    """Leave the wheel of jupyter-jsc itself in *wheels*, made from a copy: nothing of an older build gets into it."""
    wheels.mkdir(exist_ok=True)
    for old in wheels.glob("jupyter_jsc-*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as copy:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        shutil.copytree(ROOT / "src", Path(copy) / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={wheels}", copy)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python images/context.py DIR")
    main(Path(sys.argv[1]).absolute())
