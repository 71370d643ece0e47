# SPDX-License-Identifier: BSD-3-Clause
"""Limits: which labs fill which, what a member of several groups may, and the words that name limit and labs."""

from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_jsc.config.load import load
from jupyter_jsc.rights.accounts import parse_accounts
from jupyter_jsc.rights.identity import Facts, Identity, LiveLab
from jupyter_jsc.rights.limits import widest
from jupyter_jsc.rights.options import options_for

FULL = load(Path(__file__).parent.parent / "config/full")
ENTRIES, _ = parse_accounts(["alice1,juwels,hai,a", "alice1,juwels_vis,qsim,a"])
EVERYBODY = Identity("alice@centre.example", ENTRIES)
QUANTUM = replace(EVERYBODY, admin=True)


def labs(many, system="juwels", option="jupyterlab-4.6"):
    return tuple(LiveLab(f"lab {number}", system, option) for number in range(1, many + 1))


def tree(identity, live=(), configuration=FULL, **group_labs):
    return options_for(identity, configuration, Facts(labs=tuple(live), group_labs=group_labs))


@pytest.mark.parametrize(
    ("limits", "expected"), [([], None), ([None], None), ([1, None], None), ([1, 3, 2], 3), ([0], 0)]
)
def test_widest(limits, expected):
    """No limit is wider than any number."""
    assert expected == widest(limits)


@pytest.mark.parametrize(
    ("identity", "many", "blocked"),
    [(EVERYBODY, 3, False), (EVERYBODY, 4, True), (QUANTUM, 5, False), (QUANTUM, 6, True)],
)
def test_limit_of_a_system(identity, many, blocked):
    """The widest of the groups' limits replaces the system's own, and only its own labs count."""
    live = [*labs(many), *labs(3, "jureca", "jupyterlab-4.3")]

    assert blocked == bool(tree(identity, live).systems["juwels"].blocked)


def test_a_full_system_names_the_limit_and_its_labs():
    """Users read which labs they can stop, in both languages."""
    text = tree(EVERYBODY, labs(4)).systems["juwels"].blocked

    assert text.en == "4 of 4 labs on JUWELS are in use: lab 1, lab 2, lab 3 and lab 4. Stop one to start another."
    assert text.de == (
        "4 von 4 Labs auf JUWELS sind in Gebrauch: lab 1, lab 2, lab 3 und lab 4. "
        "Stoppen Sie eines, um ein anderes zu starten."
    )


def test_limit_of_one():
    """One lab is one lab, also in words."""
    text = tree(EVERYBODY, labs(1, "cloud")).systems["cloud"].blocked

    assert text.en == "1 of 1 lab on Cloud is in use: lab 1. Stop it to start another."
    assert text.de == "1 von 1 Lab auf Cloud ist in Gebrauch: lab 1. Stoppen Sie es, um ein anderes zu starten."


def test_limit_of_none():
    """Zero means that nobody may."""
    systems = FULL.systems | {"juwels": FULL.systems["juwels"].model_copy(update={"max_labs_per_user": 0})}
    closed = FULL.model_copy(update={"systems": systems, "groups": {}})
    text = tree(EVERYBODY, configuration=closed).systems["juwels"].blocked

    assert ("No labs may be started on JUWELS.", "Es dürfen keine Labs auf JUWELS gestartet werden.") == (
        text.en,
        text.de,
    )


def test_limit_of_an_option():
    """An option's limit counts its labs on all systems; a group may have its own."""
    both = [*labs(3, "jureca"), *labs(2)]
    options = tree(QUANTUM, both).systems["juwels"].options
    quantum = tree(QUANTUM, labs(2, "juwels", "quantum")).systems["juwels"].options["quantum"]

    assert "5 of 5 labs with JupyterLab 4.6 are in use" in options["jupyterlab-4.6"].blocked.en
    assert not options["quantum"].blocked
    assert "2 von 2 Labs mit Quantum annealing sind in Gebrauch" in quantum.blocked.de


@pytest.mark.parametrize(
    ("identity", "many", "blocked"), [(EVERYBODY, 9, ""), (EVERYBODY, 10, "10 of 10 labs are in use")]
)
def test_limit_over_all(identity, many, blocked):
    """The portal's own limit holds for everybody."""
    assert tree(identity, labs(many, "jureca")).blocked.en.startswith(blocked)
    assert bool(blocked) == bool(tree(identity, labs(many, "jureca")).blocked)


def test_limit_of_the_groups_over_all():
    """A group's limit holds for its members, unless another group of theirs has a wider one or none."""
    course = Identity("alice@course.example", authenticator="federation.saml")
    alone = replace(QUANTUM, group="quantum")

    assert "1 of 1 lab is in use: lab 1" in tree(course, labs(1)).blocked.en
    assert "6 of 6 labs are in use" in tree(alone, labs(6)).blocked.en
    assert not tree(QUANTUM, labs(6)).blocked


def test_many_labs_are_not_all_listed():
    """Ten titles are enough."""
    text = tree(EVERYBODY, labs(12, "jureca")).blocked

    assert "lab 10 and 2 more. Stop" in text.en
    assert "lab 10 und 2 weitere. Stoppen" in text.de


def test_a_full_group_blocks_what_only_it_opens():
    """All members together fill a group; what another group opens as well can still be started."""
    options = tree(QUANTUM, quantum=100).systems["juwels"].options

    assert "The 100 labs that all members of Quantum users together may use" in options["quantum"].blocked.en
    assert "100 Labs, die alle Mitglieder von Quantum users" in options["quantum"].blocked.de
    assert not options["jupyterlab-4.6"].blocked
    assert not tree(QUANTUM, quantum=99).systems["juwels"].options["quantum"].blocked


def test_a_group_that_may_not_start_says_so():
    """Zero labs for all members close a group."""
    groups = {"everybody": FULL.groups["everybody"].model_copy(update={"max_labs": 0})}
    text = tree(EVERYBODY, configuration=FULL.model_copy(update={"groups": groups})).systems["juwels"]

    assert "The group Everybody may not start labs just now." == text.options["jupyterlab-4.6"].blocked.en
