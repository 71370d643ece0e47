# SPDX-License-Identifier: BSD-3-Clause
"""What managers say of their systems, and whether each service answers. Asked by :mod:`.supervisor` at its interval.

Read by :class:`.portal.Portal` for what users may start, and by the hub's readiness.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jupyter_jsc import errors
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.clients import Clients
from jupyter_jsc.wire import SystemHealth

_TUNNELMGR = "tunnelmgr"


@dataclass(frozen=True)
class _Answer:
    """The newest news of a manager: what it said last, and since when it has been silent, if it is."""

    systems: Mapping[str, SystemHealth] = field(default_factory=dict)
    silent_since: datetime | None = None


class Health:
    """The newest answers."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._answers: dict[str, _Answer] = {}
        self._tunnelmgr: bool | None = None
        self._silent: dict[str, datetime] = {}

    async def ask_manager(self, name: str) -> None:
        """Ask a manager about its systems; a silence is an answer too."""
        try:
            systems = await (await self._clients.manager(name)).systems()
        except errors.JSCError:
            before = self._answers.get(name, _Answer())
            self._answers[name] = _Answer(before.systems, before.silent_since or datetime.now(UTC))
        else:
            self._answers[name] = _Answer(systems)

    async def ask_tunnelmgr(self) -> None:
        """Ask whether TunnelMgr is there."""
        try:
            await (await self._clients.tunnels()).request("GET", "/health/live", attempts=1)
        except errors.JSCError:
            self._tunnelmgr = False
            self._silent.setdefault(_TUNNELMGR, datetime.now(UTC))
        else:
            self._tunnelmgr = True
            self._silent.pop(_TUNNELMGR, None)

    @property
    def silent_since(self) -> dict[str, datetime]:
        """Manager, or ``tunnelmgr`` → since when it has not answered; those that do are not in there."""
        managers = {name: answer.silent_since for name, answer in self._answers.items()}
        return {name: since for name, since in managers.items() if since is not None} | self._silent

    def systems(self, configuration: Configuration) -> dict[str, SystemHealth]:
        """Return what is known of each system; one whose manager was not asked yet is not in there."""
        known: dict[str, SystemHealth] = {}
        for key, system in configuration.systems.items():
            answer = self._answers.get(system.manager)
            if answer is None:
                continue
            if answer.silent_since is not None:
                text = f"Nothing was heard of it since {answer.silent_since:%H:%M} UTC."
                known[key] = SystemHealth(available=False, text=text)
            elif key in answer.systems:
                known[key] = answer.systems[key]
        return known

    def services(self, configuration: Configuration) -> dict[str, str]:
        """Return manager or TunnelMgr → ``ok``, ``silent``, or ``unknown`` as long as nobody asked."""
        words = {None: "unknown", True: "ok", False: "silent"}
        answers = {name: self._answers.get(name) for name in configuration.managers}
        managers = {
            f"managers.{name}": words[answer.silent_since is None if answer else None]
            for name, answer in answers.items()
        }
        return managers | {_TUNNELMGR: words[self._tunnelmgr]}
