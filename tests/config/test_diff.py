# SPDX-License-Identifier: BSD-3-Clause
"""What changes for whom: every difference is told, in sentences, to those whom it is about."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc.config import load
from jupyter_jsc.config.diff import Change, diff
from jupyter_jsc.config.model import Configuration
from tests.config import full
from tests.rights import drawn

BEFORE = Configuration.model_validate(full.tree())

Place = tuple[str | int, ...]
GONE = object()
RANGES = full.tree()["groups"]["quantum"]["ranges"]


def with_changes(*changes: tuple[Place, Any]) -> Configuration:
    """The full configuration in which other values stand at some places; :data:`GONE` removes one."""
    tree = full.tree()
    for path, value in changes:
        node: Any = tree
        for part in path[:-1]:
            node = node[part]
        if value is GONE:
            del node[path[-1]]
        else:
            node[path[-1]] = value
    return Configuration.model_validate(tree)


def told(*changes: tuple[Place, Any]) -> list[str]:
    return [f"{change.scope}: {change.sentence}" for change in diff(BEFORE, with_changes(*changes))]


JUWELS: Place = ("systems", "juwels")
BATCH: Place = (*JUWELS, "partitions", "batch")
DEVEL: Place = (*JUWELS, "partitions", "devel")
QUANTUM: Place = ("groups", "quantum")

SENTENCES: dict[str, tuple[list[tuple[Place, Any]], list[str]]] = {
    "limit": (
        [((*DEVEL, "resources", "nodes", "maximum"), 4)],
        [": JUWELS: partition devel allows 4 nodes instead of 8."],
    ),
    "limit that a group has its own of": (
        [((*BATCH, "resources", "nodes", "maximum"), 512)],
        [": JUWELS: partition batch allows 512 nodes instead of 1024; not for quantum, who have their own."],
    ),
    "unit": (
        [((*BATCH, "resources", "runtime", "default"), 30)],
        [": JUWELS: partition batch suggests 30 min runtime instead of 60 min; not for course, who have their own."],
    ),
    "new resource": (
        [((*DEVEL, "resources", "gpus"), {"label": "GPUs", "minimum": 1, "maximum": 4, "default": 4})],
        [": JUWELS: partition devel: resource gpus is new."],
    ),
    "label": ([((*JUWELS, "label"), "JUWELS 2")], [": JUWELS 2 is called “JUWELS 2” instead of JUWELS."]),
    "address": (
        [((*JUWELS, "unicore", "url"), "https://other.example/rest/core")],
        [
            ": JUWELS is reached at https://other.example/rest/core instead of "
            "https://unicore.centre.example:9112/JUWELS/rest/core."
        ],
    ),
    "jump host": (
        [((*JUWELS, "jump_hosts", "juwels02"), GONE), ((*JUWELS, "jump_hosts", "juwels01", "state"), "closed")],
        [": JUWELS: jump host juwels01 is closed instead of open.", ": JUWELS: jump host juwels02 is removed."],
    ),
    "new partition": (
        [
            (
                (*JUWELS, "partitions", "large"),
                {"resources": full.tree()["systems"]["juwels"]["partitions"]["devel"]["resources"]},
            )
        ],
        [": JUWELS: partition large is new: 1 to 8 nodes (at first 1); 10 to 1440 runtime (at first 60)."],
    ),
    "removed partition": (
        [(DEVEL, GONE), ((*JUWELS, "account_keys", "juwels"), ["batch"])],
        [
            ": JUWELS loses devel from `account_keys` for juwels.",
            ": JUWELS: partition devel is removed; labs that run there go on.",
        ],
    ),
    "removed partition with limits of a group": (
        [((*JUWELS, "partitions", "gpus"), GONE), (("groups", "quantum", "ranges"), RANGES[:1])],
        [": JUWELS: partition gpus is removed; labs that run there go on."],
    ),
    "labs on a system": (
        [((*JUWELS, "max_labs_per_user"), 2)],
        [": JUWELS allows 2 labs per user at once instead of 4 labs; not for everybody, quantum, who have their own."],
    ),
    "labs of everybody": (
        [(("max_labs_per_user",), GONE)],
        [": the portal allows any number of labs per user at once instead of 10 labs."],
    ),
    "default option": (
        [(("options", "jupyterlab-4.6", "default"), False)],
        [": JupyterLab 4.6 has `default` off now."],
    ),
    "new option": (
        [(("options", "x"), {"label": "X", "groups": ["course"]})],
        [": X is new: only for members of course."],
    ),
    "deprecated": (
        [(("options", "jupyterlab-4.6", "deprecated"), "Until May.")],
        [": JupyterLab 4.6 has “Until May.” as `deprecated` now."],
    ),
    "where an option is allowed": (
        [(("options", "jupyterlab-4.3", "allowed", "systems"), ["juwels", "cloud"])],
        [": JupyterLab 4.3 may be used on the systems cloud too and may no longer be used on the systems jureca."],
    ),
    "where it is not restricted any more": (
        [(("options", "jupyterlab-4.3", "allowed", "systems"), GONE)],
        [": JupyterLab 4.3 may be used whatever the systems, no longer only on the systems juwels, jureca."],
    ),
    "groups of an option": (
        [(("options", "quantum", "groups"), ["course", "everybody"])],
        [
            ": Quantum annealing gains course, everybody in `groups` and loses quantum from `groups`.",
            "everybody: group everybody: may start Quantum annealing.",
            "quantum: group quantum: may no longer start Quantum annealing.",
        ],
    ),
    "options of a group": (
        [((*QUANTUM, "options", "jupyterlab-4.6"), GONE), ((*QUANTUM, "options", "jupyterlab-4.3"), {})],
        [
            "quantum: group quantum: may no longer start JupyterLab 4.6.",
            "quantum: group quantum: may start JupyterLab 4.3.",
        ],
    ),
    "option of a group that is kept for another": (
        [(("groups", "course", "options", "quantum"), {})],
        ["course: group course: may start Quantum annealing, but the option is kept for other groups."],
    ),
    "options of a group not named any more": (
        [((*QUANTUM, "options"), GONE)],
        ["quantum: group quantum: may start every option that is not kept for other groups."],
    ),
    "how a group may use an option": (
        [
            ((*QUANTUM, "options", "quantum", "max_labs_per_user"), 1),
            ((*QUANTUM, "options", "quantum", "allowed", "projects"), ["a"]),
        ],
        [
            "quantum: group quantum: Quantum annealing may be used with the projects a too and may no longer be used "
            "with the projects q*.",
            "quantum: group quantum: Quantum annealing allows 1 lab per user at once instead of 2 labs.",
        ],
    ),
    "range": (
        [((*QUANTUM, "ranges", 0, "maximum"), 4096)],
        [
            "quantum: group quantum: may choose 1 to 4096 nodes (at first 2) in partition batch of JUWELS instead of "
            "1 to 2048 nodes (at first 2)."
        ],
    ),
    "range removed": (
        [((*QUANTUM, "ranges"), [])],
        [
            "quantum: group quantum: may choose 1 to 1024 nodes (at first 1) in partition batch of JUWELS instead of "
            "1 to 2048 nodes (at first 2), as everybody.",
            "quantum: group quantum: may choose 10 to 1440 runtime (at first 60) in partition gpus of JUWELS instead of "
            "10 to 2880 runtime, as everybody.",
        ],
    ),
    "labs of a group on a system": (
        [((*QUANTUM, "systems"), {"cloud": 3})],
        [
            "quantum: group quantum: may have 4 labs per member at once on JUWELS instead of 6 labs.",
            "quantum: group quantum: may have 3 labs per member at once on Cloud instead of 1 lab.",
        ],
    ),
    "labs of a group": (
        [((*QUANTUM, "max_labs"), 50)],
        ["quantum: group quantum may have 50 labs of all members together instead of 100 labs."],
    ),
    "members": (
        [((*QUANTUM, "members", 1), {"users": ["a@b"], "identity_providers": ["centre"]})],
        [
            "quantum: group quantum gains (users a@b and identity providers centre) in `members` and loses "
            "(users q.user@centre.example) from `members`."
        ],
    ),
    "new group": (
        [(("groups", "new"), {"label": "New", "members": [{"everybody": True}]})],
        ["new: group new is new: members are everybody; may start every option that is not kept for other groups."],
    ),
    "removed group": ([(("groups", "course"), GONE)], ["course: group course is removed."]),
    "maintenance": (
        [
            (("maintenance", "cloud-move"), GONE),
            (("maintenance", "new"), {"systems": ["juwels"], "begins": "2027-01-01T06:00:00Z"}),
            (("maintenance", "juwels-spring", "ends"), "2026-03-05T18:00:00Z"),
        ],
        [
            ": maintenance juwels-spring ends 2026-03-05 18:00 UTC instead of 2026-03-04 18:00 UTC.",
            ": maintenance cloud-move is removed.",
            ": maintenance new is new: juwels, from 2027-01-01 06:00 UTC until it is removed.",
        ],
    ),
    "announcement": (
        [(("announcements", "new"), {"title": "Hello"}), (("announcements", "stage-2026", "title", "de"), "Neues")],
        [
            ": announcement stage-2026 has “Neues” as `title` in German, not “Neue Software”.",
            ": announcement new is new: “Hello”, until it is removed.",
        ],
    ),
    "reservation": (
        [(("reservations", "new"), {"system": "juwels", "projects": ["a", "b"]})],
        [": reservation new is new: juwels, for projects a, b, until it is removed."],
    ),
    "software": (
        [(("software", "kernels", "items", "r"), GONE), (("software", "modules", "items", "julia", "default"), True)],
        [
            ": the software set modules: the software Julia has `default` on now.",
            ": the software set kernels: the software R is removed.",
        ],
    ),
    "lines of a script": (
        [(("options", "jupyterlab-4.6", "setup", 1), "module load Stages/2027")],
        [
            ": JupyterLab 4.6 gains “module load Stages/2027” in `setup` and loses "
            "“module load Stages/2026 JupyterLab/4.6” from `setup`."
        ],
    ),
    "lines in another order": (
        [(("options", "jupyterlab-4.6", "setup"), ["module load Stages/2026 JupyterLab/4.6", "module purge"])],
        [": JupyterLab 4.6 has the same in `setup`, in another order or number."],
    ),
    "variable": (
        [(("jobs", "common", "environment", "JSC_CENTRE"), "other")],
        [": job template common has other as `environment` for JSC_CENTRE, not example."],
    ),
    "retention": (
        [(("retention", "history_days"), 30)],
        [": retention keeps ended starts for 30 days instead of 60."],
    ),
    "nothing": ([], []),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_change_is_told(name: str) -> None:
    """Whoever reviews a commit reads what it does and for whom, and nothing else."""
    changes, sentences = SENTENCES[name]
    assert sentences == told(*changes)


def test_order_of_partitions_is_told() -> None:
    """The form shows them in this order."""
    partitions = full.tree()["systems"]["juwels"]["partitions"]
    turned = dict(reversed(partitions.items()))
    assert told(((*JUWELS, "partitions"), turned)) == [
        ": JUWELS has its `partitions` in another order: gpus, devel, batch, login."
    ]


def leaves(node: Any, path: Place = ()) -> list[Place]:
    if isinstance(node, dict):
        return [path, *(leaf for key, value in node.items() for leaf in leaves(value, (*path, key)))]
    return [path]


def other_trees() -> list[tuple[Place, Configuration]]:
    """For each place of the full configuration, one where it is gone, as far as that can be."""
    found = []
    for path in leaves(full.tree())[1:]:
        try:
            found.append((path, with_changes((path, GONE))))
        except ValueError:
            continue
    return found


OTHERS = other_trees()


def test_whatever_is_removed_is_told_in_both_directions() -> None:
    """Every key that has an effect is noticed when it goes and when it comes."""
    assert len(OTHERS) > 100
    for path, other in OTHERS:
        if other != BEFORE:
            assert diff(BEFORE, other) != [], path
            assert diff(other, BEFORE) != [], path


def test_sentences_are_for_people() -> None:
    """No change is told by the words of the program."""
    for _, other in OTHERS:
        for change in [*diff(BEFORE, other), *diff(other, BEFORE)]:
            assert change.sentence.endswith(".")
            assert not any(word in change.sentence for word in ("None", "=", "{'", "['", "Text(", "True", "False"))


@settings(max_examples=50, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_any_two_configurations_can_be_compared(seed: int) -> None:
    """There are changes exactly if something differs; each can be written as JSON and belongs to a group or to all."""
    random = Random(seed)
    before, after = drawn.configuration(random), drawn.configuration(random)
    changes = diff(before, after)
    assert diff(before, before) == []
    assert bool(changes) == (before != after)
    assert {change.scope for change in changes} <= {"", *before.groups, *after.groups}
    json.dumps([change.document() for change in changes])


def test_values_stand_in_the_document() -> None:
    """A program finds the path and both values."""
    (change,) = diff(BEFORE, with_changes(((*DEVEL, "resources", "nodes", "maximum"), 4)))
    assert change == Change(
        "",
        "systems.juwels.partitions.devel.resources.nodes.maximum",
        8,
        4,
        "JUWELS: partition devel allows 4 nodes instead of 8.",
    )


def test_what_may_be_secret_is_not_shown() -> None:
    """A variable that somebody called a token is told without its value."""
    place = ("jobs", "common", "environment", "MY_TOKEN")
    (change,) = diff(with_changes((place, "abc")), with_changes((place, "def")))
    assert (change.before, change.after) == ("(hidden)", "(hidden)")
    assert change.sentence == "job template common has another `MY_TOKEN`."


def test_the_example_is_compared_with_itself(tmp_path: Path) -> None:
    """Loading twice changes nothing."""
    folder = Path(__file__).parents[2] / "examples/config"
    assert diff(load.load(folder), load.load(folder)) == []
