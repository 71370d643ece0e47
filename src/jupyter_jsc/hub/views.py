# SPDX-License-Identifier: BSD-3-Clause
"""What the templates print, made of labs and journal events. Pure functions; every sentence of the pages' cards.

Called by :mod:`.pages` with the time and the language to print for; nothing here asks anybody anything.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from jupyter_jsc.config.base import Language
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.completion import complete
from jupyter_jsc.hub.labs import Lab
from jupyter_jsc.hub.records import Event, Start
from jupyter_jsc.hub.sentences import STEPS, Told, details_of, labels_of, tell
from jupyter_jsc.hub.words import NOTHING, Said, facts, said
from jupyter_jsc.rights.tree import OptionTree
from jupyter_jsc.times import Moment, ago, duration, left

PHASES = ("submitted", "queued", "starting", "tunnel", "ready")
_PHASE_OF_CODE = {
    "submitted": 0,
    "waiting": 0,
    "accepted": 0,
    "queued": 1,
    "running": 2,
    "lab_starting": 2,
    "lab_waiting": 2,
    "lab_step": 2,
    "lab_step_done": 2,
    "lab_step_warning": 2,
    "lab_step_failed": 2,
    "lab_listening": 3,
    "tunnel_waiting": 3,
    "tunnel_open": 3,
    "ready": 4,
    "reconnecting": 4,
    "lab_ending": 4,
}
_WARNINGS = frozenset({"lab_step_warning", "lab_step_failed", "lab_ending"})
_PHASE_FROM_PROGRESS = ((100, 4), (75, 3), (45, 2), (25, 1), (0, 0))
_WORDS = ("submitted", "queued", "starting", "starting", "ready")
_FINAL = frozenset({"failed", "cancelled", "stopped", "ended"})

_ADVICE = (
    "The system did not take the job. Unless it says above what to do, check partition and resources, or choose another system.",
    "The job did not leave the queue. Try again, or choose another partition.",
    "The lab's last lines of output stand below. Try again; if they name what is missing, change the options.",
    "The lab ran, but the portal could not connect to it. Try again in a minute.",
    "The lab was ready before it ended. Start it again when you need it.",
)
_RANK = {"running": 0, "reconnecting": 0, "starting": 1, "stopping": 1, "stopped": 2}


@dataclass(frozen=True)
class View:
    """With what labs and starts are looked at."""

    now: datetime
    language: Language
    configuration: Configuration
    """The one in force."""
    versions: Mapping[str, Configuration] = field(default_factory=dict)
    """Earlier ones, as far as starts that are shown were made with them."""

    def of(self, start: Start) -> Configuration:
        """Return the configuration that *start* was made with, or the one in force where that is not known."""
        return self.versions.get(start.configuration, self.configuration)

    def tell(self, event: Event, start: Start, *, step: str = "") -> Told:
        """Return what an event of *start* says; *step* is the code of the step that ran before it."""
        return tell(event, start, self.of(start), self.language, step=step)


@dataclass(frozen=True)
class Phase:
    """One step of a start; ``state`` is ``done``, ``now``, ``next``, or where it ended ``broken`` or ``stopped``."""

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
    text: Told
    details: str
    warning: bool


@dataclass(frozen=True)
class Card:
    """A lab as a card of the list, and as the head of its own page."""

    server: str
    title: str
    state: str
    """The lab's state, or ``failed`` for a stopped lab whose last start failed: colour and icon follow."""
    word: str
    note: Told
    moment: Moment | None
    """When it stopped, or when the last word of it came."""
    left: Moment | None
    """How long the time limit still lets it run."""
    facts: tuple[str, ...]
    phases: tuple[Phase, ...]
    percent: int
    url: str
    problem: str
    """Why the saved options are no longer possible."""
    blocked: Said
    """Why they cannot be started just now."""


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

    what: Told
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
    end_state = "broken" if outcome == "failed" else "stopped"
    state = "done" if index < current else ("now" if outcome is None else end_state)
    return Phase(PHASES[index], state, took)


def _phase_of(event: Event) -> int:
    if event.code in _PHASE_OF_CODE:
        return _PHASE_OF_CODE[event.code]
    return next(phase for progress, phase in _PHASE_FROM_PROGRESS if event.progress >= progress)


def _percent(events: Sequence[Event], configuration: Configuration) -> int:
    return max((_progress(event, configuration) for event in _until_end(events)), default=0)


def _progress(event: Event, configuration: Configuration) -> int:
    words = configuration.texts.get(event.code)
    return event.progress if words is None or words.progress is None else words.progress


def _until_end(events: Sequence[Event]) -> Iterable[Event]:
    """Return the events before the final one; a late word of the site after it is no progress."""
    return itertools.takewhile(lambda event: event.code not in _FINAL, events)


