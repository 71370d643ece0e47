# SPDX-License-Identifier: BSD-3-Clause
"""Why not the rest: a reason for whatever is not offered, and for nothing else."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.membership import groups_of
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.reasons import fitting_rules, missing
from tests.config import full
from tests.rights import drawn

CONFIGURATION = Configuration.model_validate(full.tree())
BATCH = Account("user1", "juwels", "chem")


def reasons(identity: Identity) -> dict[tuple[str, str, str], str]:
    found = missing(identity, CONFIGURATION, options_for(identity, CONFIGURATION, Facts()))
    return {(each.system, each.option, each.partition): each.reason for each in found}


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_what_is_not_offered_has_a_reason_and_what_is_offered_has_none(seed: int) -> None:
    """Nothing of the configuration is left without a word, whatever user and configuration."""
    random = Random(seed)
    configuration, facts, identity = drawn.configuration(random), drawn.facts(random), drawn.identity(random)
    tree = options_for(identity, configuration, facts)

    told = {(each.system, each.option, each.partition) for each in missing(identity, configuration, tree)}

    assert all(each.reason for each in missing(identity, configuration, tree))
    for system, has in configuration.systems.items():
        choices = tree.systems[system].options if system in tree.systems else {}
        for option in configuration.options:
            offered = choices[option].partitions if option in choices else {}
            for partition in has.partitions:
                places = {(system, "", ""), (system, "", partition), (system, option, ""), (system, option, partition)}
                assert (partition in offered) != bool(told & places)


@pytest.mark.parametrize(
    ("identity", "place", "reason"),
    [
        (Identity("a"), ("juwels", "", ""), "No account entry has one of the keys juwels, juwels_gpu, juwels_vis."),
        (
            Identity("a", (BATCH,)),
            ("juwels", "", "gpus"),
            "No account entry has one of the keys juwels_gpu, juwels_vis.",
        ),
        (Identity("a", (BATCH,)), ("juwels", "quantum", ""), "Only for members of quantum."),
        (
            Identity("a", (BATCH,)),
            ("juwels", "jupyterlab-4.3", "devel"),
            "Only in the partitions batch, dc-cpu, login.",
        ),
        (
            Identity("a"),
            ("cloud", "jupyterlab-4.3", ""),
            "It has no `container`, which labs in a cluster are made of.",
        ),
        (Identity("a", (BATCH,)), ("juwels", "archive", ""), "Only on cloud."),
        (Identity("q.user@centre.example", (BATCH,)), ("juwels", "quantum", ""), "Only with the projects q*."),
        (
            Identity("q.user@centre.example", (BATCH,), group="quantum"),
            ("juwels", "jupyterlab-4.3", ""),
            "Not among the options of quantum.",
        ),
        (
            Identity("a@course.example", (Account("x", "juwels", "training2600"),), authenticator="federation.saml"),
            ("juwels", "jupyterlab-4.6", ""),
            "Only in the reservations course-*, with the projects training2600; none can be used here.",
        ),
    ],
    ids=[
        "account",
        "partition",
        "group",
        "partitions",
        "container",
        "systems",
        "projects",
        "acting in a group",
        "reservations",
    ],
)
def test_reason_names_what_would_help(identity: Identity, place: tuple[str, str, str], reason: str) -> None:
    """An operator reads which list or entry to change."""
    assert reason == reasons(identity)[place]


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_groups_of_a_user_have_a_rule_that_fits(seed: int) -> None:
    """Whoever is a member fits a rule; of fitting groups only those behind an exclusive one are not the user's."""
    random = Random(seed)
    configuration, identity = drawn.configuration(random), drawn.identity(random)
    fitting = {key for key, rules in fitting_rules(identity, configuration).items() if rules}
    groups = set(groups_of(identity, configuration))
    assert groups <= fitting
    assert groups == fitting or configuration.groups[next(iter(groups))].exclusive
