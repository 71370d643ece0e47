# SPDX-License-Identifier: BSD-3-Clause
"""The people of the demo, and their accounts as the example centre knows them."""

from pathlib import Path

from jupyter_jsc.config import load
from jupyter_jsc.demo.people import PEOPLE, PROVIDERS

CONFIGURATION = load.load(Path("examples/config"))
NAMED = {person.name: person for person in PEOPLE}
KEYS = {key: name for name, system in CONFIGURATION.systems.items() for key in system.account_keys}


def test_cast() -> None:
    """A user with all systems and two projects, newcomers by the AAI, a student, an institute's member, an operator."""
    assert {name: person.idp for name, person in NAMED.items()} == {
        **dict.fromkeys(("alice", "ines", "oscar"), "jsc"),
        **dict.fromkeys(("nora", "gus", "carla"), "aai"),
    }
    fields = [entry.split(",") for entry in NAMED["alice"].accounts]
    assert {"alice1"} == {account for account, *_ in fields}
    assert {"juwels", "jupiter", "jureca", "jusuf", "deep"} == {KEYS[key] for _, key, *_ in fields}
    assert {"hai", "train"} == {project for _, _, project, _ in fields}
    assert NAMED["nora"].accounts == NAMED["gus"].accounts == ()
    assert NAMED["oscar"].accounts == ("oscar1,juwels,ops,oscar@example.org",)


def test_accounts_fit_the_centre() -> None:
    """Each entry has four fields and a key that a system of the example knows."""
    for person in PEOPLE:
        for entry in person.accounts:
            account, key, project, owner = entry.split(",")
            assert key in KEYS
            assert owner == person.email
            assert account
            assert project


def test_providers_are_those_of_the_portal() -> None:
    """The portal preselects exactly the providers that exist here, under the same labels, and knows their claims."""
    portal = CONFIGURATION.identity_providers
    assert dict(PROVIDERS) == {key: provider.label for key, provider in portal.items()}
    assert [f"{key}.password" for key in PROVIDERS] == [
        provider.preselect["uy_select_authn"] for provider in portal.values()
    ]
    assert all(f"[{key}]" in provider.authenticators for key, provider in portal.items())


def test_passwords_are_not_in_texts() -> None:
    """A person in a log or a failed assertion does not show the password."""
    assert not any(person.password in repr(person) for person in PEOPLE)
    assert len(PEOPLE) == len({person.subject for person in PEOPLE})
