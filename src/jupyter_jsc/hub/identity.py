# SPDX-License-Identifier: BSD-3-Clause
"""What auth_state keeps of a user's rights, and the identity that is made of it. Pure functions.

=================  ====================================================================================================
``accounts``       accounts of the provider's claim with account entries
``pushed``         ``{"time", "accounts"}``: a list that the operators pushed; counts instead of ``accounts`` until the
                   provider tells the claim again
``entitled``       accounts of resource entitlements
``entitlements``   entitlements and groups with all that follows from them, for the rules of groups
``group``          the group that the user chose to act in; None: all of theirs
``login``          how the user logged in
=================  ====================================================================================================

Written by :mod:`.authenticator` and :mod:`.access`; :func:`identity_of` is the only reader.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_jsc.config.base import Pattern
from jupyter_jsc.rights import accounts, entitlements
from jupyter_jsc.rights.identity import Account, Identity

_MOST_CHARACTERS = 200_000
"""So much of entitlements is kept: auth_state is decrypted with every request."""


@dataclass(frozen=True)
class Claims:
    """The names of the provider's claims; an empty one is not there."""

    accounts: str
    entitlements: str
    groups: str


def rights_of(
    user_info: Mapping[str, Any], claims: Claims, namespaces: Sequence[Pattern]
) -> tuple[dict[str, Any], int]:
    """Return what auth_state keeps of the rights that the provider tells, and how many account entries were skipped.

    Resource entitlements of *namespaces* give accounts.
    """
    told = user_info.get(claims.entitlements)
    listed, skipped = accounts.parse_accounts(user_info.get(claims.accounts))
    entitled, skipped_too = accounts.parse_accounts(None, told, namespaces)
    rights = {
        "accounts": accounts.to_list(listed),
        "entitled": accounts.to_list(entitled),
        "entitlements": _bounded([*entitlements.expand(told), *entitlements.expand(user_info.get(claims.groups))]),
    }
    if claims.accounts in user_info:
        rights["pushed"] = None
    return rights, skipped + skipped_too


def _bounded(values: Sequence[str]) -> list[str]:
    sizes = itertools.accumulate(map(len, values))
    return [value for value, size in zip(values, sizes, strict=True) if size <= _MOST_CHARACTERS]


def identity_of(user: Any, auth_state: Mapping[str, Any] | None) -> Identity:
    """Return JupyterHub's *user* as rights are computed for; what is no part of an auth_state of ours gives none."""
    state = auth_state or {}
    pushed, login, group = state.get("pushed"), state.get("login"), state.get("group")
    listed = accounts.of_auth_state(pushed if isinstance(pushed, Mapping) else state)
    entitled = accounts.of_auth_state({"accounts": state.get("entitled")})
    authenticator = login.get("authenticator") if isinstance(login, Mapping) else None
    told = state.get("entitlements")
    return Identity(
        user=user.name,
        accounts=_united(listed, entitled),
        entitlements=tuple(value for value in told if isinstance(value, str)) if isinstance(told, list) else (),
        authenticator=authenticator if isinstance(authenticator, str) else "",
        admin=bool(user.admin),
        group=group if isinstance(group, str) else None,
    )


def _united(*lists: tuple[Account, ...]) -> tuple[Account, ...]:
    return tuple(dict.fromkeys(itertools.chain(*lists)))
