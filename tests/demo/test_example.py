# SPDX-License-Identifier: BSD-3-Clause
"""The example centre (``examples/config``): no mistake in it, in the size of a real one, in two languages; and what it
offers to the people of the demo.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from jupyter_jsc.config import load
from jupyter_jsc.config.base import Text
from jupyter_jsc.config.systems import SystemKind
from jupyter_jsc.demo.people import PEOPLE
from jupyter_jsc.rights.accounts import parse_accounts
from jupyter_jsc.rights.entitlements import expand
from jupyter_jsc.rights.identity import Facts, Identity
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.tree import OptionTree

EXAMPLE = Path("examples/config")
CONFIGURATION = load.load(EXAMPLE)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def tree_of(name: str) -> OptionTree:
    """What this person of the demo may choose in the example."""
    person = next(person for person in PEOPLE if person.name == name)
    accounts, unreadable = parse_accounts(
        list(person.accounts), list(person.entitlements), CONFIGURATION.account_namespaces
    )
    assert unreadable == 0
    identity = Identity(
        user=person.name,
        accounts=accounts,
        entitlements=expand([*person.entitlements, *person.groups]),
        authenticator=f"[{person.idp}]",
        admin=person.name == "oscar",
    )
    return options_for(identity, CONFIGURATION, Facts(now=NOW))


def texts(value: Any, path: str = "") -> Iterator[tuple[str, Text]]:
    """All texts of the configuration, with their paths."""
    if isinstance(value, Text):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from texts(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts(part, f"{path}.{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from texts(part, f"{path}.{number}")


def test_it_has_the_size_of_a_real_centre() -> None:
    """Five HPC systems and a cloud, some thirty partitions, options, groups, projects."""
    kinds = [system.kind for system in CONFIGURATION.systems.values()]
    assert (kinds.count(SystemKind.UNICORE), kinds.count(SystemKind.KUBERNETES)) == (5, 1)
    assert sum(len(system.partitions) for system in CONFIGURATION.systems.values()) >= 30
    projects = {project for one in CONFIGURATION.reservations.values() for project in one.projects}
    projects |= {project for one in CONFIGURATION.options.values() for project in one.allowed.projects or []}
    assert len(projects) >= 30
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in EXAMPLE.rglob("*.yaml"))
    assert 1000 <= lines <= 2500


def test_every_text_is_there_in_both_languages() -> None:
    """A user who reads German finds no English sentence that the centre wrote."""
    assert [path for path, text in texts(CONFIGURATION) if text.en and not text.de] == []


def test_every_code_of_a_start_has_a_text() -> None:
    """The centre says in its own words what the hub and the launcher tell."""
    sources = [path for part in ("hub", "lab") for path in Path("src/jupyter_jsc", part).glob("*.py")]
    telling = re.compile(r'(?:say|event)\((?:[\w.]+, )?"([a-z_]+)", \d+,|= "([a-z_]+)"  # event')
    found = [match for path in sources for match in telling.findall(path.read_text("utf-8"))]
    told = {said or named for said, named in found}
    assert {"ready", "lab_step"} <= told
    assert told - set(CONFIGURATION.texts) == set()


@pytest.mark.parametrize("path", sorted(EXAMPLE.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_begins_with_what_it_is_for(path: Path) -> None:
    """A new operator finds the subject of a file on its first line."""
    assert path.read_text("utf-8").startswith("# ")


@pytest.mark.parametrize(
    ("name", "systems"),
    [
        ("alice", {"juwels", "jupiter", "jureca", "jusuf", "deep", "hdf-cloud"}),
        ("nora", {"hdf-cloud"}),
        ("gus", set()),
        ("carla", {"jusuf"}),
        ("ines", {"juwels", "jureca", "hdf-cloud"}),
        ("oscar", {"juwels", "hdf-cloud"}),
    ],
)
def test_each_person_finds_the_systems_that_the_demo_promises(name: str, systems: set[str]) -> None:
    """What the demo prints about its people is true."""
    assert set(tree_of(name).systems) == systems


def test_the_course_sees_nothing_but_its_reservation() -> None:
    """One system, one option, one partition, in which a reservation of the course must be chosen, with its limits."""
    option = tree_of("carla").systems["jusuf"].options
    assert set(option) == {"jupyterlab-4.6"}
    partitions = option["jupyterlab-4.6"].partitions
    assert set(partitions) == {"batch"}
    assert partitions["batch"].resources["nodes"].maximum == 1
    assert partitions["batch"].resources["runtime"].maximum == 120
    place = option["jupyterlab-4.6"].accounts["train07"]["training2620"]["batch"]
    assert place.reservation_required
    assert set(place.reservations) == {"hpc-python", "hpc-python-exam"}
    reservations = tree_of("carla").systems["jusuf"].reservations
    assert not reservations["hpc-python"].blocked
    assert reservations["hpc-python-exam"].blocked


def test_an_institute_has_wider_ranges_than_others() -> None:
    """The same partition, more nodes and hours."""

    def nodes(name: str) -> int:
        return tree_of(name).systems["juwels"].options["jupyterlab-4.6"].partitions["batch"].resources["nodes"].maximum

    assert (nodes("alice"), nodes("ines")) == (10, 48)


def test_only_some_groups_see_a_preview() -> None:
    """An option that is kept for groups is not there for others."""
    assert "jupyterlab-next" in tree_of("oscar").systems["juwels"].options
    assert "jupyterlab-next" not in tree_of("alice").systems["juwels"].options
