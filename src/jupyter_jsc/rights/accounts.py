# SPDX-License-Identifier: BSD-3-Clause
"""HPC account entries of the identity provider → accounts. Pure functions, called at login, refresh and push.

Two forms are known:

- a string of four comma-separated fields: Unix account, key of system and partitions, project, person;
- a resource entitlement ``urn:<namespace>:res:<key>:<project>:act:<account>:<type>[#<authority>]`` (AARC-G069 with the
  resources of AARC-G027), percent-encoded.

What is not exactly one of them gives no rights. Which systems and partitions a key opens is the configuration's matter,
asked for when options are computed (:mod:`.options`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from jupyter_jsc.config.base import Pattern, matches
from jupyter_jsc.rights.identity import Account

_MOST_ENTRIES = 2000
_LONGEST_ENTRY = 500
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Unix accounts and projects: what also may stand in options, job descriptions and paths."""
_KEY = re.compile(r"[!-~]{1,100}")


def parse_accounts(
    entries: object, entitlements: object = None, namespaces: Sequence[Pattern] = ()
) -> tuple[tuple[Account, ...], int]:
    """Return the accounts in *entries* and *entitlements* in a fixed order, and how many entries were skipped.

    A provider sends one value as a string, several as a list, none not at all. Of *entitlements* only those count that
    are about accounts and whose URN namespace matches one of *namespaces*: a provider also passes on what others say.
    """
    found: set[Account] = set()
    skipped = 0
    own = [value for value in _strings(entitlements) if _about_account(value, list(namespaces))]
    for values, parse in ((_strings(entries), _entry), (own, _resource)):
        for number, value in enumerate(values):
            account = parse(value) if number < _MOST_ENTRIES and isinstance(value, str) else None
            if account is None:
                skipped += 1
            else:
                found.add(account)
    return tuple(sorted(found, key=lambda account: (account.account, account.project, account.key))), skipped


def to_list(accounts: Iterable[Account]) -> list[list[str]]:
    """Return *accounts* as JSON for auth_state; :func:`of_auth_state` reads it again."""
    return [[account.account, account.key, account.project] for account in accounts]


def of_auth_state(auth_state: Mapping[str, Any] | None) -> tuple[Account, ...]:
    """Return the accounts that :func:`to_list` put into *auth_state* as ``accounts``; what is no such thing is left out.

    So an auth_state that another version of the portal wrote gives no rights and does no harm.
    """
    entries = (auth_state or {}).get("accounts")
    if not isinstance(entries, list):
        return ()
    accounts = (_account(*entry) for entry in entries if isinstance(entry, list) and len(entry) == 3)
    return tuple(account for account in accounts if account is not None)


def _strings(entries: object) -> list[object]:
    if entries is None:
        return []
    if not isinstance(entries, list | tuple):
        return [entries]
    # Some providers' libraries take a single string apart into its characters.
    if len(entries) > 1 and all(isinstance(entry, str) and len(entry) == 1 for entry in entries):
        return ["".join(entries)]
    return list(entries)


def _entry(entry: str) -> Account | None:
    if len(entry) > _LONGEST_ENTRY or entry.count(",") != 3:
        return None
    account, key, project, person = (field.strip() for field in entry.split(","))
    return _account(account, key, project) if person else None


def _about_account(value: object, namespaces: list[Pattern]) -> bool:
    if not isinstance(value, str) or value[:4].lower() != "urn:" or ":act:" not in value:
        return False
    namespace, about, _ = value[4:_LONGEST_ENTRY].partition(":res:")
    return bool(about) and matches(f"urn:{namespace}", namespaces)


def _resource(value: str) -> Account | None:
    parts = value.partition("#")[0].strip().split(":", 40) if len(value) <= _LONGEST_ENTRY else []
    if len(parts) < 8 or parts[-6] != "res" or parts[-3] != "act" or not all(parts):
        return None
    key, project, account = (unquote(parts[place]) for place in (-5, -4, -2))
    return _account(account, key, project)


def _account(account: object, key: object, project: object) -> Account | None:
    if not (isinstance(account, str) and isinstance(key, str) and isinstance(project, str)):
        return None
    # Matched before it is lowered: the Kelvin sign lowers to a plain k.
    if not (_SAFE.fullmatch(account) and _KEY.fullmatch(key) and _SAFE.fullmatch(project)):
        return None
    return Account(account, key, project.lower())
