# SPDX-License-Identifier: BSD-3-Clause
"""Options, completed: what is still possible is kept, what is not is replaced and said, and the result is always valid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.systems import Partition
from jupyter_jsc.hub.completion import Completed, Shown, complete
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.validate import validate
from tests.hub.offer import CONFIGURATION, NOW

ACCOUNTS = (
    Account("ann1", "juwels", "hai"),
    Account("ann1", "login", "climate"),
    Account("ann2", "juwels", "train"),
    Account("ann1", "jureca", "hai"),
)
ALICE = Identity("alice", ACCOUNTS)
TREE = options_for(ALICE, CONFIGURATION, Facts(now=NOW))
CHOSEN = {
    "system": "juwels",
    "option": "new",
    "account": "ann1",
    "project": "hai",
    "partition": "batch",
    "reservation": "course",
    "resources": {"nodes": 2, "runtime": 30},
    "software": {"kernels": ["julia", "jax"], "git": []},
    "image": None,
}
CLOUD = CHOSEN | {"system": "cloud", "partition": "small", "account": None, "project": None, "reservation": None}


def changed(raw, **more):
    """The options, and the fields that had to change."""
    done = complete(raw, TREE, **more)
    return done.options, [change.field for change in done.changes]


def test_keeps_what_is_possible():
    """Options that are possible come back unchanged and without a word; a box that was off stays off."""
    assert complete(CHOSEN, TREE) == Completed(CHOSEN, ())


def test_chooses_without_a_word():
    """An empty form gets the first system, what is usual there, and boxes and software as the centre wants them."""
    options, fields = changed({})
    assert fields == []
    assert options == {
        "system": "juwels",
        "option": "new",
        "account": "ann1",
        "project": "hai",
        "image": None,
        "partition": "login",
        "reservation": None,
        "resources": {},
        "software": {"kernels": ["python"], "git": ["git"]},
    }
    assert complete({"partition": "batch"}, TREE).options["resources"] == {"nodes": 1, "runtime": 60, "scratch": 1}


@pytest.mark.parametrize(
    ("change", "field", "now"),
    [
        ({"system": "nope"}, "system", "juwels"),
        ({"system": "jureca", "option": "old"}, "option", "new"),
        ({"account": "root"}, "account", "ann1"),
        ({"project": "other"}, "project", "hai"),
        ({"option": "desktop"}, "partition", "login"),
        ({"system": "jureca", "partition": "devel"}, "partition", "login"),
        ({"partition": "devel"}, "reservation", None),
        ({"reservation": "nope"}, "reservation", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_says_what_it_changed(change, field, now):
    """What is not possible is replaced, with one sentence at its field."""
    done = complete(CHOSEN | {"resources": {}} | change, TREE)
    assert now == done.options[field]
    (said,) = [item for item in done.changes if item.field == field]
    assert said.instead.startswith("No reservation is chosen now" if now is None else f"{field.capitalize()} is now ")


def test_a_project_opens_its_own_partitions():
    """The reason names the project where another project would do."""
    done = complete(CHOSEN | {"project": "climate", "reservation": None, "resources": {}}, TREE)
    said = next(change for change in done.changes if change.field == "partition")
    assert said.instead == "Partition is now Login node: “Batch” is not open to project climate."


@pytest.mark.parametrize(
    ("value", "now"), [(9, 4), (0, 1), (-3, 1), ("many", 1), ("", 1), (True, 1), (2.5, 1), ([], 1), (3, 3)]
)
def test_fits_numbers(value, now):
    """A number outside its limits becomes the nearest inside; what is no number becomes the default."""
    options, fields = changed(CHOSEN | {"resources": {"nodes": value}})
    assert now == options["resources"]["nodes"]
    assert (["resources.nodes"] if value != now or value is True else []) == fields


def test_numbers_are_said_in_the_users_language():
    """The label of a resource is the centre's."""
    (change,) = complete(CHOSEN | {"resources": {"nodes": 9}}, TREE, "de").changes
    assert change.mistake == "Knoten: 1 to 4, not “9”."
    assert change.instead == "Knoten is now 4: Batch allows 1 to 4."


def test_a_box_that_was_not_shown_gets_its_default():
    """What the form did not offer is as usual; what it did offer and is off stays off."""
    raw = CHOSEN | {"resources": {"nodes": 1, "runtime": 60}}
    seen, unseen = Shown({"nodes", "scratch"}, {}), Shown({"nodes"}, {})
    assert "scratch" not in complete(raw, TREE, shown=seen).options["resources"]
    assert complete(raw, TREE, shown=unseen).options["resources"]["scratch"] == 1


def test_software_that_was_not_shown_gets_its_default():
    """A set or item that comes into view is as the centre wants it; what was switched off stays off."""
    shown = Shown((), {"kernels": ["julia", "jax"]})
    options, _ = changed(CHOSEN | {"software": {"kernels": ["jax"]}}, shown=shown)
    assert options["software"] == {"kernels": ["python", "jax"], "git": ["git"]}


