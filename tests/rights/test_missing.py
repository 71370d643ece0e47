# SPDX-License-Identifier: BSD-3-Clause
"""What is not offered has a reason, and what is offered has none."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc.config.load import load
from jupyter_jsc.rights.accounts import parse_accounts
from jupyter_jsc.rights.identity import Facts, Identity
from jupyter_jsc.rights.missing import Missing, missing_for
from jupyter_jsc.rights.options import options_for
from tests.rights import drawn

FULL = load(Path(__file__).parent.parent / "config/full")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ENTRIES, _ = parse_accounts(["alice1,juwels,hai,a", "alice1,juqueen,training2600,a"])
ALICE = Identity("alice@centre.example", ENTRIES)
COURSE = Identity("alice@course.example", ENTRIES, authenticator="federation.saml")


@pytest.mark.parametrize(
    ("identity", "place", "reason"),
    [
        (ALICE, "systems.*.account_keys", "No system knows the user's account entries with key juqueen."),
        (ALICE, "options.quantum", "It is kept for the group quantum."),
        (ALICE, "systems.jureca", "No account opens it; account entries with the key jureca would."),
        (ALICE, "systems.juwels.partitions.gpus",
         "No account opens it; account entries with the key juwels_gpu, juwels_vis would."),
        (ALICE, "systems.juwels.partitions.devel",
         "Not with the option jupyterlab-4.3: everybody: allowed.partitions names batch, dc-cpu, login."),
        (ALICE, "reservations.course-2026-05", "It ended at 2026-05-08T18:00:00+02:00."),
        (COURSE, "options.jupyterlab-4.3", "It is not among the options of the group course."),
        (COURSE, "systems.juwels.partitions.batch",
         "Not with the option jupyterlab-4.6: course: allowed.projects fits none of hai."),
        (replace(COURSE, accounts=parse_accounts("alice1,juwels,training2600,a")[0]), "systems.juwels.partitions.batch",
         "Not with the option jupyterlab-4.6: course: a reservation is needed that fits course-*."),
        (replace(ALICE, admin=True), "systems.juwels.partitions.batch",
         "Not with the option quantum: quantum: allowed.projects fits none of hai."),
    ],
)  # fmt: skip
def test_reasons(identity, place, reason):
    """Operators read which line of the configuration closes what."""
    assert Missing(place, reason) in missing_for(identity, FULL, Facts(now=NOW))


def test_who_is_in_no_group_has_one_reason():
    """Without a group nothing else matters."""
    nobody = FULL.model_copy(update={"groups": {"quantum": FULL.groups["quantum"]}})

    assert ["groups"] == [missing.place for missing in missing_for(ALICE, nobody, Facts(now=NOW))]


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_whatever_is_not_offered_has_a_reason(seed):
    """Each system, and each reservation, is in the tree or among what is missing, or its parts are."""
    random = Random(seed)
    identity, configuration, facts = drawn.identity(random), drawn.configuration(random), drawn.facts(random)
    tree = options_for(identity, configuration, facts)
    places = [missing.place for missing in missing_for(identity, configuration, facts)]
    offered = {key for choice in tree.systems.values() for key in choice.reservations}

    for key in configuration.systems.keys() - tree.systems.keys() if places != ["groups"] else ():
        closed = {f"options.{option}" for option in configuration.options} <= set(places)
        assert closed or any(place.split(".")[:2] == ["systems", key] for place in places)
    for key in configuration.reservations.keys() if places != ["groups"] else ():
        told = f"reservations.{key}" in places or f"systems.{configuration.reservations[key].system}" in places
        assert told != (key in offered)