def card(lab: Lab, view: View, tree: OptionTree) -> Card:
    """Return the card of one lab; *tree* says why it cannot be started, if so."""
    start = lab.start
    in_use = lab.state != "stopped" and start is not None
    plain = Card(
        server=lab.server,
        title=lab.title,
        state=lab.state,
        word=lab.state,
        note=Told(),
        moment=None,
        left=None,
        facts=facts(start.options, view.of(start), view.language)
        if in_use and start
        else facts(lab.options, view.configuration, view.language),
        phases=(),
        percent=0,
        url=lab.url,
        problem="" if in_use else _problem(lab, tree, view.language),
        blocked=NOTHING if in_use else said(lab.blocked, view.language),
    )
    if lab.state == "stopped":
        return _stopped(plain, start, view)
    if lab.state == "starting":
        return _starting(plain, start, view)
    if lab.state == "reconnecting":
        return replace(
            plain, note=_portal("The portal was restarted and connects to the lab again. Your work goes on.")
        )
    if lab.state == "stopping":
        return replace(plain, note=_portal("The job and its connection are being ended."))
    return replace(plain, left=left(start.ends, view.now) if start and start.ends else None)


def _problem(lab: Lab, tree: OptionTree, language: Language) -> str:
    """Return why the saved options are no longer possible, in the words of the form."""
    if not lab.problem or not tree.systems:
        return lab.problem
    return " ".join(change.mistake for change in complete(lab.options, tree, language).changes) or lab.problem


def _stopped(plain: Card, start: Start | None, view: View) -> Card:
    if start is None:
        return replace(plain, word="not started yet")
    outcome = start.outcome or "stopped"
    tells = outcome in {"failed", "ended"} and start.last is not None and start.last.code in _FINAL and start.last.text
    return replace(
        plain,
        state="failed" if outcome == "failed" else "stopped",
        word=outcome,
        note=view.tell(start.last, start) if tells and start.last else Told(),
        moment=ago(start.ended or start.created, view.now),
    )


def _starting(plain: Card, start: Start | None, view: View) -> Card:
    if start is None or start.last is None:
        return replace(plain, word="submitted", phases=phases([], None, view.now))
    last = start.last
    return replace(
        plain,
        word="waiting" if last.code == "waiting" else _WORDS[_phase_of(last)],
        note=view.tell(last, start),
        moment=ago(last.time, view.now),
        phases=tuple(replace(phase, took="") for phase in phases([last], None, view.now)),
        percent=_percent([last], view.of(start)),
    )


def cards(labs: Sequence[Lab], view: View, tree: OptionTree) -> list[Card]:
    """Return all cards: running, in the making, stopped; within by last use, newest first."""

    def key(lab: Lab) -> tuple[int, float, str]:
        used = (lab.start.ended or lab.start.created).timestamp() if lab.start else float("inf")
        return _RANK[lab.state], -used, lab.title

    return [card(lab, view, tree) for lab in sorted(labs, key=key)]


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


def history(start: Start, events: Sequence[Event], view: View, *, latest: bool) -> History:
    """Return one start opened up: phases with times, events, and what to do if it failed."""
    return History(
        start_id=start.start_id,
        created=ago(start.created, view.now),
        latest=latest,
        phases=phases(events, start.outcome, view.now),
        percent=_percent(events, view.of(start)),
        lines=tuple(_lines(events, start, view)),
        failure=_failure(start, events, view) if start.outcome == "failed" else None,
    )


def _failure(start: Start, events: Sequence[Event], view: View) -> Failure:
    final = next((event for event in reversed(events) if event.code == "failed"), None)
    reached = max((_phase_of(event) for event in _until_end(events)), default=0)
    return Failure(
        what=view.tell(final, start) if final else _portal("The start failed."),
        advice=_ADVICE[reached],
        support=view.configuration.support,
        start_id=start.start_id,
        details=final.details if final else "",
    )


def _lines(events: Sequence[Event], start: Start, view: View) -> Iterable[Line]:
    """Yield a line for each event but beginnings of steps that are over: how a step ended says what it was."""
    steps = [event for event in events if event.code.startswith("lab_step")]
    over = {begun.id for begun, then in itertools.pairwise(steps) if then.code != "lab_step"}
    step = ""
    for event in events:
        step = event.details if event.code in STEPS else step
        if event.id not in over or event.code != "lab_step":
            yield _line(event, start, view, step)


def _line(event: Event, start: Start, view: View, step: str) -> Line:
    system = labels_of(start, view.of(start))["system"]
    senders = {"hub": "Portal", "manager": "Portal", "site": system, "lab": "Lab"}
    told = view.tell(event, start, step=step)
    return Line(
        id=event.id,
        clock=f"{event.time.astimezone(UTC):%H:%M:%S} UTC",
        moment=ago(event.time, view.now),
        sender=senders.get(event.sender, event.sender),
        text=told,
        details=details_of(event, told),
        warning=event.code in _WARNINGS,
    )


def _portal(sentence: str) -> Told:
    return Told(Said(sentence))
