# SPDX-License-Identifier: BSD-3-Clause
"""The software that can be chosen with an option in a partition. Pure; called by :mod:`.offers`."""

from collections.abc import Mapping

from jupyter_jsc.config.stacks import Software, SoftwareSet
from jupyter_jsc.config.systems import PartitionKind
from jupyter_jsc.rights.tree import SoftwareChoice, SoftwareSetChoice


def software_for(
    software: Mapping[str, SoftwareSet], system: str, option: str, kind: PartitionKind
) -> dict[str, SoftwareSetChoice]:
    """Return the sets in their order, with what they offer here; a set with nothing to offer is left out."""
    sets = {}
    for key, item in sorted(software.items(), key=lambda pair: pair[1].order):
        items = {
            name: _choice(thing, option) for name, thing in item.items.items() if _fits(thing, system, option, kind)
        }
        if items:
            sets[key] = SoftwareSetChoice(item.label, item.kind, items)
    return sets


def _fits(software: Software, system: str, option: str, kind: PartitionKind) -> bool:
    return (
        (software.options is None or option in software.options)
        and (software.systems is None or system in software.systems)
        and (not software.compute_only or kind is PartitionKind.BATCH)
    )


def _choice(software: Software, option: str) -> SoftwareChoice:
    default = software.default if isinstance(software.default, bool) else option in software.default
    documentation = "" if software.documentation is None else str(software.documentation)
    return SoftwareChoice(software.label, software.description, documentation, default)
