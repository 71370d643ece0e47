# SPDX-License-Identifier: BSD-3-Clause
"""The tree of choices: by example, and equal to what asking about every combination gives, whatever the configuration."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc.config.load import load
from jupyter_jsc.rights.accounts import parse_accounts
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.options import options_for, options_of_start
from jupyter_jsc.rights.tree import NOBODY, Place
from jupyter_jsc.wire import Options, StartLab
from tests.rights import drawn
from tests.rights.naive import naive_options


def in_order(choice):
    """The keys of all mappings of a tree, in their order, which equality of mappings does not see."""
    if isinstance(choice, dict):
        return [(key, in_order(value)) for key, value in choice.items()]
    return [in_order(value) for value in vars(choice).values()] if hasattr(choice, "__dataclass_fields__") else None


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_tree_equals_the_plain_computation(seed):
    """Every choice, limit, default, order and reason is what the nested loops find, whoever asked before."""
    random = Random(seed)
    configuration, facts = drawn.configuration(random), drawn.facts(random)

    for identity in [drawn.identity(random) for _ in range(3)]:
        expected, tree = naive_options(identity, configuration, facts), options_for(identity, configuration, facts)

        assert expected == tree
        assert in_order(expected) == in_order(tree)


FULL = load(Path(__file__).parent.parent / "config/full")
NUMBERS = ("minimum", "maximum", "default")
BEFORE = datetime(2026, 2, 1, tzinfo=UTC)
ENTRIES, _ = parse_accounts(["alice1,juwels,hai,a", "alice1,juwels_vis,training2600,a", "bob,juwels_gpu,qsim,b"])
EVERYBODY = Identity("alice@centre.example", ENTRIES)
QUANTUM = replace(EVERYBODY, admin=True)
COURSE = Identity("alice@course.example", ENTRIES, authenticator="federation.saml")


def juwels(identity, now=BEFORE, **facts):
    return options_for(identity, FULL, Facts(now=now, **facts)).systems["juwels"]


def test_a_user_of_no_group_is_told_so():
    """With groups but none of them the user's there is nothing, and a text says whom to ask."""
    groups = {"quantum": FULL.groups["quantum"]}
    tree = options_for(EVERYBODY, FULL.model_copy(update={"groups": groups}), Facts(now=BEFORE))

    assert ({}, ()) == (tree.systems, tree.groups)
    assert "support@centre.example" in tree.blocked.en
    assert "support@centre.example" in tree.blocked.de


def test_without_groups_everything_is_open():
    """A small centre needs no groups; accounts decide alone."""
    options = {key: option.model_copy(update={"groups": None}) for key, option in FULL.options.items()}
    tree = options_for(EVERYBODY, FULL.model_copy(update={"groups": {}, "options": options}), Facts(now=BEFORE))

    assert ["jupyterlab-4.6", "jupyterlab-4.3", "quantum"] == list(tree.systems["juwels"].options)
    assert () == tree.groups


def test_keys_and_default_partitions_open_partitions():
    """Each entry opens its key's partitions, and those that every account has; in the order of the configuration."""
    accounts = juwels(EVERYBODY).options["jupyterlab-4.6"].accounts

    assert {"alice1": ["hai", "training2600"], "bob": ["qsim"]} == {key: list(one) for key, one in accounts.items()}
    assert ["login", "batch", "devel"] == list(accounts["alice1"]["hai"])
    assert ["login", "batch", "gpus"] == list(accounts["alice1"]["training2600"])
    assert ["login", "gpus"] == list(accounts["bob"]["qsim"])


def test_clusters_are_open_to_everybody_without_account():
    """A system without accounts has one place for all, under neither account nor project."""
    cloud = options_for(Identity("guest"), FULL, Facts(now=BEFORE)).systems["cloud"]

    assert not cloud.needs_account
    assert {NOBODY: {NOBODY: {"shared": Place()}}} == cloud.options["jupyterlab-4.6"].accounts


def test_members_of_several_groups_get_the_widest_limits():
    """Ranges are widened and stand in the labels; the default is that of the group that counts first."""
    mine, theirs = (juwels(who).options["jupyterlab-4.6"].partitions for who in (QUANTUM, EVERYBODY))

    assert (1, 2048, 2) == tuple(getattr(mine["batch"].resources["nodes"], key) for key in NUMBERS)
    assert (1, 1024, 1) == tuple(getattr(theirs["batch"].resources["nodes"], key) for key in NUMBERS)
    assert "Knoten [1, 2048]" == mine["batch"].resources["nodes"].label.de
    assert (10, 2880, 60) == tuple(getattr(mine["gpus"].resources["runtime"], key) for key in NUMBERS)


