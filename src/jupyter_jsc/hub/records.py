# SPDX-License-Identifier: BSD-3-Clause
"""What the journal tells: events and starts as they stand, frozen. Made by :mod:`.journal`, read by everybody."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """One line of a start's history."""

    id: int
    start_id: str
    lab_id: str
    user: str
    server: str
    time: datetime
    sender: str
    code: str
    progress: int
    text: str
    details: str

    def document(self) -> dict[str, Any]:
        """Return the event as JSON for the API and the stream."""
        return asdict(self) | {"time": self.time.isoformat()}


@dataclass(frozen=True)
class Start:
    """One attempt to run a lab, as it stands now. ``outcome`` is None while it is open."""

    start_id: str
    lab_id: str
    user: str
    server: str
    options: dict[str, Any]
    created: datetime
    handle: str | None
    host: str | None
    port: int | None
    ends: datetime | None
    outcome: str | None
    ended: datetime | None
    cleaned: bool
    last: Event | None
    """The newest event."""
    configuration: str = ""
    """The version of the configuration that it was checked with; empty if that is not known."""
    groups: tuple[str, ...] = ()
    """The groups whose rights it was checked with."""

    @property
    def system(self) -> str:
        """The key of the system that the lab runs on."""
        return str(self.options.get("system", ""))

    def document(self) -> dict[str, Any]:
        """Return the start as JSON for the API."""
        times = {"created": self.created, "ended": self.ended, "ends": self.ends}
        return {
            "start_id": self.start_id,
            "options": self.options,
            "configuration": self.configuration,
            "groups": list(self.groups),
            "outcome": self.outcome,
            "last": self.last.document() if self.last else None,
            **{name: value.isoformat() if value else None for name, value in times.items()},
        }


@dataclass(frozen=True)
class Push:
    """The operator's last push of a user's account list."""

    user: str
    time: datetime
    entries: int
    service: str
    """Who pushed."""
