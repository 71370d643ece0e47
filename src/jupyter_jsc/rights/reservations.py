# SPDX-License-Identifier: BSD-3-Clause
"""Which reservations of a system somebody may choose. Pure; called by :mod:`.offers` and :mod:`.options`.

Sets of reservations are the bits of a number, in the order of the configuration.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jupyter_jsc.config.notices import Reservation
from jupyter_jsc.rights.patterns import Patterns
from jupyter_jsc.rights.texts import not_begun
from jupyter_jsc.rights.tree import FREE, ReservationChoice


@dataclass(frozen=True)
class ReservationIndex:
    """The reservations of one system, so that those of a project or an account are found at once."""

    reservations: tuple[tuple[str, Reservation], ...]
    projects: tuple[Patterns, ...]
    accounts: tuple[Patterns, ...]
    partitions: tuple[int, ...]
    """For each partition of the system: the reservations that it may be used with."""

    @classmethod
    def of(
        cls, reservations: Mapping[str, Reservation], names: Sequence[str], batch: Collection[str]
    ) -> "ReservationIndex":
        """Return the index of *reservations* on a system with partitions *names*, of which *batch* have nodes to reserve."""
        items = tuple(reservations.items())
        return cls(
            items,
            tuple(Patterns(item.projects) for _, item in items),
            tuple(Patterns(item.accounts) for _, item in items),
            tuple(
                sum(
                    1 << place
                    for place, (_, item) in enumerate(items)
                    if name in batch and (item.partitions is None or name in item.partitions)
                )
                for name in names
            ),
        )

    def matching(self, patterns: Patterns) -> int:
        """Return the reservations whose names fit *patterns*."""
        return sum(1 << place for place, (key, _) in enumerate(self.reservations) if patterns.fits(key))

    def alive(self, now: datetime) -> int:
        """Return the reservations that have not ended."""
        return sum(
            1 << place for place, (_, item) in enumerate(self.reservations) if item.ends is None or item.ends > now
        )

    def of_project(self, project: str) -> int:
        """Return the reservations that *project* may use."""
        return sum(1 << place for place, patterns in enumerate(self.projects) if patterns.fits(project))

    def of_account(self, account: str) -> int:
        """Return the reservations that *account* may use."""
        return sum(1 << place for place, patterns in enumerate(self.accounts) if patterns.fits(account))

    def names(self, wanted: int) -> tuple[str, ...]:
        """Return the keys of *wanted*."""
        return tuple(key for place, (key, _) in enumerate(self.reservations) if wanted >> place & 1)

    def choices(self, wanted: int, now: datetime) -> dict[str, ReservationChoice]:
        """Return *wanted* as the form shows them; what has not begun is blocked."""
        return {
            key: ReservationChoice(
                item.description,
                FREE if item.begins is None or item.begins <= now else not_begun(key, item.begins),
            )
            for place, (key, item) in enumerate(self.reservations)
            if wanted >> place & 1
        }
