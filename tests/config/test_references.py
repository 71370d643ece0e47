# SPDX-License-Identifier: BSD-3-Clause
"""Names that must be keys of another part: every marked field of the model, and trees of any form."""

from typing import Any

import pytest

from jupyter_jsc.config import references
from jupyter_jsc.config.findings import closest
from jupyter_jsc.config.model import Configuration
from tests.config import full


def put(tree: Any, path: tuple[str | int, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree[part]
    tree[path[-1]] = value


SYSTEMS = "cloud, jureca, juwels"
PARTITIONS = "shared, login, dc-cpu, batch, devel, gpus"
OPTIONS = "jupyterlab-4.6, jupyterlab-4.3, quantum, archive"
ROWS: list[tuple[tuple[str | int, ...], str, str, str, str]] = [
    (("systems", "juwels", "manager"), "unicoremg", "the managers", "unicoremgr, k8smgr", "unicoremgr"),
    (
        ("systems", "juwels", "account_keys", "juwels", 1),
        "dc-cpu",
        "the partitions here",
        "login, batch, devel, gpus",
        "",
    ),
    (
        ("systems", "juwels", "default_partitions", 0),
        "Login",
        "the partitions here",
        "login, batch, devel, gpus",
        "login",
    ),
    (("options", "quantum", "groups", 0), "quantun", "the groups", "course, everybody, quantum", "quantum"),
    (("options", "quantum", "allowed", "systems", 0), "jurecca", "the systems", SYSTEMS, "jureca"),
    (("options", "quantum", "allowed", "partitions", 1), "gpu", "the partitions of any system", PARTITIONS, "gpus"),
    (("software", "kernels", "items", "r", "options", 1), "x", "the options", OPTIONS, ""),
    (("software", "kernels", "items", "pyquantum", "default", 0), "qantum", "the options", OPTIONS, "quantum"),
    (("software", "proxies", "items", "xpra", "systems", 0), "x", "the systems", SYSTEMS, ""),
    (
        ("groups", "quantum", "members", 0, "identity_providers", 0),
        "center",
        "the identity providers",
        "centre, federation",
        "centre",
    ),
    (("groups", "quantum", "ranges", 0, "system"), "x", "the systems", SYSTEMS, ""),
    (
        ("groups", "quantum", "ranges", 0, "partition"),
        "dc-cpu",
        "the partitions of juwels",
        "login, batch, devel, gpus",
        "",
    ),
    (("groups", "quantum", "ranges", 0, "resource"), "gpus", "the resources of batch of juwels", "nodes, runtime", ""),
    (("jobs", "gpus", "systems", 0), "x", "the systems", SYSTEMS, ""),
    (("jobs", "gpus", "partitions", 0), "x", "the partitions of any system", PARTITIONS, ""),
    (("jobs", "quantum", "options", 0), "x", "the options", OPTIONS, ""),
    (("announcements", "quantum-down", "groups", 0), "x", "the groups", "course, everybody, quantum", ""),
    (("maintenance", "juwels-spring", "systems", 1), "x", "the systems", SYSTEMS, ""),
    (("maintenance", "juwels-spring", "partitions", 1), "x", "the partitions of any system", PARTITIONS, ""),
    (("reservations", "benchmark", "system"), "x", "the systems", SYSTEMS, ""),
    (
        ("reservations", "course-2026-05", "partitions", 0),
        "dc-cpu",
        "the partitions of juwels",
        "login, batch, devel, gpus",
        "",
    ),
]


@pytest.mark.parametrize(("path", "value", "what", "allowed", "meant"), ROWS, ids=lambda value: str(value)[:40])
def test_a_broken_reference_is_named(
    path: tuple[str | int, ...], value: str, what: str, allowed: str, meant: str
) -> None:
    """With what could stand there, in the parts that the field leads to, and what was probably meant."""
    tree = full.tree()
    put(tree, path, value)
    (found,) = references.broken(Configuration, tree)
    said = sorted(found.allowed.split(", ")), closest(found.word, found.among)
    assert (found.path, found.message) == (path, f"`{value}` is none of {what}.")
    assert said == (sorted(allowed.split(", ")), meant)


@pytest.mark.parametrize("path", [("groups", "quantum", "options"), ("groups", "quantum", "systems")])
def test_keys_are_references_too(path: tuple[str, ...]) -> None:
    """A mapping whose keys are names of another part."""
    tree = full.tree()
    put(tree, (*path, "nope"), {})
    (found,) = references.broken(Configuration, tree)
    assert (found.path, found.at_key) == ((*path, "nope"), True)


def test_where_there_is_nothing_that_is_said() -> None:
    """A part that is not given has no keys."""
    tree = full.tree() | {"groups": {}}
    assert {(found.allowed, found.message) for found in references.broken(Configuration, tree)} == {
        ("nothing, as there are none", "`quantum` is none of the groups."),
    }
    del tree["groups"]
    assert len(list(references.broken(Configuration, tree))) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"groups": {"a": {"ranges": [{"partition": "x", "resource": "y"}]}}},
        {"groups": {"a": {"ranges": [{"system": ["juwels"], "partition": "batch"}]}}},
        {"groups": {"a": {"ranges": [5]}}},
        {"reservations": {"a": 5, "b": [], "c": {"system": {}}}},
        {"managers": ["a"]},
        {"systems": 5, "reservations": {}, "maintenance": {}, "groups": {}, "options": {}, "software": {}, "jobs": {}},
    ],
)
def test_what_has_not_the_form_is_passed_over(change: dict[str, Any]) -> None:
    """Other checks name it; a reference through something unknown is no mistake of its own."""
    tree = {**full.tree(), **change}
    assert [found.message for found in references.broken(Configuration, tree) if "quantum" not in found.message] == []
