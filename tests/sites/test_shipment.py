# SPDX-License-Identifier: BSD-3-Clause
"""The files that travel with a lab: what stands in which, and what never does."""

import ast
import json
import sys
from importlib import resources
from typing import Any

import pytest

from jupyter_jsc.config.systems import System
from jupyter_jsc.sites import shipment, steps
from tests.sites.unicore.conftest import start_lab
from tests.sites.unicore.test_choice import CONFIGURATION, SYSTEM, place


def files(system: System = SYSTEM, runtime_s: int | None = 1800, **options: object) -> dict[str, str]:
    """The files of a lab with these options."""
    lab = start_lab(**({"option": "lab", "resources": {}, "software": {}} | options))
    lab = lab.model_copy(update={"hub_urls": ["http://jhub.k8smgr.svc:8081", "direct"]})
    return shipment.files(lab, system, steps.chosen(lab.options, system, CONFIGURATION), runtime_s)


def about(system: System = SYSTEM, **options: object) -> dict[str, Any]:
    """What the launcher is told of such a lab."""
    return dict(json.loads(files(system, **options)["lab.json"]))


def test_only_one_file_is_secret() -> None:
    """It holds the secrets by name and nothing else; the others may be read in a stored job."""
    made = files()
    assert json.loads(made.pop(shipment.SECRETS)) == {"JUPYTERHUB_API_TOKEN": "s3cr3t-api-token"}
    assert "s3cr3t" not in json.dumps(made)


def test_what_the_launcher_is_told() -> None:
    """Where it reports, how it gets there, what runs and until when."""
    told = about()
    assert {name: told[name] for name in ("python", "kernels", "runtime_s", "env", "hub_urls")} == {
        "python": "/opt/jupyter/bin/python",
        "kernels": "/p/project/proj1/jupyter",
        "runtime_s": 1800,
        "env": {"JUPYTERHUB_USER": "alice"},
        "hub_urls": ["http://jhub.k8smgr.svc:8081", "direct"],
    }
    assert told["started_url"] == "http://127.0.0.1:9/started"


@pytest.mark.parametrize(
    ("folder", "project", "expected"),
    [
        ("/p/{project}/jupyter", "proj1", "/p/proj1/jupyter"),
        ("/p/{project}/{project}", "a.b-c_d", "/p/a.b-c_d/a.b-c_d"),
        ("/p/{project}", None, ""),
        ("/p/shared", None, "/p/shared"),
        ("/p/{other}{0}", "proj1", "/p/{other}{0}"),
        ("", "proj1", ""),
    ],
)
def test_folder_of_the_project(folder: str, project: str | None, expected: str) -> None:
    """Only ``{project}`` is replaced, and without a project there is no folder of it."""
    assert expected == about(place(project_folder=folder), project=project)["kernels"]


@pytest.mark.parametrize("name", [name for name in files() if name.endswith(".py")])
def test_what_is_shipped_is_whole(name: str) -> None:
    """A file of the lab side imports the standard library, what a lab has, and what is shipped with it."""
    text = files()[name]
    assert text == resources.files("jupyter_jsc.lab").joinpath(name).read_text("utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    beside = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    ours = [alias.name for node in beside if node.module == "jupyter_jsc.lab" for alias in node.names]
    others = [str(node.module).removeprefix("jupyter_jsc.lab.") for node in beside if node.module != "jupyter_jsc.lab"]
    shipped = {name.removesuffix(".py") for name in files()}
    there = sys.stdlib_module_names | shipped | {"tornado", "jupyter_server", "traitlets", "jupyterhub"}
    assert {name.split(".")[0] for name in [*plain, *ours, *others]} <= there


@pytest.mark.parametrize(
    ("python", "word"), [("python3", "python3"), ("/opt/my python", "'/opt/my python'"), ("a;b", "'a;b'")]
)
def test_the_interpreter_is_quoted(python: str, word: str) -> None:
    """A path with a blank stays one word; nothing else is in the script."""
    script = shipment.start_script(SYSTEM.model_copy(update={"launcher_python": python}))
    assert script == f"#!/bin/bash\nexec {word} launcher.py\n"
