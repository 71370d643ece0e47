# SPDX-License-Identifier: BSD-3-Clause
"""The tree of everything that one user may choose. Made by :mod:`.options`, checked against by :mod:`.validate`.

What is in the tree is possible. ``blocked`` says why something that is possible cannot be started just now (maintenance,
a limit that other labs fill, a reservation that has not begun): it can be saved all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jupyter_jsc.config.base import Text
from jupyter_jsc.config.stacks import SoftwareKind
from jupyter_jsc.config.systems import PartitionKind, Resource

FREE = Text(en="")
"""Nothing blocks it."""

NOBODY = ""
"""Account and project of labs on systems that have neither."""


@dataclass(frozen=True)
class SoftwareChoice:
    """A thing that can be switched on or off."""

    label: str
    description: Text
    documentation: str
    default: bool


@dataclass(frozen=True)
class SoftwareSetChoice:
    """A set of software, with what can be chosen here."""

    label: Text
    kind: SoftwareKind
    items: Mapping[str, SoftwareChoice]


@dataclass(frozen=True)
class ReservationChoice:
    """A reservation that may be chosen."""

    description: Text
    blocked: Text = FREE


@dataclass(frozen=True)
class ImageChoice:
    """A container image that may be chosen."""

    label: str
    description: Text


@dataclass(frozen=True)
class PartitionChoice:
    """A partition, with the limits that hold for this user; these stand in the labels of its resources already."""

    label: str
    description: Text
    kind: PartitionKind
    resources: Mapping[str, Resource]
    software: Mapping[str, SoftwareSetChoice]
    blocked: Text = FREE


@dataclass(frozen=True)
class Place:
    """A partition under one account and project."""

    reservations: tuple[str, ...] = ()
    """Keys of the reservations that may be chosen."""
    reservation_required: bool = False
    """Whether one of them must be."""


@dataclass(frozen=True)
class OptionChoice:
    """A service option on one system."""

    label: str
    description: Text
    default: bool
    deprecated: Text | None
    accounts: Mapping[str, Mapping[str, Mapping[str, Place]]]
    """Unix account → project → key of a partition. :data:`NOBODY` twice where the system has neither."""
    partitions: Mapping[str, PartitionChoice]
    """The partitions that any of the accounts opens, in the configuration's order."""
    blocked: Text = FREE
    images: Mapping[str, ImageChoice] = field(default_factory=dict)
    """In a cluster, what labs can be made of; the first is chosen for a new lab. Elsewhere none."""


@dataclass(frozen=True)
class SystemChoice:
    """A system, with everything that can be chosen on it."""

    label: str
    description: Text
    needs_account: bool
    options: Mapping[str, OptionChoice]
    reservations: Mapping[str, ReservationChoice]
    blocked: Text = FREE
    notice: Text = FREE
    """What users should know beforehand: a maintenance to come, what the site says of itself."""


@dataclass(frozen=True)
class OptionTree:
    """Everything that one user may choose, systems and options in the configuration's order."""

    systems: Mapping[str, SystemChoice]
    groups: tuple[str, ...] = ()
    """The groups whose rights these are."""
    blocked: Text = FREE
    """Also why there is nothing at all, for a user who is in no group."""
