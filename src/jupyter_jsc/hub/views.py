# SPDX-License-Identifier: BSD-3-Clause
"""What the templates print, made of labs and journal events. Pure functions; every sentence of the pages' cards.

Called by :mod:`.pages` with the time to print for; nothing here asks anybody anything.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.labs import Lab
from jupyter_jsc.hub.records import Event, Start

PHASES = ("submitted", "queued", "starting", "tunnel", "ready")
_PHASE_OF_CODE = {
    "submitted": 0,
    "waiting": 0,
    "accepted": 0,
    "queued": 1,
    "running": 2,
    "lab_starting": 2,
    "lab_waiting": 2,
    "lab_listening": 3,
    "tunnel_waiting": 3,
    "tunnel_open": 3,
    "ready": 4,
    "reconnecting": 4,
}
_PHASE_FROM_PROGRESS = ((100, 4), (75, 3), (45, 2), (25, 1), (0, 0))
_WORDS = ("submitted", "queued", "starting", "starting", "ready")
_FINAL = frozenset({"failed", "cancelled", "stopped", "ended"})

SENTENCES = {
    "submitted": "The start is being submitted.",
    "waiting": "The system does not answer; the start waits and tries again.",
    "accepted": "The system has accepted the job.",
    "queued": "The job waits in the queue.",
    "running": "The job runs.",
    "lab_starting": "JupyterLab is starting.",
    "lab_waiting": "The lab waits until it reaches the portal.",
    "lab_listening": "JupyterLab listens.",
    "tunnel_waiting": "The connection to the lab cannot be opened yet.",
    "tunnel_open": "The connection to the lab is open.",
    "ready": "The lab is ready.",
    "reconnecting": "The portal looks for the lab again.",
    "failed": "The start failed.",
    "cancelled": "The start was cancelled.",
    "stopped": "The lab was stopped.",
    "ended": "The lab has ended.",
}
"""What an event without words of its own says, by code."""

_ADVICE = (
    "The system did not take the job. Check partition and resources, or choose another system.",
    "The job did not leave the queue. Try again, or choose another partition.",
    "The lab's last lines of output stand below. Try again; if they name what is missing, change the options.",
    "The lab ran, but the portal could not connect to it. Try again in a minute.",
    "The lab was ready before it ended. Start it again when you need it.",
)
_RANK = {"running": 0, "reconnecting": 0, "starting": 1, "stopping": 1, "stopped": 2}


@dataclass(frozen=True)
class Moment:
    """A point in time: relative words, the exact time in UTC for the hover, ISO 8601 for machines."""

    text: str
    exact: str
    iso: str


@dataclass(frozen=True)
class Phase:
    """One step of a start; ``state`` is ``done``, ``now``, ``next`` or ``broken``."""

    label: str
    state: str
    took: str


@dataclass(frozen=True)
class Line:
    """One event as the history shows it."""

    id: int
    clock: str
    moment: Moment
    sender: str
    text: str
    details: str


@dataclass(frozen=True)
class Card:
    """A lab as a card of the list, and as the head of its own page."""

    server: str
    title: str
    state: str
    """The lab's state, or ``failed`` for a stopped lab whose last start failed: colour and icon follow."""
    word: str
    note: str
    moment: Moment | None
    """When it stopped, or when the last word of it came."""
    left: Moment | None
    """How long the time limit still lets it run."""
    facts: tuple[str, ...]
    phases: tuple[Phase, ...]
    percent: int
    url: str
    problem: str


@dataclass(frozen=True)
class PastStart:
    """A line in the list of a lab's starts."""

    start_id: str
    created: Moment
    word: str
    took: str


@dataclass(frozen=True)
class Failure:
    """What happened, in one sentence, and what to do, in another."""

    what: str
    advice: str
    support: str
    start_id: str
    details: str


