# SPDX-License-Identifier: BSD-3-Clause
"""Contradictions between parts: each check names what is certainly wrong, and nothing else."""

from pathlib import Path

import pytest

from jupyter_jsc.config import checks
from tests.config import full

JUWELS = "systems/juwels.yaml"
Edit = tuple[str, str, str]

ROWS: dict[str, tuple[list[Edit], str]] = {
    "jump hosts of two systems": (
        [("systems/cloud.yaml", "      cloud:\n        host", "      jureca01:\n        host")],
        "systems/jureca.yaml:11: systems.jureca.jump_hosts.jureca01: "
        "The jump host `jureca01` stands at the system cloud already. Allowed: a key of its own.",
    ),
    "account key": (
        [(JUWELS, "juwels_gpu: [gpus]", "juwels_gpu: []")],
        "systems/juwels.yaml:37: systems.juwels.account_keys.juwels_gpu: The account key opens no partition.",
    ),
    "network": (
        [(JUWELS, "10.11.0.0/16", "10.11.1.0/16")],
        "systems/juwels.yaml:34: systems.juwels.lab_hosts[2]: `10.11.1.0/16` is no network. "
        "Allowed: a pattern such as jwc*, or a network without host bits such as 10.1.0.0/16.",
    ),
    "range and step": (
        [("groups.yaml", "minimum: 10, maximum: 120, default: 60", "minimum: 10, maximum: 120, default: 65")],
        "groups.yaml:43: groups.course.ranges[0].default: "
        "`65` is not the resource's minimum 10 plus or minus whole steps of 10.",
    ),
    "two ranges": (
        [
            (
                "groups.yaml",
                "partition: gpus, resource: runtime, minimum: 10",
                "partition: batch, resource: nodes, minimum: 1",
            )
        ],
        "groups.yaml:24: groups.quantum.ranges[1]: This group has other limits for the same resource already.",
    ),
    "exclusive groups": (
        [("groups.yaml", "    weight: 10", "    weight: 5\n    exclusive: true")],
        "groups.yaml:35: groups.course.weight: "
        "The exclusive group quantum has the weight 5 too, so neither wins. Allowed: a weight of its own.",
    ),
    "deprecated default": (
        [("options.yaml", "    order: 2\n", "    order: 2\n    default: true\n")],
        "options.yaml:17: options.jupyterlab-4.3.default: A deprecated option is no default.",
    ),
    "default for nobody": (
        [
            ("groups.yaml", "    weight: 99\n", "    weight: 99\n    options: {quantum: {}}\n"),
            ("groups.yaml", "      jupyterlab-4.6: {}\n", ""),
            ("groups.yaml", "      jupyterlab-4.6:\n", "      jupyterlab-4.3:\n"),
        ],
        "options.yaml:8: options.jupyterlab-4.6.default: No group may start this option, so it is no default.",
    ),
    "software default": (
        [("options.yaml", "default: [quantum]", "default: [quantum, jupyterlab-4.3]")],
        "options.yaml:58: software.kernels.items.pyquantum.default[1]: "
        "`jupyterlab-4.3` is not among the `options` of this item. Allowed: quantum, jupyterlab-4.6.",
    ),
    "maintenance": (
        [("notices.yaml", "[batch, dc-cpu]", "[batch, shared]")],
        "notices.yaml:16: maintenance.juwels-spring.partitions[1]: None of these systems has a partition `shared`. "
        "Allowed: login, batch, devel, gpus, dc-cpu.",
    ),
    "reservation": (
        [("reservations.yaml", "system: jureca", "system: cloud")],
        "reservations.yaml:12: reservations.benchmark.system: The cluster `cloud` has no reservations. "
        "Allowed: a system of the kind unicore.",
    ),
    "option nowhere": (
        [("options.yaml", "partitions: [batch, gpus]", "partitions: [dc-cpu]")],
        "options.yaml:29: options.quantum.allowed: None of its `systems` has one of its `partitions`. "
        "Allowed: login, batch, devel, gpus.",
    ),
    "option nowhere for a group": (
        [("groups.yaml", 'projects: ["q*"], partitions: [batch]', "partitions: [dc-cpu]")],
        "groups.yaml:19: groups.quantum.options.quantum.allowed: "
        "None of its `systems` has one of its `partitions`. Allowed: login, batch, devel, gpus.",
    ),
    "job nowhere": (
        [("jobs.yaml", "partitions: [gpus]", "partitions: [shared]")],
        "jobs.yaml:11: jobs.gpus: None of its `systems` has one of its `partitions`. Allowed: login, batch, devel, gpus.",
    ),
    "versions": (
        [("portal.yaml", "versions_days: 120", "versions_days: 1")],
        "portal.yaml:40: retention.versions_days: Labs may run for 2880 minutes (group quantum), longer than 1 days.",
    ),
}


@pytest.mark.parametrize(("edits", "said"), ROWS.values(), ids=ROWS)
def test_a_contradiction_is_named(tmp_path: Path, edits: list[Edit], said: str) -> None:
    """Each alone, with its place and what to do."""
    assert [said] == [str(mistake) for mistake in full.refused(full.copy(tmp_path, *edits))]


def test_the_full_configuration_has_no_contradiction() -> None:
    """Nothing right is refused."""
    assert list(checks.contradictions(full.tree())) == []


@pytest.mark.parametrize("wrong", [None, 5, "x", [], [5], {}, {"a": 5}, {"a": []}, {"a": {}}, {"a": None}, True])
@pytest.mark.parametrize("part", ["systems", "options", "software", "groups", "jobs", "maintenance", "reservations"])
def test_a_part_of_any_form_is_passed_over(part: str, wrong: object) -> None:
    """Other checks name it."""
    list(checks.contradictions(full.tree() | {part: wrong}))
