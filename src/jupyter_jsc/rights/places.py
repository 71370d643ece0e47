# SPDX-License-Identifier: BSD-3-Clause
"""Under which accounts and projects a user may use which partitions of a system, and with which reservations. Pure.

Called by :mod:`.options`. Options that are open in the same way share one answer, and accounts with the same partitions
share one mapping: most users have many entries that are alike.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from jupyter_jsc.rights.offers import Offers, Opening, Payer, Row, SystemOffer
from jupyter_jsc.rights.patterns import united
from jupyter_jsc.rights.tree import Place

_MOST_ROWS = 2000

Opened = Mapping[str, Mapping[str, int]]
"""Unix account → project → bits of the partitions that its entries open."""


class Found(NamedTuple):
    """What an option opens to a user."""

    accounts: Mapping[str, Mapping[str, Mapping[str, Place]]]
    """Unix account → project → partition."""
    partitions: int
    """Bits of all partitions in it."""
    reservations: int
    """Bits of all reservations in it."""


class Places:
    """The places of one user on one system."""

    def __init__(self, offers: Offers, offer: SystemOffer, opened: Opened, now: datetime) -> None:
        self._offer = offer
        self._found: dict[Opening, Found] = {}
        self._payers: list[tuple[str, list[tuple[str, Payer]]]] = []
        """Unix account → project."""
        index = offer.reservations
        alive = index.alive(now)
        for account, projects in opened.items():
            fits, own = offers.accounts.fitted_by(account), index.of_account(account)
            payers = [
                (project, (bits, (own | index.of_project(project)) & alive, fits, offers.projects.fitted_by(project)))
                for project, bits in projects.items()
            ]
            self._payers.append((account, payers))

    def under(self, opening: Opening) -> Found:
        """Return where *opening* lets the user start."""
        if (found := self._found.get(opening)) is None:
            found = self._found[opening] = self._search(opening)
        return found

    def _search(self, opening: Opening) -> Found:
        accounts: dict[str, dict[str, Mapping[str, Place]]] = {}
        partitions = reservations = 0
        known = self._offer.rows.setdefault(opening, {})
        if len(known) > _MOST_ROWS:
            known.clear()
        for account, projects in self._payers:
            rows: dict[str, Mapping[str, Place]] = {}
            for project, payer in projects:
                if (row := known.get(payer)) is None:
                    row = known[payer] = _row(self._offer, opening, payer)
                if row.partitions:
                    rows[project] = row.places
                    partitions |= row.partitions
                    reservations |= row.reservations
            if rows:
                accounts[account] = rows
        return Found(accounts, partitions, reservations)


def _row(offer: SystemOffer, opening: Opening, payer: Payer) -> Row:
    opened, usable, account, project = payer
    grants = [
        grant
        for grant in opening.restricted
        if grant.accounts & account == grant.accounts and grant.projects & project == grant.projects
    ]
    free = opening.free | united(grant.partitions for grant in grants if grant.reservations is None)
    places: dict[str, Place] = {}
    partitions = reservations = 0
    for place, name in enumerate(offer.names):
        bit = 1 << place
        here = usable & offer.reservations.partitions[place]
        required = not free & bit
        if required:
            here &= united(grant.reservations or 0 for grant in grants if grant.partitions & bit)
        if opened & bit and (here or not required):
            places[name] = Place(offer.reservations.names(here), required)
            partitions |= bit
            reservations |= here
    return Row(places, partitions, reservations)