@dataclass(frozen=True)
class History:
    """One start opened up."""

    start_id: str
    created: Moment
    latest: bool
    phases: tuple[Phase, ...]
    percent: int
    lines: tuple[Line, ...]
    failure: Failure | None


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that matter."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min" if whole >= 600 or not whole % 60 else f"{minutes} min {whole % 60} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ago(when: datetime, now: datetime) -> Moment:
    """Return how long ago *when* was."""
    seconds = (now - when).total_seconds()
    days = (now.date() - when.date()).days
    if seconds < 10:
        text = "just now"
    elif seconds < 60:
        text = f"{int(seconds)} s ago"
    elif seconds < 3600:
        text = f"{int(seconds) // 60} min ago"
    elif seconds < 24 * 3600:
        text = f"{int(seconds) // 3600} h ago"
    elif days <= 1:
        text = "yesterday"
    elif days < 14:
        text = f"{days} days ago"
    else:
        text = f"on {when.day} {when:%b %Y}"
    return _moment(text, when)


def left(ends: datetime, now: datetime) -> Moment:
    """Return how long it is until *ends*."""
    seconds = (ends - now).total_seconds()
    return _moment(f"{duration(seconds - seconds % 60 if seconds > 60 else seconds)} left", ends)


def _moment(text: str, when: datetime) -> Moment:
    utc = when.astimezone(UTC)
    return Moment(text, f"{utc:%Y-%m-%d %H:%M:%S} UTC", utc.isoformat(timespec="seconds"))


def facts(options: Mapping[str, Any], configuration: Configuration) -> tuple[str, ...]:
    """Return where and with what a lab runs, as short words; what the configuration no longer has by its key."""
    system = configuration.systems.get(str(options.get("system")))
    partition = system.partitions.get(str(options.get("partition"))) if system else None
    option = configuration.options.get(str(options.get("option")))
    words = [
        system.label if system else options.get("system"),
        (partition.label if partition else "") or options.get("partition"),
        resources(options.get("resources") or {}, {} if partition is None else partition.resources),
        option.label if option else options.get("option"),
        f"project {options['project']}" if options.get("project") else "",
    ]
    return tuple(str(word) for word in words if word)


