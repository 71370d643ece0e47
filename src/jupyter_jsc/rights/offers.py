# SPDX-License-Identifier: BSD-3-Clause
"""What a configuration offers to the members of some groups, before accounts and the moment are looked at.

Made by :mod:`.catalogue`, used by :mod:`.options` and its helpers. Partitions and reservations of a system are counted
through, and sets of them are the bits of a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jupyter_jsc.config.stacks import ServiceOption
from jupyter_jsc.config.systems import System
from jupyter_jsc.rights.patterns import Lists
from jupyter_jsc.rights.reservations import ReservationIndex
from jupyter_jsc.rights.tree import ImageChoice, PartitionChoice, Place


class Grant(NamedTuple):
    """Where one of the groups opens an option on a system."""

    partitions: int
    """Bits of partitions."""
    accounts: int
    """Bit of the list of patterns that the Unix account must fit (:class:`Offers`); 0 for any."""
    projects: int
    """The same for the project."""
    reservations: int | None
    """Bits of the reservations of which one must be chosen; None: none must."""

    @property
    def unrestricted(self) -> bool:
        """Whether it only depends on the partition."""
        return not self.accounts and not self.projects and self.reservations is None


class Opening(NamedTuple):
    """Where all groups together open an option on a system."""

    free: int
    """Bits of the partitions that are open under any account and project."""
    restricted: tuple[Grant, ...]
    """What opens more."""


Payer = tuple[int, int, int, int]
"""What of an account and project decides over its places: bits of the partitions that its entries open, of the
reservations that it may use now, of the lists of patterns that the account fits, and of those that the project fits."""


class Row(NamedTuple):
    """The partitions of one account and project."""

    places: Mapping[str, Place]
    partitions: int
    """Bits of the partitions in it."""
    reservations: int
    """Bits of the reservations in it."""


@dataclass(frozen=True)
class OptionOffer:
    """An option on a system."""

    key: str
    option: ServiceOption
    opening: Opening
    partitions: Mapping[str, PartitionChoice]
    """Those that any of the grants opens."""
    all_partitions: int
    """Their bits."""
    groups: tuple[str, ...]
    """The groups that open it here; none where the configuration has no groups."""
    max_labs: int | None
    """The widest of their limits for a user's labs with it; None: no limit."""
    images: Mapping[str, ImageChoice]
    """What its labs can be made of here; none on HPC systems."""


@dataclass(frozen=True)
class SystemOffer:
    """A system, with what groups open on it in ``options`` and ``max_labs``."""

    key: str
    system: System
    names: tuple[str, ...]
    """Keys of its partitions, in the order of their bits."""
    keys: Mapping[str, int]
    """Key of an account entry → bits of the partitions that it opens."""
    any_entry: int
    """Bits of the partitions that any entry opens."""
    reservations: ReservationIndex
    options: tuple[OptionOffer, ...] = ()
    max_labs: int | None = None
    """The widest limit for a user's labs here; None: no limit."""
    rows: dict[Opening, dict[Payer, Row]] = field(default_factory=dict)
    """Rows that were made already (:mod:`.places`), for all groups."""


@dataclass(frozen=True)
class Offers:
    """Everything that the members of some groups may get."""

    accounts: Lists
    """Which lists of patterns Unix accounts fit; grants name these by their bits."""
    projects: Lists
    """The same for projects."""
    systems: tuple[SystemOffer, ...]
    """In the order of the form; those without options are left out."""
    by_key: Mapping[str, tuple[SystemOffer, ...]]
    """Key of an account entry → systems that it opens."""
