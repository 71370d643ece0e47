# SPDX-License-Identifier: BSD-3-Clause
"""HPC account entries of the identity provider → what a user may use. Pure functions.

An entry is a string of four comma-separated fields: Unix account, key of system and partitions, project, person.
Called by :mod:`.authenticator` at login and at each refresh.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from jupyter_jsc.config.model import Configuration

_MOST_ENTRIES = 2000
_LONGEST_ENTRY = 500
_SAFE = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")


@dataclass(frozen=True)
class Account:
    """A Unix account with one project on one system, and the partitions that it opens there."""

    system: str
    account: str
    project: str
    partitions: tuple[str, ...]

    @classmethod
    def of_auth_state(cls, auth_state: Mapping[str, Any] | None) -> list[Self]:
        """Return the accounts that :meth:`to_dict` put into *auth_state*; none if there is none."""
        entries = (auth_state or {}).get("accounts", [])
        return [
            cls(entry["system"], entry["account"], entry["project"], tuple(entry["partitions"])) for entry in entries
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the account as JSON for auth_state."""
        return asdict(self) | {"partitions": list(self.partitions)}


def parse_accounts(entries: object, configuration: Configuration) -> tuple[list[Account], int]:
    """Return the accounts in *entries*, and how many entries were skipped.

    A provider sends one value as a string, several as a list, none not at all. What is not exactly an
    entry of a configured system gives no rights.
    """
    found: dict[tuple[str, str, str], set[str]] = {}
    skipped = 0
    for entry in _strings(entries):
        matches = list(_parse(entry, configuration))
        skipped += not matches
        for key, partitions in matches:
            found.setdefault(key, set()).update(partitions)
    accounts = [
        Account(*key, partitions=tuple(name for name in configuration.systems[key[0]].partitions if name in opened))
        for key, opened in sorted(found.items())
    ]
    return accounts, skipped


def _strings(entries: object) -> Iterable[object]:
    if entries is None:
        return []
    return entries[:_MOST_ENTRIES] if isinstance(entries, list) else [entries]


def _parse(entry: object, configuration: Configuration) -> Iterable[tuple[tuple[str, str, str], list[str]]]:
    if not isinstance(entry, str) or len(entry) > _LONGEST_ENTRY or entry.count(",") != 3:
        return
    account, key, project, person = (field.strip() for field in entry.split(","))
    project = project.lower()
    if not (_SAFE.match(account) and _SAFE.match(project) and person):
        return
    for name, system in configuration.systems.items():
        if key in system.account_keys:
            yield (name, account, project), list(system.account_keys[key])
