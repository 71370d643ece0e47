# SPDX-License-Identifier: BSD-3-Clause
"""What operators ask of the journal: queries over all users' starts, in one read-only session each.

Called by :mod:`.operators`, in the journal's thread for reading. Everything is bounded: pages of labs, a number of failures.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from jupyter_jsc.hub.records import Event, Start
from jupyter_jsc.hub.tables import EventRow, StartRow
from jupyter_jsc.operators import (
    Cause,
    EventLine,
    FailureGroup,
    Failures,
    Hour,
    LabPage,
    StartRecord,
    Story,
    SystemStarts,
)

_MOST_FAILURES = 2000
_MOST_ENDED = 100_000
_STARTS_SHOWN = 10
_CAUSES_SHOWN = 3
_OTHERS_SHOWN = 20
_STATE_FROM_PROGRESS = ((100, "running"), (45, "starting"), (25, "queued"), (0, "submitted"))
_STATE_OF_CODE = {"waiting": "waiting", "reconnecting": "reconnecting"}


@dataclass(frozen=True)
class Wanted:
    """Which labs are asked for."""

    search: str
    system: str
    state: str
    offset: int
    limit: int


@dataclass(frozen=True)
class Ended:
    """What is counted of a start that is over."""

    system: str
    outcome: str
    created: datetime
    cause: str
    """The words of its last event, if it failed."""


def labs(session: Session, wanted: Wanted) -> LabPage:
    """Return a page of labs, the newest starts first."""
    matching = select(StartRow).where(*_conditions(wanted))
    total = session.scalar(select(func.count()).select_from(matching.subquery())) or 0
    ordered = matching.order_by(StartRow.created.desc(), StartRow.start_id)
    rows = session.scalars(ordered.offset(wanted.offset).limit(wanted.limit)).all()
    return LabPage(labs=_records(session, rows), total=total, offset=wanted.offset)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    newer = aliased(StartRow)
    newest = ~select(newer).where(newer.lab_id == StartRow.lab_id, newer.created > StartRow.created).exists()
    found: list[ColumnElement[bool]] = []
    if wanted.search:
        named = or_(
            StartRow.user.icontains(wanted.search, autoescape=True),
            StartRow.lab_id.startswith(wanted.search, autoescape=True),
        )
        # A start's id leads to that start, however many came after it.
        found.append(or_(and_(newest, named), StartRow.start_id.startswith(wanted.search, autoescape=True)))
    else:
        found.append(newest)
    if wanted.system:
        found.append(StartRow.options["system"].as_string() == wanted.system)
    if wanted.state == "open":
        found.append(StartRow.outcome.is_(None))
    elif wanted.state == "failed":
        found.append(StartRow.outcome == "failed")
    return found


def story(session: Session, start_id: str) -> Story | None:
    """Return a start with its history, or None."""
    row = session.get(StartRow, start_id)
    if row is None:
        return None
    events = session.scalars(select(EventRow).where(EventRow.start_id == start_id).order_by(EventRow.id)).all()
    others = (
        select(StartRow)
        .where(StartRow.lab_id == row.lab_id, StartRow.start_id != start_id)
        .order_by(StartRow.created.desc())
        .limit(_OTHERS_SHOWN)
    )
    return Story(
        start=_record(row, events[-1] if events else None),
        events=[_line(event) for event in events],
        others=_records(session, session.scalars(others).all()),
    )


def failures(session: Session, since: datetime) -> Failures:
    """Return what failed since then, by cause and system."""
    failed = and_(StartRow.outcome == "failed", StartRow.ended >= since)
    total = session.scalar(select(func.count()).select_from(StartRow).where(failed)) or 0
    newest = select(StartRow).where(failed).order_by(StartRow.ended.desc()).limit(_MOST_FAILURES)
    groups: defaultdict[tuple[str, str], list[StartRecord]] = defaultdict(list)
    for record in _records(session, session.scalars(newest).all()):
        groups[record.system, record.last.text if record.last else ""].append(record)
    return Failures(
        since=since,
        total=total,
        groups=[
            FailureGroup(
                system=system,
                cause=cause,
                count=len(starts),
                users=len({start.user for start in starts}),
                newest=starts[0].ended or starts[0].created,
                starts=starts[:_STARTS_SHOWN],
            )
            for (system, cause), starts in groups.items()
        ],
    )


def ended_since(session: Session, since: datetime) -> list[Ended]:
    """Return the starts that ended since then, as far as they are counted."""
    system = StartRow.options["system"].as_string()
    query: Select[Any] = (
        select(StartRow.start_id, system, StartRow.outcome, StartRow.created)
        .where(StartRow.ended >= since)
        .order_by(StartRow.ended.desc())
        .limit(_MOST_ENDED)
    )
    rows = session.execute(query).all()
    causes = _finals(session, since)
    return [
        Ended(where or "", outcome, created, causes.get(start_id, "")) for start_id, where, outcome, created in rows
    ]


def _finals(session: Session, since: datetime) -> dict[str, str]:
    query = (
        select(EventRow.start_id, EventRow.text)
        .join(StartRow, StartRow.start_id == EventRow.start_id)
        .where(StartRow.outcome == "failed", StartRow.ended >= since, EventRow.code == "failed")
        .limit(_MOST_ENDED)
    )
    return dict(session.execute(query).tuples().all())


def by_system(opened: Sequence[Start], ended: Sequence[Ended], since: datetime) -> dict[str, SystemStarts]:
    """Return for each system its labs in use by state, and the starts that began since then. Pure."""
    states: defaultdict[str, Counter[str]] = defaultdict(Counter)
    begun: Counter[str] = Counter()
    causes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for start in opened:
        states[start.system][state_of(start.outcome, start.last)] += 1
        begun[start.system] += start.created >= since
    for start_over in ended:
        if start_over.created >= since:
            begun[start_over.system] += 1
            if start_over.outcome == "failed":
                causes[start_over.system][start_over.cause] += 1
    return {
        system: SystemStarts(
            states=states[system],
            begun=begun[system],
            failed=causes[system].total(),
            causes=[Cause(text=text, count=count) for text, count in causes[system].most_common(_CAUSES_SHOWN)],
        )
        for system in sorted({*states, *begun, *causes})
    }


def by_hour(opened: Iterable[datetime], ended: Sequence[Ended], now: datetime) -> list[Hour]:
    """Return what began in each of the last 24 hours, and how much of it failed. Pure."""
    begun: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for created in opened:
        begun[_hours_before(created, now)] += 1
    for start in ended:
        begun[_hours_before(start.created, now)] += 1
        failed[_hours_before(start.created, now)] += start.outcome == "failed"
    return [
        Hour(begin=now - timedelta(hours=back + 1), begun=begun[back], failed=failed[back])
        for back in range(23, -1, -1)
    ]


def _hours_before(when: datetime, now: datetime) -> int:
    return int((now - when) / timedelta(hours=1))


def state_of(outcome: str | None, last: Event | EventRow | None) -> str:
    """Return in a word how far a start is, or its outcome. Pure."""
    if outcome is not None:
        return outcome
    if last is None:
        return "submitted"
    found = next(state for progress, state in _STATE_FROM_PROGRESS if last.progress >= progress)
    return _STATE_OF_CODE.get(last.code, found)


def _records(session: Session, rows: Sequence[StartRow]) -> list[StartRecord]:
    """Return the rows with the newest event of each."""
    ids = [row.start_id for row in rows]
    last: dict[str, EventRow] = {}
    for begin in range(0, len(ids), 500):
        some = ids[begin : begin + 500]
        newest = select(func.max(EventRow.id)).where(EventRow.start_id.in_(some)).group_by(EventRow.start_id)
        last |= {event.start_id: event for event in session.scalars(select(EventRow).where(EventRow.id.in_(newest)))}
    return [_record(row, last.get(row.start_id)) for row in rows]


def _record(row: StartRow, last: EventRow | None) -> StartRecord:
    return StartRecord(
        start_id=row.start_id,
        lab_id=row.lab_id,
        user=row.user,
        server=row.server,
        system=str(row.options.get("system", "")),
        state=state_of(row.outcome, last),
        options=row.options,
        groups=row.groups,
        configuration=row.configuration,
        created=row.created,
        ended=row.ended,
        ends=row.ends,
        cleaned=row.cleaned,
        handle=row.handle,
        host=row.host,
        port=row.port,
        last=_line(last) if last else None,
    )


def _line(event: EventRow) -> EventLine:
    return EventLine(
        id=event.id,
        time=event.time,
        sender=event.sender,
        code=event.code,
        progress=event.progress,
        text=event.text,
        details=event.details,
    )
