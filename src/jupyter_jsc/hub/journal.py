# SPDX-License-Identifier: BSD-3-Clause
"""The journal: every start and its events, append-only, in the hub's database; replayed to every watcher.

Each operation is one short transaction of a synchronous engine in one worker thread. JupyterHub holds a
synchronous session in the event loop's thread: a SQLite transaction of an asynchronous engine that spans two
awaits would wait for a loop which waits for its lock.

Called by :mod:`.starts` (writes), :mod:`.stream`, :mod:`.handlers` and the pages (reads).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, delete, event, func, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from jupyter_jsc import wire
from jupyter_jsc.errors import Unavailable
from jupyter_jsc.hub.tables import EventRow, StartRow

Result = TypeVar("Result")

_WATCHER_EVENTS = 1000
_PAGE = 200
MIGRATIONS = Path(__file__).parent / "migrations"


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

    @property
    def system(self) -> str:
        """The key of the system that the lab runs on."""
        return str(self.options.get("system", ""))

    def document(self) -> dict[str, Any]:
        """Return the start as JSON for the API."""
        times = {name: value.isoformat() if value else None for name, value in self._times().items()}
        return {
            "start_id": self.start_id,
            "options": self.options,
            "outcome": self.outcome,
            "last": self.last.document() if self.last else None,
            **times,
        }

    def _times(self) -> dict[str, datetime | None]:
        return {"created": self.created, "ended": self.ended, "ends": self.ends}


class Journal:
    """Starts and events. ``latest`` and ``open_starts`` answer from memory; everything else asks the database."""

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._engine = create_engine(url)
        self._starts: dict[str, Start] = {}
        self._newest: dict[str, str] = {}
        self._watchers: dict[asyncio.Queue[Event | None], str] = {}
        self._writing: set[asyncio.Task[Any]] = set()

    def open(self) -> None:
        """Bring the tables up to date and read what ``latest`` and ``open_starts`` need. Blocks; called once."""
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _for_sqlite)
        _migrate(self._engine)
        with Session(self._engine) as session:
            newest = (
                select(StartRow.lab_id, func.max(StartRow.created).label("at")).group_by(StartRow.lab_id).subquery()
            )
            of_lab = (StartRow.lab_id == newest.c.lab_id) & (StartRow.created == newest.c.at)
            rows = list(session.scalars(select(StartRow).join(newest, of_lab)))
            rows += session.scalars(select(StartRow).where(StartRow.cleaned.is_(False)))
            for row in rows:
                last = select(EventRow).where(EventRow.start_id == row.start_id).order_by(EventRow.id.desc()).limit(1)
                self._remember(_start(row, session.scalar(last)))

    def close(self) -> None:
        """Wait for what is being written, then let go of the database."""
        self._thread.shutdown()
        self._engine.dispose()

    def latest(self, lab_id: str) -> Start | None:
        """Return the lab's newest start, whether open or ended."""
        return self._starts.get(self._newest.get(lab_id, ""))

    def known(self, start_id: str) -> Start | None:
        """Return a start that is the newest of its lab, open, or not yet cleaned up."""
        return self._starts.get(start_id)

    def unfinished(self) -> list[Start]:
        """Return the starts that are open or not yet cleaned up, the oldest first."""
        return sorted((start for start in self._starts.values() if not start.cleaned), key=lambda start: start.created)

    async def open_start(self, start_id: str, lab_id: str, user: str, server: str, options: dict[str, Any]) -> Start:
        """Write a new start down; return it once it is in the database."""
        row = StartRow(
            start_id=start_id, lab_id=lab_id, user=user, server=server, options=options, created=_now(), cleaned=False
        )

        def write(session: Session) -> Start:
            session.add(row)
            session.flush()
            return _start(row, None)

        return await self._write(write, self._remember)

    async def update(self, start_id: str, **values: Any) -> Start:
        """Set columns of a start (``handle``, ``secret``, ``host``, ``port``, ``ends``, ``cleaned``)."""

        def write(session: Session) -> Start:
            row = session.get_one(StartRow, start_id)
            for name, value in values.items():
                setattr(row, name, value)
            return _start(row, None)

        def note(written: Start) -> None:
            before = self._starts.get(start_id)
            self._remember(replace(written, last=before.last if before else None))

        return await self._write(write, note)

    async def end(self, start_id: str, outcome: str, sender: str, final: wire.Event) -> bool:
        """Close a start with its final event; return False, changing nothing, if it has an outcome already."""

        def write(session: Session) -> tuple[Start, Event] | None:
            row = session.get_one(StartRow, start_id)
            if row.outcome is not None:
                return None
            row.outcome, row.ended = outcome, _now()
            line = _add_event(session, row, sender, final)
            return _start(row, line), _event(line)

        return await self._write(write, self._show) is not None

    async def add_event(self, start_id: str, sender: str, line: wire.Event) -> Event:
        """Append a line to a start's history and show it to every watcher; progress never steps back."""

        def write(session: Session) -> tuple[Start, Event]:
            row = session.get_one(StartRow, start_id)
            # Asked here, not before: two senders may be on their way at the same time.
            reached = session.scalar(select(func.max(EventRow.progress)).where(EventRow.start_id == start_id)) or 0
            progress = max(line.progress, reached)
            added = _add_event(session, row, sender, line.model_copy(update={"progress": progress}))
            return _start(row, added), _event(added)

        return (await self._write(write, self._show))[1]

    async def secret(self, start_id: str) -> bytes | None:
        """Return the encrypted token of the site for this start."""
        return await self._write(lambda session: session.get_one(StartRow, start_id).secret)

    async def starts(self, lab_id: str, limit: int = 50) -> list[Start]:
        """Return the newest starts of a lab, the newest first, without their events."""
        query = select(StartRow).where(StartRow.lab_id == lab_id).order_by(StartRow.created.desc()).limit(limit)
        return await self._write(lambda session: [_start(row, None) for row in session.scalars(query)])

    async def events(self, start_id: str) -> list[Event]:
        """Return a start's history, the oldest event first."""
        query = select(EventRow).where(EventRow.start_id == start_id).order_by(EventRow.id)
        return await self._write(lambda session: [_event(row) for row in session.scalars(query)])

    async def last_id(self) -> int:
        """Return the id of the newest event of all."""
        return await self._write(lambda session: session.scalar(select(func.max(EventRow.id))) or 0)

    async def follow(self, user: str, after: int) -> AsyncIterator[Event | None]:
        """Yield the user's events after event *after*, first those written already, then live ones, none twice.

        None says that the user's list of labs changed. A watcher that does not keep up is let go; it comes
        back with the id of its last event. Close the iterator to stop watching.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_WATCHER_EVENTS)
        self._watchers[queue] = user
        try:
            while page := await self._page(user, after):
                for line in page:
                    after = line.id
                    yield line
            while queue in self._watchers or not queue.empty():
                live = await queue.get()
                if live is None or live.id > after:
                    yield live
        finally:
            self._watchers.pop(queue, None)

    async def _page(self, user: str, after: int) -> list[Event]:
        query = select(EventRow).where(EventRow.user == user, EventRow.id > after).order_by(EventRow.id).limit(_PAGE)
        return await self._write(lambda session: [_event(row) for row in session.scalars(query)])

    def list_changed(self, user: str) -> None:
        """Tell the user's watchers that labs came, went or changed outside a start."""
        self._tell(user, None)

    async def forget(self, lab_id: str) -> None:
        """Delete the history of a lab that its user deleted; a start that is not cleaned up stays."""
        over = select(StartRow.start_id).where(StartRow.lab_id == lab_id, StartRow.cleaned.is_(True))

        def write(session: Session) -> list[str]:
            gone = list(session.scalars(over))
            session.execute(delete(EventRow).where(EventRow.start_id.in_(gone)))
            session.execute(delete(StartRow).where(StartRow.start_id.in_(gone)))
            return gone

        def note(gone: list[str]) -> None:
            for start_id in gone:
                self._starts.pop(start_id, None)
            if self._newest.get(lab_id) in gone:
                del self._newest[lab_id]

        await self._write(write, note)

    def _show(self, written: tuple[Start, Event] | None) -> None:
        if written is not None:
            self._remember(written[0])
            self._tell(written[1].user, written[1])

    def _tell(self, user: str, line: Event | None) -> None:
        for queue in [queue for queue, watched in self._watchers.items() if watched == user]:
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:
                del self._watchers[queue]

    def _remember(self, start: Start) -> None:
        self._starts[start.start_id] = start
        newest = self.latest(start.lab_id)
        if newest is None or newest.created <= start.created:
            if newest and newest.start_id != start.start_id and newest.cleaned:
                del self._starts[newest.start_id]
            self._newest[start.lab_id] = start.start_id
        elif start.cleaned:
            del self._starts[start.start_id]

    async def _write(self, work: Callable[[Session], Result], note: Callable[[Result], None] | None = None) -> Result:
        """Return what *work* returned, in one transaction; *note* takes it into memory.

        What was begun is finished, and noted, also if the caller is cancelled meanwhile: memory never lags behind.
        """

        def transaction() -> Result:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                return work(session)

        async def whole() -> Result:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
            except OperationalError as error:
                raise Unavailable("The portal's database does not answer at the moment.") from error
            if note is not None:
                note(result)
            return result

        task = asyncio.ensure_future(whole())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)


def _add_event(session: Session, row: StartRow, sender: str, line: wire.Event) -> EventRow:
    added = EventRow(
        start_id=row.start_id,
        lab_id=row.lab_id,
        user=row.user,
        server=row.server,
        time=_now(),
        sender=sender,
        **line.model_dump(),
    )
    session.add(added)
    session.flush()
    return added


def _event(row: EventRow) -> Event:
    return Event(**{field.name: getattr(row, field.name) for field in fields(Event)})


def _start(row: StartRow, last: EventRow | None) -> Start:
    values = {field.name: getattr(row, field.name) for field in fields(Start) if field.name != "last"}
    return Start(**values, last=_event(last) if last else None)


def _now() -> datetime:
    return datetime.now(UTC)


def _for_sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("PRAGMA synchronous=NORMAL")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
