# SPDX-License-Identifier: BSD-3-Clause
"""What the demo's identity provider tells about a person, and under which scope. Pure functions.

As Unity 3.13 with a portal's output profile: one value is a string, several are a list, none is no claim.
Called by :mod:`.identity_grants` whenever tokens are issued.
"""

from collections.abc import Iterable, Mapping

from jupyter_jsc.demo.people import Person

Claim = str | list[str]

USERS_GROUP = "/portal"
"""Only members of this group or one below it get tokens."""

SCOPES: Mapping[str, tuple[str, ...]] = {
    "openid": (),
    "profile": ("name", "email"),
    "username": ("username_attr",),
    "hpc_infos": ("hpc_infos_attribute",),
    "eduperson_entitlement": ("eduperson_entitlement", "groups"),
    "authenticator": ("used_authenticator_attr",),
    "offline_access": (),
    "single-logout": (),
}
"""Each scope with the claims that it opens."""


def known_scopes(requested: str | None) -> str:
    """Return the scopes of *requested* that exist, in order; others are dropped without a word."""
    return " ".join(dict.fromkeys(name for name in (requested or "").split() if name in SCOPES))


def claims(person: Person, authenticator: str, scope: str) -> dict[str, Claim]:
    """Return what userinfo tells about *person* under *scope*, a string of names.

    *authenticator* is the name of what the person, or after a refresh the client, logged in by.
    """
    values = {
        "name": [person.full_name],
        "email": [person.email],
        "username_attr": [person.name],
        "hpc_infos_attribute": list(person.accounts),
        "eduperson_entitlement": list(person.entitlements),
        "groups": with_parents(person.groups),
        "used_authenticator_attr": [f"[{authenticator}]"],
    }
    opened = {name for part in scope.split() for name in SCOPES.get(part, ())}
    told: dict[str, Claim] = {"sub": person.subject}
    for name, found in values.items():
        if found and name in opened:
            told[name] = found if len(found) > 1 else found[0]
    return told


def with_parents(groups: Iterable[str]) -> list[str]:
    """Return *groups* with the root and every group above them, sorted."""
    found = {"/"}
    for group in groups:
        parts = group.strip("/").split("/")
        found.update("/" + "/".join(parts[: depth + 1]) for depth in range(len(parts)))
    return sorted(found)


def may_use_portal(person: Person) -> bool:
    """Tell whether *person* is in the users' group."""
    return USERS_GROUP in with_parents(person.groups)