def test_options_that_are_kept_for_a_group_have_its_lists():
    """A group's lists replace the option's own, list by list: here projects and partitions, not accounts."""
    assert "quantum" not in juwels(EVERYBODY).options
    mine = replace(QUANTUM, accounts=(*ENTRIES, Account("carol2", "juwels_vis", "qsim")))

    assert {"carol2": {"qsim": {"batch": Place()}}} == juwels(mine).options["quantum"].accounts


def test_a_course_sees_nothing_but_its_reservation():
    """Where a reservation must be chosen, partitions without one and projects without one are not offered."""
    tree = options_for(COURSE, FULL, Facts(now=BEFORE))

    assert (["juwels"], ("course",)) == (list(tree.systems), tree.groups)
    assert ["jupyterlab-4.6"] == list(tree.systems["juwels"].options)
    place = Place(("course-2026-05",), True)
    assert {"alice1": {"training2600": {"batch": place}}} == tree.systems["juwels"].options["jupyterlab-4.6"].accounts


MAY = datetime(2026, 5, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "blocked"),
    [(BEFORE, "The reservation course-2026-05 begins at 2026-05-04 08:00 UTC+02:00."), (MAY, "")],
)
def test_a_reservation_that_has_not_begun_is_blocked(now, blocked):
    """It may be saved and not be started yet."""
    assert blocked == juwels(COURSE, now).reservations["course-2026-05"].blocked.en


def test_a_reservation_that_has_ended_is_gone():
    """With it goes what was open in it alone."""
    end = datetime(2026, 5, 8, 16, tzinfo=UTC)

    assert {} == options_for(COURSE, FULL, Facts(now=end)).systems
    assert {} == juwels(EVERYBODY, end).reservations


def test_a_default_stands_once_on_each_system():
    """The first option that is a default, else the first."""
    for choice in options_for(QUANTUM, FULL, Facts(now=BEFORE)).systems.values():
        assert ["jupyterlab-4.6"] == [key for key, option in choice.options.items() if option.default]


def test_the_group_that_is_chosen_counts_alone():
    """Who acts in one group has its rights and no others."""
    tree = options_for(replace(QUANTUM, group="everybody"), FULL, Facts(now=BEFORE))

    assert ("everybody",) == tree.groups
    assert "quantum" not in tree.systems["juwels"].options


def start(groups=("everybody",), **options):
    return StartLab(
        lab_id="lab-" + "a" * 26,
        start_id="s" + "a" * 16,
        hub="portal",
        user="alice",
        options=Options(
            **{"system": "juwels", "option": "jupyterlab-4.6", "account": "alice1", "project": "hai"} | options
        ),
        groups=list(groups),
        env={},
        secrets={},
        events_url="http://x",
        started_url="http://x",
    )


def test_a_manager_sees_what_account_project_and_groups_may():
    """The gate's tree has the system of the start alone, all partitions that entries can open, and the groups' options."""
    tree = options_of_start(start(), FULL, Facts(now=BEFORE))

    assert ["juwels"] == list(tree.systems)
    places = tree.systems["juwels"].options["jupyterlab-4.6"].accounts
    assert {"alice1": {"hai": ["login", "batch", "devel", "gpus"]}} == {
        account: {project: list(names) for project, names in projects.items()} for account, projects in places.items()
    }
    assert "quantum" not in tree.systems["juwels"].options
    assert (
        "quantum"
        in options_of_start(start(["quantum"], project="qsim"), FULL, Facts(now=BEFORE)).systems["juwels"].options
    )


@pytest.mark.parametrize(
    "lab", [start([]), start(["gone"]), start(account=None), start(project=None), start(system="gone")]
)
def test_a_manager_opens_nothing_that_is_not_told(lab):
    """Without a group that exists, an account, a project or a system there is nothing."""
    assert {} == options_of_start(lab, FULL, Facts(now=BEFORE)).systems


def test_a_manager_opens_clusters_without_account():
    """On a cluster neither account nor project is needed."""
    lab = start(system="cloud", account=None, project=None)

    assert ["cloud"] == list(options_of_start(lab, FULL, Facts(now=BEFORE)).systems)


def test_a_new_configuration_is_a_new_answer():
    """What was computed for one version is not used for the next."""
    without = FULL.model_copy(update={"systems": {key: FULL.systems[key] for key in ["jureca", "cloud"]}})

    assert "juwels" in options_for(EVERYBODY, FULL, Facts(now=BEFORE)).systems
    assert ["cloud"] == list(options_for(EVERYBODY, without, Facts(now=BEFORE)).systems)
