# SPDX-License-Identifier: BSD-3-Clause
"""The starts that the journal keeps in memory: the newest of each lab, and those that are open or not yet clean.

Owned by :class:`.journal.Journal`, which enters everything that it has written; nothing here asks the database.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from jupyter_jsc.hub.records import Start


class Memory:
    """Starts by id and by lab; open ones by user, and counted by group."""

    def __init__(self) -> None:
        self._starts: dict[str, Start] = {}
        self._newest: dict[str, str] = {}
        self._open: dict[str, dict[str, Start]] = {}
        self._groups: Counter[str] = Counter()

    def latest(self, lab_id: str) -> Start | None:
        """Return the lab's newest start, whether open or ended."""
        return self._starts.get(self._newest.get(lab_id, ""))

    def known(self, start_id: str) -> Start | None:
        """Return a start that is the newest of its lab, open, or not yet cleaned up."""
        return self._starts.get(start_id)

    def unfinished(self) -> list[Start]:
        """Return the starts that are open or not yet cleaned up, the oldest first."""
        return sorted((start for start in self._starts.values() if not start.cleaned), key=lambda start: start.created)

    def open_of(self, user: str) -> list[Start]:
        """Return the user's open starts, the oldest first."""
        return sorted(self._open.get(user, {}).values(), key=lambda start: start.created)

    @property
    def open_by_group(self) -> Mapping[str, int]:
        """Group → open starts of all its members."""
        return self._groups

    def enter(self, start: Start) -> None:
        """Take over what is written of a start; a start that is over, clean and not the newest is let go."""
        self._count(start)
        self._starts[start.start_id] = start
        newest = self.latest(start.lab_id)
        if newest is None or newest.created <= start.created:
            if newest and newest.start_id != start.start_id and newest.cleaned:
                del self._starts[newest.start_id]
            self._newest[start.lab_id] = start.start_id
        elif start.cleaned:
            del self._starts[start.start_id]

    def drop(self, lab_id: str, start_ids: Iterable[str]) -> None:
        """Forget starts of a lab that are deleted; they are over."""
        gone = set(start_ids)
        for start_id in gone:
            self._starts.pop(start_id, None)
        if self._newest.get(lab_id) in gone:
            del self._newest[lab_id]

    def _count(self, start: Start) -> None:
        opened = self._open.setdefault(start.user, {})
        if start.outcome is None:
            if start.start_id not in opened:
                self._groups.update(start.groups)
            opened[start.start_id] = start
        elif opened.pop(start.start_id, None) is not None:
            self._groups.subtract(start.groups)
            self._groups = +self._groups
        if not opened:
            del self._open[start.user]
