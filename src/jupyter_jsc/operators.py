# SPDX-License-Identifier: BSD-3-Clause
"""What the hub tells operators of labs and starts. The hub and the dashboard import these models."""

from datetime import datetime
from typing import Any

from jupyter_jsc.wire import Message

LARGEST_PAGE = 200
"""So many labs are told at once, at most."""
LONGEST_HOURS = 168
"""So far back failures are told, at most."""


class EventLine(Message):
    """One line of a start's history."""

    id: int
    time: datetime
    sender: str
    code: str
    progress: int
    text: str
    details: str


class StartRecord(Message):
    """One attempt to run a lab, as the journal has it now."""

    start_id: str
    lab_id: str
    user: str
    server: str
    system: str
    state: str
    """``submitted``, ``waiting``, ``queued``, ``starting``, ``running``, ``reconnecting``; once it is over, its outcome."""
    options: dict[str, Any]
    groups: list[str]
    configuration: str
    created: datetime
    ended: datetime | None = None
    ends: datetime | None = None
    """When the time limit will end the lab."""
    cleaned: bool
    """Whether job and tunnel are proven gone after the end."""
    handle: str | None
    host: str | None
    port: int | None
    last: EventLine | None = None
    """The newest event, where it is known without asking for the history."""

    @property
    def is_open(self) -> bool:
        """Whether it has no outcome yet."""
        return self.ended is None


class Story(Message):
    """A start with all its events, and the lab's other starts, the newest first."""

    start: StartRecord
    events: list[EventLine]
    others: list[StartRecord]


class LabPage(Message):
    """Some of the labs that were asked for: the newest start of each, or starts whose id was asked for."""

    labs: list[StartRecord]
    total: int
    offset: int


class Cause(Message):
    """Why starts failed, in the words of their last event, with how many did."""

    text: str
    count: int


class SystemStarts(Message):
    """The labs of one system."""

    states: dict[str, int]
    """State → labs in use now."""
    begun: int
    """Starts of the last hour."""
    failed: int
    """Those of them that failed."""
    causes: list[Cause]


class Hour(Message):
    """What happened in one hour."""

    begin: datetime
    begun: int
    failed: int


class Overview(Message):
    """How the portal is, as the hub knows it."""

    time: datetime
    configuration: str
    systems: dict[str, SystemStarts]
    silent: dict[str, datetime]
    """Manager, or ``tunnelmgr`` → since when it has not answered the hub; those that do answer are not in there."""
    hours: list[Hour]
    """The last 24, the oldest first."""


class FailureGroup(Message):
    """Starts of one system that failed for the same reason."""

    system: str
    cause: str
    count: int
    users: int
    """How many users met it."""
    newest: datetime
    starts: list[StartRecord]
    """Some of them, the newest first."""


class Failures(Message):
    """The starts that failed in a time, by cause and system, the newest first."""

    since: datetime
    groups: list[FailureGroup]
    total: int
    """How many starts failed; the groups may hold fewer."""


class OpenStart(Message):
    """A start that is open, or whose job and tunnel are not yet proven gone."""

    start_id: str
    lab_id: str
    user: str
    server: str
    ended: bool


class OpenStarts(Message):
    """All of them."""

    starts: list[OpenStart]
