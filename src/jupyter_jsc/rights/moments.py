# SPDX-License-Identifier: BSD-3-Clause
"""What of the configuration depends on the hour: maintenance now and soon. Pure; called by :mod:`.options`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jupyter_jsc.config.base import Text
from jupyter_jsc.config.notices import Maintenance
from jupyter_jsc.config.systems import System
from jupyter_jsc.rights import texts
from jupyter_jsc.rights.tree import FREE
from jupyter_jsc.wire import SystemHealth

_AHEAD = timedelta(days=7)
"""So long before it begins a maintenance is told of."""


@dataclass(frozen=True)
class SystemMoment:
    """What stands against a start on a system now, and what users should know beforehand."""

    blocked: Text = FREE
    partitions: Mapping[str, Text] = field(default_factory=dict)
    """Partitions that are blocked."""
    notice: Text = FREE


_QUIET = SystemMoment()


def moment_of(
    key: str, system: System, maintenance: Mapping[str, Maintenance], health: SystemHealth | None, now: datetime
) -> SystemMoment:
    """Return what holds on a system at *now*; *health* never blocks, for a site that is asked may have come back."""
    mine = [item for item in maintenance.values() if key in item.systems and (item.ends is None or item.ends > now)]
    broken = health is not None and not health.available
    if not mine and not broken:
        return _QUIET
    blocked = FREE
    partitions: dict[str, Text] = {}
    notices = []
    for item in mine:
        keys = [name for name in system.partitions if item.partitions is None or name in item.partitions]
        names = ", ".join(system.partitions[name].label or name for name in keys)
        label = system.label if item.partitions is None else f"{system.label} {names}"
        if not keys:
            continue
        if item.begins > now:
            if item.begins - now <= _AHEAD:
                notices.append(texts.maintenance_to_come(label, item))
        elif item.partitions is None:
            blocked = blocked or texts.in_maintenance(label, item)
        else:
            for name in keys:
                one = f"{system.label} {system.partitions[name].label or name}"
                partitions.setdefault(name, texts.in_maintenance(one, item))
    if health is not None and broken and not blocked:
        notices.append(texts.unavailable(system.label, health.text))
    return SystemMoment(blocked, partitions, texts.together(notices) if notices else FREE)
