# SPDX-License-Identifier: BSD-3-Clause
"""The software that can be chosen with an option in a partition. Pure; called by :mod:`.catalogue`."""

from collections.abc import Mapping

from jupyter_jsc.config.stacks import Software, SoftwareSet
from jupyter_jsc.config.systems import PartitionKind
from jupyter_jsc.rights.tree import SoftwareChoice, SoftwareSetChoice


class Shelf:
    """All software of a configuration, by where it can be used."""

    def __init__(self, software: Mapping[str, SoftwareSet]) -> None:
        self._sets = sorted(software.items(), key=lambda item: item[1].order)
        self._choices = {
            (key, name, default): _choice(item, default=default)
            for key, one in self._sets
            for name, item in one.items.items()
            for default in (False, True)
        }
        self._known: dict[tuple[str, str, PartitionKind], dict[str, SoftwareSetChoice]] = {}

    def sets(self, system: str, option: str, kind: PartitionKind) -> dict[str, SoftwareSetChoice]:
        """Return the sets in their order, with what they offer here; a set with nothing to offer is left out."""
        place = system, option, kind
        if (found := self._known.get(place)) is None:
            found = self._known[place] = self._make(system, option, kind)
        return found

    def _make(self, system: str, option: str, kind: PartitionKind) -> dict[str, SoftwareSetChoice]:
        sets = {}
        for key, one in self._sets:
            items = {
                name: self._choices[key, name, item.by_default(option)]
                for name, item in one.items.items()
                if item.fits(system, option, kind)
            }
            if items:
                sets[key] = SoftwareSetChoice(one.label, one.kind, items)
        return sets


def _choice(software: Software, *, default: bool) -> SoftwareChoice:
    documentation = "" if software.documentation is None else str(software.documentation)
    return SoftwareChoice(software.label, software.description, documentation, default)
