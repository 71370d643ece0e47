# SPDX-License-Identifier: BSD-3-Clause
"""The people of the demo: who can log in, by which provider, and what they may use."""

import uuid
from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A user of the demo's identity provider."""

    name: str
    password: str
    full_name: str
    email: str
    idp: str
    """By which provider the person logs in: ``jsc`` or ``aai``."""
    accounts: tuple[str, ...] = ()
    """HPC account entries: Unix account, key of system and partitions, project, person."""
    entitlements: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("/", "/portal")
    disabled: bool = False

    @property
    def subject(self) -> str:
        """The ``sub`` claim: the same for this person in every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://login.example.org/{self.name}"))


PEOPLE: tuple[Person, ...] = (
    Person(
        name="alice",
        password="alice-demo",  # noqa: S106  printed by the demo, of no use elsewhere
        full_name="Alice Adams",
        email="alice@example.org",
        idp="jsc",
        accounts=(
            "alice1,juwels,hai,alice@example.org",
            "alice1,juwels,train,alice@example.org",
            "alice1,jureca,hai,alice@example.org",
            "alice1,jureca_gpu,train,alice@example.org",
        ),
        entitlements=("urn:geant:example.org:group:vo:demo#login.example.org",),
        groups=("/", "/portal", "/portal/demo"),
    ),
    Person(
        name="nora",
        password="nora-demo",  # noqa: S106
        full_name="Nora Newcomer",
        email="nora@example.org",
        idp="aai",
    ),
    Person(
        name="oscar",
        password="oscar-demo",  # noqa: S106
        full_name="Oscar Operator",
        email="oscar@example.org",
        idp="jsc",
        accounts=("oscar1,juwels,ops,oscar@example.org",),
        groups=("/", "/portal", "/operators"),
    ),
)
