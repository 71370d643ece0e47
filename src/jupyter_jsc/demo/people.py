# SPDX-License-Identifier: BSD-3-Clause
"""The people of the demo: who can log in, by which provider, and what they may use.

Read by :mod:`.identity` (which logs them in), by :mod:`.run` (which prints their passwords) and by tests.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Idp = Literal["jsc", "aai"]

PROVIDERS: Mapping[Idp, str] = {"jsc": "JSC account", "aai": "Helmholtz AAI"}
"""The two ways to log in, with their labels."""


@dataclass(frozen=True)
class Person:
    """A user of the demo's identity provider."""

    name: str
    password: str = field(repr=False)
    full_name: str
    email: str
    idp: Idp
    """By which provider the person logs in."""
    accounts: tuple[str, ...] = ()
    """HPC account entries: Unix account, key of system and partitions, project, person."""
    entitlements: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("/portal",)
    """Full paths of the innermost groups. Who is in none at or below ``/portal`` may not use the portal."""
    disabled: bool = False
    """Whether the person may neither log in nor refresh."""

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
            "alice1,jureca,train,alice@example.org",
            "alice1,jureca_gpu,hai,alice@example.org",
            "alice1,jupiter,hai,alice@example.org",
            "alice1,jusuf,hai,alice@example.org",
            "alice1,deep,train,alice@example.org",
        ),
        entitlements=(
            "urn:geant:example.org:group:vo:demo#login.example.org",
            "urn:geant:example.org:res:juwels:hai:act:alice1:u",
        ),
        groups=("/portal/demo",),
    ),
    Person(
        name="nora",
        password="nora-demo",  # noqa: S106
        full_name="Nora Newcomer",
        email="nora@example.org",
        idp="aai",
        entitlements=("urn:geant:example.org:group:helmholtz-member#login.example.org",),
    ),
    Person(
        name="gus",
        password="gus-demo",  # noqa: S106
        full_name="Gus Guest",
        email="gus@example.net",
        idp="aai",
        entitlements=("urn:geant:example.org:group:guest#login.example.org",),
    ),
    Person(
        name="carla",
        password="carla-demo",  # noqa: S106
        full_name="Carla Curious",
        email="carla@example.org",
        idp="aai",
        accounts=(
            "train07,jusuf,training2620,carla@example.org",
            "train07,juwels,training2620,carla@example.org",
        ),
        entitlements=("urn:geant:example.org:group:courses:hpc-python#login.example.org",),
    ),
    Person(
        name="ines",
        password="ines-demo",  # noqa: S106
        full_name="Ines Institute",
        email="ines@example.org",
        idp="jsc",
        accounts=(
            "ines1,juwels,jibg31,ines@example.org",
            "ines1,jureca,jibg31,ines@example.org",
            "ines1,jureca_gpu,jibg31,ines@example.org",
        ),
        entitlements=("urn:geant:example.org:group:fzj:ibg#login.example.org",),
    ),
    Person(
        name="oscar",
        password="oscar-demo",  # noqa: S106
        full_name="Oscar Operator",
        email="oscar@example.org",
        idp="jsc",
        accounts=("oscar1,juwels,ops,oscar@example.org",),
        groups=("/portal/operators",),
    ),
)
