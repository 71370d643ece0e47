# SPDX-License-Identifier: BSD-3-Clause
"""What is known of a user when rights are computed, and of the world at that moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jupyter_jsc.wire import SystemHealth


@dataclass(frozen=True)
class Account:
    """An HPC account entry: a Unix account with one project, and the key that the configuration maps to partitions."""

    account: str
    key: str
    project: str


@dataclass(frozen=True)
class Identity:
    """A user as the identity provider and the hub know them."""

    user: str
    accounts: tuple[Account, ...] = ()
    entitlements: tuple[str, ...] = ()
    """Entitlements and groups of the provider, with their ancestors; see :mod:`.entitlements`."""
    authenticator: str = ""
    """The provider's word for how the user logged in."""
    admin: bool = False
    group: str | None = None
    """The group that the user acts in; None: all of theirs."""


@dataclass(frozen=True)
class LiveLab:
    """A lab in use, as limits count it."""

    title: str
    system: str
    option: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """The world at the moment of the question."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    labs: tuple[LiveLab, ...] = ()
    """The user's labs in use, without the one that is asked about."""
    group_labs: Mapping[str, int] = field(default_factory=dict)
    """Group → labs in use of all its members."""
    health: Mapping[str, SystemHealth] = field(default_factory=dict)
    """System → what its manager says of it."""