def resources(values: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return chosen resources as words: ``2 nodes, 4 GPUs per node, 1 h``."""
    words = []
    for key in sorted(values, key=lambda key: {"nodes": 0, "gpus": 1, "runtime": 3}.get(key, 2)):
        value = values[key]
        if key == "nodes":
            words.append(f"{value} node" if value == 1 else f"{value} nodes")
        elif key == "gpus":
            each = " per node" if values.get("nodes", 1) != 1 else ""
            words.append((f"{value} GPU" if value == 1 else f"{value} GPUs") + each)
        elif key == "runtime" and isinstance(value, int):
            words.append(duration(value * 60))
        else:
            label = known[key].label if key in known else key
            unit = f" {known[key].unit}" if key in known and known[key].unit else ""
            words.append(f"{label} {value}{unit}")
    return ", ".join(words)


def phases(events: Sequence[Event], outcome: str | None, now: datetime) -> tuple[Phase, ...]:
    """Return the row of phases with the time that each took, as far as *events* tell."""
    reached: dict[int, datetime] = {}
    current = -1
    end = next((event.time for event in events if event.code in _FINAL), now)
    for event in _until_end(events):
        if (index := _phase_of(event)) > current:
            current = index
            reached[index] = event.time
    return tuple(_phase(index, current, reached, outcome, end) for index in range(len(PHASES)))


def _phase(index: int, current: int, reached: Mapping[int, datetime], outcome: str | None, end: datetime) -> Phase:
    ready = len(PHASES) - 1
    if index > current:
        return Phase(PHASES[index], "next", "")
    if index == ready:
        return Phase(PHASES[index], "done", "")
    until = min((time for later, time in reached.items() if later > index), default=end)
    took = duration((until - reached[index]).total_seconds()) if index in reached else ""
    state = "done" if index < current else ("now" if outcome is None else "broken")
    return Phase(PHASES[index], state, took)


def _phase_of(event: Event) -> int:
    if event.code in _PHASE_OF_CODE:
        return _PHASE_OF_CODE[event.code]
    return next(phase for progress, phase in _PHASE_FROM_PROGRESS if event.progress >= progress)


def _percent(events: Sequence[Event]) -> int:
    return max((event.progress for event in _until_end(events)), default=0)


def _until_end(events: Sequence[Event]) -> Iterable[Event]:
    """Return the events before the final one; a late word of the site after it is no progress."""
    return itertools.takewhile(lambda event: event.code not in _FINAL, events)


def card(lab: Lab, configuration: Configuration, now: datetime) -> Card:
    """Return the card of one lab."""
    start = lab.start
    last = start.last if start else None
    in_use = lab.state != "stopped" and start is not None
    plain = Card(
        server=lab.server,
        title=lab.title,
        state=lab.state,
        word=lab.state,
        note="",
        moment=None,
        left=None,
        facts=facts(start.options if in_use and start else lab.options, configuration),
        phases=(),
        percent=0,
        url=lab.url,
        problem="" if in_use else lab.problem,
    )
    if lab.state == "stopped":
        return _stopped(plain, start, now)
    if lab.state == "starting":
        return _starting(plain, last, now)
    if lab.state == "reconnecting":
        return replace(plain, note="The portal was restarted and connects to the lab again. Your work goes on.")
    if lab.state == "stopping":
        return replace(plain, note="The job and its connection are being ended.")
    return replace(plain, left=left(start.ends, now) if start and start.ends else None)


def _stopped(plain: Card, start: Start | None, now: datetime) -> Card:
    if start is None:
        return replace(plain, word="not started yet")
    outcome = start.outcome or "stopped"
    text = start.last.text if start.last and start.last.code in _FINAL else ""
    return replace(
        plain,
        state="failed" if outcome == "failed" else "stopped",
        word=outcome,
        note=text if outcome in {"failed", "ended"} else "",
        moment=ago(start.ended or start.created, now),
    )


def _starting(plain: Card, last: Event | None, now: datetime) -> Card:
    if last is None:
        return replace(plain, word="submitted", phases=phases([], None, now))
    word = "waiting" if last.code == "waiting" else _WORDS[_phase_of(last)]
    return replace(
        plain,
        word=word,
        note=_words(last),
        moment=ago(last.time, now),
        phases=tuple(replace(phase, took="") for phase in phases([last], None, now)),
        percent=_percent([last]),
    )


def cards(labs: Sequence[Lab], configuration: Configuration, now: datetime) -> list[Card]:
    """Return all cards: running, in the making, stopped; within by last use, newest first."""

    def key(lab: Lab) -> tuple[int, float, str]:
        used = (lab.start.ended or lab.start.created).timestamp() if lab.start else float("inf")
        return _RANK[lab.state], -used, lab.title

    return [card(lab, configuration, now) for lab in sorted(labs, key=key)]


def past_starts(starts: Sequence[Start], now: datetime) -> list[PastStart]:
    """Return the lines of the list of starts, in the order given."""
    return [
        PastStart(
            start.start_id,
            ago(start.created, now),
            start.outcome or "open",
            duration(((start.ended or now) - start.created).total_seconds()),
        )
        for start in starts
    ]


def history(
    start: Start, events: Sequence[Event], configuration: Configuration, now: datetime, *, latest: bool
) -> History:
    """Return one start opened up: phases with times, events, and what to do if it failed."""
    return History(
        start_id=start.start_id,
        created=ago(start.created, now),
        latest=latest,
        phases=phases(events, start.outcome, now),
        percent=_percent(events),
        lines=tuple(_line(event, _label(start, configuration), now) for event in events),
        failure=_failure(start, events, configuration) if start.outcome == "failed" else None,
    )


def _failure(start: Start, events: Sequence[Event], configuration: Configuration) -> Failure:
    final = next((event for event in reversed(events) if event.code == "failed"), None)
    reached = max((_phase_of(event) for event in _until_end(events)), default=0)
    return Failure(
        what=_words(final) if final else SENTENCES["failed"],
        advice=_ADVICE[reached],
        support=configuration.support,
        start_id=start.start_id,
        details=final.details if final else "",
    )


def _line(event: Event, system: str, now: datetime) -> Line:
    senders = {"hub": "Portal", "manager": "Portal", "site": system, "lab": "Lab"}
    return Line(
        id=event.id,
        clock=f"{event.time.astimezone(UTC):%H:%M:%S} UTC",
        moment=ago(event.time, now),
        sender=senders.get(event.sender, event.sender),
        text=_words(event),
        details=event.details.strip(),
    )


def _label(start: Start, configuration: Configuration) -> str:
    system = configuration.systems.get(start.system)
    return system.label if system else start.system


def _words(event: Event) -> str:
    return event.text or SENTENCES.get(event.code, event.code)
