# SPDX-License-Identifier: BSD-3-Clause
"""Under which accounts and projects a user may use which partitions of a system, and with which reservations. Pure.

Called by :mod:`.options`. Options that are open in the same way share one answer, and accounts with the same partitions
share one mapping: most users have many entries that are alike.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from jupyter_jsc.rights.offers import Grant, SystemOffer, united
from jupyter_jsc.rights.tree import Place

Opened = Mapping[str, Mapping[str, int]]
"""Unix account → project → bits of the partitions that its entries open."""

_Needed = tuple[tuple[int, int], ...]
"""Bits of partitions, and of the reservations of which one must be chosen there."""


class Found(NamedTuple):
    """What grants open to a user."""

    accounts: Mapping[str, Mapping[str, Mapping[str, Place]]]
    """Unix account → project → partition."""
    partitions: int
    """Bits of all partitions in it."""
    reservations: int
    """Bits of all reservations in it."""


class _Row(NamedTuple):
    """The partitions of one account and project."""

    places: Mapping[str, Place]
    partitions: int
    reservations: int


class Places:
    """The places of one user on one system."""

    def __init__(self, offer: SystemOffer, opened: Opened, now: datetime) -> None:
        self._offer = offer
        self._opened = opened
        self._alive = offer.reservations.alive(now)
        self._by_project: dict[str, int] = {}
        self._rows: dict[tuple[int, _Needed, int], _Row] = {}
        self._found: dict[tuple[Grant, ...], Found] = {}

    def under(self, grants: tuple[Grant, ...]) -> Found:
        """Return where any of *grants* lets the user start."""
        if (found := self._found.get(grants)) is None:
            found = self._found[grants] = self._search(grants)
        return found

    def _search(self, grants: tuple[Grant, ...]) -> Found:
        accounts: dict[str, dict[str, Mapping[str, Place]]] = {}
        partitions = reservations = 0
        for account, projects in self._opened.items():
            fitting = [grant for grant in grants if grant.accounts is None or grant.accounts.fits(account)]
            own = self._offer.reservations.of_account(account) if self._alive and fitting else 0
            rows: dict[str, Mapping[str, Place]] = {}
            for project, opened in projects.items() if fitting else ():
                row = self._row(fitting, project, opened, own)
                if row.places:
                    rows[project] = row.places
                    partitions |= row.partitions
                    reservations |= row.reservations
            if rows:
                accounts[account] = rows
        return Found(accounts, partitions, reservations)

    def _row(self, grants: list[Grant], project: str, opened: int, own: int) -> _Row:
        free = 0
        needed: _Needed = ()
        for grant in grants:
            if grant.projects is None or grant.projects.fits(project):
                if grant.reservations is None:
                    free |= grant.partitions & opened
                elif grant.partitions & opened:
                    needed = (*needed, (grant.partitions & opened, grant.reservations))
        usable = (own | self._of_project(project)) & self._alive if self._alive else 0
        key = (free, needed, usable)
        if (row := self._rows.get(key)) is None:
            row = self._rows[key] = self._make(free, needed, usable)
        return row

    def _of_project(self, project: str) -> int:
        if (found := self._by_project.get(project)) is None:
            found = self._by_project[project] = self._offer.reservations.of_project(project)
        return found

    def _make(self, free: int, needed: _Needed, usable: int) -> _Row:
        index = self._offer.reservations
        places: dict[str, Place] = {}
        partitions = reservations = 0
        for bit, name in enumerate(self._offer.names):
            here = usable & index.partitions[bit]
            required = not free >> bit & 1
            if required:
                here &= united(reserved for opened, reserved in needed if opened >> bit & 1)
                if not here:
                    continue
            places[name] = Place(index.names(here), required)
            partitions |= 1 << bit
            reservations |= here
        return _Row(places, partitions, reservations)
