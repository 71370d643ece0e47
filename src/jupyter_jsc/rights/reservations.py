# SPDX-License-Identifier: BSD-3-Clause
"""Which reservations of a system somebody may choose. Pure; called by :mod:`.catalogue` and :mod:`.options`.

Sets of reservations are the bits of a number, in the order of the configuration.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from jupyter_jsc.config.notices import Reservation
from jupyter_jsc.rights.patterns import Lists, Patterns
from jupyter_jsc.rights.texts import not_begun
from jupyter_jsc.rights.tree import FREE, ReservationChoice


class ReservationIndex:
    """The reservations of one system, so that those of a project or an account are found at once."""

    def __init__(self, reservations: Mapping[str, Reservation], names: Sequence[str], batch: Collection[str]) -> None:
        """Index *reservations* on a system with partitions *names*, of which *batch* have nodes to reserve."""
        self._reservations = tuple(reservations.items())
        projects, accounts = Lists(), Lists()
        for item in reservations.values():
            projects.append(item.projects)
            accounts.append(item.accounts)
        self.of_project = projects.fitted_by
        self.of_account = accounts.fitted_by
        self.partitions = tuple(self._in_partition(name) if name in batch else 0 for name in names)
        """For each partition of the system: the reservations that it may be used with."""

    def matching(self, patterns: Patterns) -> int:
        """Return the reservations whose names fit *patterns*."""
        return self._where(lambda key, _: patterns.fits(key))

    def alive(self, now: datetime) -> int:
        """Return the reservations that have not ended."""
        return self._where(lambda _, item: item.ends is None or item.ends > now)

    def _in_partition(self, name: str) -> int:
        return self._where(lambda _, item: item.partitions is None or name in item.partitions)

    def _where(self, holds: Callable[[str, Reservation], bool]) -> int:
        return sum(1 << place for place, (key, item) in enumerate(self._reservations) if holds(key, item))

    def names(self, wanted: int) -> tuple[str, ...]:
        """Return the keys of *wanted*."""
        return tuple(key for place, (key, _) in enumerate(self._reservations) if wanted >> place & 1)

    def choices(self, wanted: int, now: datetime) -> dict[str, ReservationChoice]:
        """Return *wanted* as the form shows them; what has not begun is blocked."""
        return {
            key: ReservationChoice(
                item.description,
                FREE if item.begins is None or item.begins <= now else not_begun(key, item.begins),
            )
            for place, (key, item) in enumerate(self._reservations)
            if wanted >> place & 1
        }
