# SPDX-License-Identifier: BSD-3-Clause
"""The story of a start: facts, one time line of everybody who had a part in it, and the same as text to copy. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.operators import EventLine, StartRecord, Story
from jupyter_jsc.times import Moment, ago, duration

_SENDERS = {"hub": "Hub", "manager": "Manager", "site": "Site", "lab": "Lab"}
_TROUBLE = frozenset({"failed", "waiting", "tunnel_waiting", "reconnecting", "lab_step_failed", "lab_step_warning"})


_STEPS = frozenset({"lab_step", "lab_step_done"})
"""Their details are the step's own code."""


@dataclass(frozen=True)
class Line:
    """One event on the time line."""

    clock: str
    moment: Moment
    after: str
    """How long after the event before it."""
    sender: str
    code: str
    text: str
    details: str
    trouble: bool


@dataclass(frozen=True)
class Told:
    """A start, told."""

    start: StartRecord
    title: str
    state: str
    created: Moment
    took: str
    facts: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    text: str


def told(story: Story, configuration: Configuration, now: datetime) -> Told:
    """Return the story as the page prints it."""
    start = story.start
    facts = tuple((name, value) for name, value in _facts(start, configuration) if value)
    return Told(
        start=start,
        title=f"{start.server} of {start.user}",
        state=start.state,
        created=ago(start.created, now),
        took=duration((start.ended - start.created).total_seconds()) if start.ended else "",
        facts=facts,
        lines=tuple(_lines(story.events, now)),
        text=as_text(story, facts),
    )


def _facts(start: StartRecord, configuration: Configuration) -> list[tuple[str, str]]:
    options = start.options
    system = configuration.systems.get(start.system)
    resources = options.get("resources")
    numbers = ", ".join(f"{name} {value}" for name, value in resources.items()) if isinstance(resources, dict) else ""
    return [
        ("User", start.user),
        ("Lab", start.server),
        ("System", f"{system.label} ({start.system})" if system else f"{start.system} (not in the configuration)"),
        ("Option", str(options.get("option") or "")),
        ("Partition", str(options.get("partition") or "")),
        ("Reservation", str(options.get("reservation") or "")),
        ("Resources", numbers),
        ("Account", str(options.get("account") or "")),
        ("Project", str(options.get("project") or "")),
        ("Groups", ", ".join(start.groups)),
        ("Start id", start.start_id),
        ("Lab id", start.lab_id),
        ("Job", start.handle or ""),
        ("Listens at", f"{start.host}:{start.port}" if start.host else ""),
        ("Configuration", start.configuration),
        ("Begun", _exact(start.created)),
        ("Ended", _exact(start.ended) if start.ended else ""),
        ("Time limit", _exact(start.ends) if start.ends else ""),
        ("Cleaned up", _cleaned(start)),
    ]


def _cleaned(start: StartRecord) -> str:
    if start.ended is None:
        return ""
    return "yes: job and tunnel are proven gone" if start.cleaned else "not yet: job or tunnel may still be there"


def _lines(events: list[EventLine], now: datetime) -> list[Line]:
    lines: list[Line] = []
    before: datetime | None = None
    step = ""
    for event in events:
        step = event.text if event.code == "lab_step" else step
        gap = (event.time - before).total_seconds() if before else 0
        lines.append(
            Line(
                clock=f"{event.time.astimezone(UTC):%H:%M:%S} UTC",
                moment=ago(event.time, now),
                after=f"+{duration(gap)}" if gap >= 1 else "",
                sender=_SENDERS.get(event.sender, event.sender),
                code=f"{event.code} {event.details}" if event.code in _STEPS else event.code,
                text=f"{step}: done in {event.text}" if event.code == "lab_step_done" and step else event.text,
                details="" if event.code in _STEPS else event.details.strip(),
                trouble=event.code in _TROUBLE,
            )
        )
        before = event.time
    return lines


def as_text(story: Story, facts: tuple[tuple[str, str], ...]) -> str:
    """Return the story as text for a ticket or a mail."""
    rows = [f"{name + ':':<15}{_one_line(value)}" for name, value in facts]
    rows += ["", f"{'Outcome:':<15}{story.start.state}", ""]
    for event in story.events:
        sender = _SENDERS.get(event.sender, event.sender)
        rows.append(f"{_exact(event.time)}  {sender:<8}{event.code:<18}{_one_line(event.text)}".rstrip())
        rows += [f"    {line}" for line in event.details.strip().splitlines()]
    return "\n".join(rows)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _exact(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
