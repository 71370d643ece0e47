# SPDX-License-Identifier: BSD-3-Clause
"""Helm, as the tests run it; where there is none they are skipped with one line."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts/k8smgr"
COMBINATIONS = sorted((CHART / "ci").glob("*.yaml"))
NAMESPACE = "k8smgr"

Tree = dict[str, Any]


def _found() -> str | None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-jsc" / "kubernetes"
    return shutil.which("helm") or next((str(path) for path in sorted(cache.glob("*/bin/helm"))), None)


HELM = _found()
needed = pytest.mark.skipif(HELM is None, reason="no helm here: `python -m tools.kubernetes up` compiles it")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What one command of helm does."""
    assert HELM
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False, timeout=120)


def template(values: Path | None = None, *settings: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """The rendered chart, with values of a file and *settings* as ``--set`` takes them."""
    files = ["--values", str(values)] if values else []
    changed = [part for setting in settings for part in ("--set", setting)]
    return run(
        *("template", "cloud", str(chart), "--namespace", NAMESPACE, "--kube-version", "1.34.4"), *files, *changed
    )


def rendered(values: Path, *settings: str, chart: Path = CHART) -> list[Tree]:
    """The objects that the chart makes."""
    done = template(values, *settings, chart=chart)
    assert done.stderr == ""
    return [tree for tree in yaml.safe_load_all(done.stdout) if tree]


def one(objects: list[Tree], kind: str, name: str) -> Tree:
    """The object of this kind and name."""
    (found,) = [tree for tree in objects if (tree["kind"], tree["metadata"]["name"]) == (kind, name)]
    return found


def pods(objects: list[Tree]) -> dict[str, Tree]:
    """The pod templates, by the name of their Deployment."""
    return {tree["metadata"]["name"]: tree["spec"]["template"] for tree in objects if tree["kind"] == "Deployment"}