def test_software_that_is_lost_is_said_if_it_was_asked_for():
    """What is on by itself may go without a word; what the user switched on may not."""
    done = complete(CHOSEN | {"partition": "login", "reservation": None, "resources": {}}, TREE)
    assert [change.instead for change in done.changes] == [
        "JAX is not there on JUWELS, Login node, with JupyterLab 4.6."
    ]
    usual = CHOSEN["software"] | {"git": ["git"]}
    done = complete(CHOSEN | {"option": "old", "software": usual}, TREE)
    assert [change.field for change in done.changes] == ["software"]


def test_a_cluster_has_neither_account_nor_project():
    """Account, project and reservation go without a word, and the way back finds those that fit."""
    options, fields = changed(CHOSEN | {"system": "cloud", "partition": "small", "reservation": "", "resources": {}})
    assert (options["account"], options["project"], fields) == (None, None, ["software"])
    assert complete(CLOUD | {"system": "juwels", "partition": "batch"}, TREE).options["account"] == "ann1"


def test_what_is_blocked_is_no_first_choice():
    """A new lab is suggested where it can start; a blocked system that was chosen stays."""
    tree = options_for(Identity("otto", (Account("o1", "jureca", "hai"),)), CONFIGURATION, Facts(now=NOW))
    assert complete({}, tree).options["system"] == "cloud"
    assert complete({"system": "jureca"}, tree).options["system"] == "jureca"


def test_a_project_finds_its_account():
    """A project that another account has brings that account with it."""
    options, fields = changed({"system": "juwels", "project": "train"})
    assert (options["account"], options["project"], fields) == ("ann2", "train", [])


KEYS = st.sampled_from([
    "juwels", "jureca", "cloud", "new", "old", "desktop", "ann1", "ann2", "hai", "climate", "batch", "devel", "login",
    "small", "course", "later", "kernels", "git", "python", "jax", "",
])  # fmt: skip
ANYTHING = st.one_of(KEYS, st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers() | KEYS, max_size=2))
NAMES = st.sampled_from(["nodes", "runtime", "card", "scratch", "x"])
RAW = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("system", "option", "account", "project", "partition", "reservation"), ANYTHING),
        "resources": st.one_of(ANYTHING, st.dictionaries(NAMES, ANYTHING)),
        "software": st.one_of(ANYTHING, st.dictionaries(KEYS, ANYTHING)),
    },
)
SHOWN = st.none() | st.builds(Shown, st.sets(NAMES), st.dictionaries(KEYS, st.lists(KEYS, max_size=3), max_size=2))
GROUPS = st.sampled_from([None, "friends", "all"])


@given(RAW, SHOWN, st.sets(st.sampled_from(ACCOUNTS)), GROUPS)
def test_is_always_valid(raw, shown, accounts, group):
    """Whatever is typed by whomever, the completed options are accepted, and completing them again changes nothing."""
    tree = options_for(Identity("alice", tuple(accounts), group=group), CONFIGURATION, Facts(now=NOW))
    if not tree.systems:
        return
    done = complete(raw, tree, shown=shown)
    assert done.options == validate(done.options, tree).model_dump(mode="json")
    assert complete(done.options, tree) == Completed(done.options, ())


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 9), st.integers(0, 9), st.integers())
def test_fitting_numbers_are_accepted(low, more, step, steps, value):
    """Every resource has a fitting number."""
    default = low + min(steps, more // step) * step
    resource = {"label": "N", "minimum": low, "maximum": low + more, "default": default, "step": step}
    partition = Partition.model_validate({"resources": {"nodes": resource}})
    systems = CONFIGURATION.systems
    juwels = systems["juwels"].model_copy(
        update={"partitions": dict(systems["juwels"].partitions) | {"batch": partition}}
    )
    tree = options_for(
        ALICE, CONFIGURATION.model_copy(update={"systems": dict(systems) | {"juwels": juwels}}), Facts(now=NOW)
    )
    for given_value in (value, None):
        done = complete(CHOSEN | {"resources": {"nodes": given_value}}, tree)
        assert done.options == validate(done.options, tree).model_dump(mode="json")


@pytest.mark.parametrize(
    ("image", "now", "fields"), [(None, "science", []), ("minimal", "minimal", []), ("gone", "science", ["image"])]
)
def test_an_image_is_chosen_in_a_cluster(image, now, fields):
    """The first one, unless another was; one that is gone is told."""
    options, told = changed({"system": "cloud", "image": image})
    assert (options["image"], told) == (now, fields)


def test_an_image_stays_behind_without_a_word():
    """On an HPC system there is nothing to say about images."""
    options, told = changed(CHOSEN | {"image": "minimal"})
    assert (options["image"], told) == (None, [])
