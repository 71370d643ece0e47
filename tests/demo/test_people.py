# SPDX-License-Identifier: BSD-3-Clause
"""The people of the demo, as the issue wants them, and their accounts as the demo's centre knows them."""

from jupyter_jsc.demo import centre
from jupyter_jsc.demo.people import PEOPLE, PROVIDERS

NAMED = {person.name: person for person in PEOPLE}
KEYS = {key: name for name, site in centre.SITES.items() for key in site.account_keys}


def test_cast() -> None:
    """One user with two systems and two projects, a newcomer without an account, an operator with one."""
    assert {name: person.idp for name, person in NAMED.items()} == {"alice": "jsc", "nora": "aai", "oscar": "jsc"}
    fields = [entry.split(",") for entry in NAMED["alice"].accounts]
    assert {"alice1"} == {account for account, *_ in fields}
    assert {"juwels", "jureca"} == {KEYS[key] for _, key, *_ in fields}
    assert {"hai", "train"} == {project for _, _, project, _ in fields}
    assert NAMED["nora"].accounts == ()
    assert NAMED["oscar"].accounts == ("oscar1,juwels,ops,oscar@example.org",)


def test_accounts_fit_the_centre() -> None:
    """Each entry has four fields and a key that a system of the demo knows."""
    for person in PEOPLE:
        for entry in person.accounts:
            account, key, project, owner = entry.split(",")
            assert key in KEYS
            assert owner == person.email
            assert account
            assert project


def test_providers_are_those_of_the_portal() -> None:
    """The portal preselects exactly the providers that exist here, under the same labels."""
    portal = centre.portal("http://localhost:1", "http://localhost:2", "python")["identity_providers"]
    assert dict(PROVIDERS) == {key: provider["label"] for key, provider in portal.items()}
    assert [f"{key}.password" for key in PROVIDERS] == [
        provider["preselect"]["uy_select_authn"] for provider in portal.values()
    ]


def test_passwords_are_not_in_texts() -> None:
    """A person in a log or a failed assertion does not show the password."""
    assert not any(person.password in repr(person) for person in PEOPLE)
    assert len(PEOPLE) == len({person.subject for person in PEOPLE})
