# SPDX-License-Identifier: BSD-3-Clause
"""The journal: every start and its events, append-only, in the hub's database; replayed to every watcher.

Each operation is one short transaction of a synchronous engine in one worker thread. JupyterHub holds a
synchronous session in the event loop's thread: a SQLite transaction of an asynchronous engine that spans two
awaits would wait for a loop which waits for its lock.

Called by :mod:`.starts` (writes), :mod:`.stream`, :mod:`.handlers` and the pages (reads).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, delete, event, func, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from jupyter_jsc import wire
from jupyter_jsc.errors import Unavailable
from jupyter_jsc.hub.memory import Memory
from jupyter_jsc.hub.records import Event, Push, Start
from jupyter_jsc.hub.tables import EventRow, PushRow, StartRow

Result = TypeVar("Result")

_WATCHER_EVENTS = 1000
_PAGE = 200
_EXPIRED = 200
"""So many starts are deleted in one transaction, which nobody waits for noticeably."""
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class NewConfiguration:
    """Tells every watcher that another version of the configuration is in force."""

    version: str


Word = Event | NewConfiguration | None
"""What a watcher hears. None: the user's list of labs changed."""


class Journal:
    """Starts and events. What :class:`.memory.Memory` holds is answered from there; all else asks the database."""

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._engine = create_engine(url)
        self._memory = Memory()
        self._watchers: dict[asyncio.Queue[Word], str] = {}
        self._writing: set[asyncio.Task[Any]] = set()

    def open(self) -> None:
        """Bring the tables up to date and read what is kept in memory. Blocks; called once."""
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
                self._memory.enter(_start(row, session.scalar(last)))

    def close(self) -> None:
        """Wait for what is being written, then let go of the database."""
        self._readers.shutdown()
        self._thread.shutdown()
        self._engine.dispose()

    def latest(self, lab_id: str) -> Start | None:
        """Return the lab's newest start, whether open or ended."""
        return self._memory.latest(lab_id)

    def known(self, start_id: str) -> Start | None:
        """Return a start that is the newest of its lab, open, or not yet cleaned up."""
        return self._memory.known(start_id)

    def unfinished(self) -> list[Start]:
        """Return the starts that are open or not yet cleaned up, the oldest first."""
        return self._memory.unfinished()

    def open_of(self, user: str) -> list[Start]:
        """Return the user's open starts, the oldest first."""
        return self._memory.open_of(user)

    @property
    def open_by_group(self) -> Mapping[str, int]:
        """Group → open starts of all its members."""
        return self._memory.open_by_group

    async def open_start(
        self,
        start_id: str,
        lab_id: str,
        user: str,
        server: str,
        options: dict[str, Any],
        *,
        configuration: str = "",
        groups: Sequence[str] = (),
    ) -> Start:
        """Write a new start down; return it once it is in the database."""
        row = StartRow(
            start_id=start_id,
            lab_id=lab_id,
            user=user,
            server=server,
            options=options,
            created=_now(),
            cleaned=False,
            configuration=configuration,
            groups=list(groups),
        )

        def write(session: Session) -> Start:
            session.add(row)
            session.flush()
            return _start(row, None)

        return await self._write(write, self._memory.enter)

    async def update(self, start_id: str, **values: Any) -> Start:
        """Set columns of a start (``handle``, ``secret``, ``host``, ``port``, ``ends``, ``cleaned``)."""

        def write(session: Session) -> Start:
            row = session.get_one(StartRow, start_id)
            for name, value in values.items():
                setattr(row, name, value)
            return _start(row, None)

        def note(written: Start) -> None:
            before = self._memory.known(start_id)
            self._memory.enter(replace(written, last=before.last if before else None))

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

    async def add_event(self, start_id: str, sender: str, line: wire.Event, *, once: bool = False) -> Event | None:
        """Append a line to a start's history and show it to every watcher; progress never steps back.

        With *once* nothing happens, and None is returned, if the sender has said the same in this start before.
        """

        def write(session: Session) -> tuple[Start, Event] | None:
            row = session.get_one(StartRow, start_id)
            same = (EventRow.sender == sender, EventRow.code == line.code, EventRow.text == line.text)
            if once and session.scalar(select(EventRow.id).where(EventRow.start_id == start_id, *same).limit(1)):
                return None
            # Asked here, not before: two senders may be on their way at the same time.
            reached = session.scalar(select(func.max(EventRow.progress)).where(EventRow.start_id == start_id)) or 0
            progress = max(line.progress, reached)
            added = _add_event(session, row, sender, line.model_copy(update={"progress": progress}))
            return _start(row, added), _event(added)

        written = await self._write(write, self._show)
        return written and written[1]

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

    async def read(self, query: Callable[[Session], Result]) -> Result:
        """Return what *query* reads, beside whatever is being written: one that takes long holds up no start."""

        def reading() -> Result:
            with Session(self._engine) as session:
                return query(session)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, reading)
        except OperationalError as error:
            raise Unavailable("The portal's database does not answer at the moment.") from error

    async def last_id(self) -> int:
        """Return the id of the newest event of all."""
        return await self._write(lambda session: session.scalar(select(func.max(EventRow.id))) or 0)

    async def follow(self, user: str, after: int) -> AsyncIterator[Word]:
        """Yield the user's events after event *after*, first those written already, then live ones, none twice.

        In between come words that are no events. A watcher that does not keep up is let go; it comes
        back with the id of its last event. Close the iterator to stop watching.
        """
        queue: asyncio.Queue[Word] = asyncio.Queue(_WATCHER_EVENTS)
        self._watchers[queue] = user
        try:
            while page := await self._page(user, after):
                for line in page:
                    after = line.id
                    yield line
            while queue in self._watchers or not queue.empty():
                live = await queue.get()
                if not isinstance(live, Event) or live.id > after:
                    yield live
        finally:
            self._watchers.pop(queue, None)

    async def _page(self, user: str, after: int) -> list[Event]:
        query = select(EventRow).where(EventRow.user == user, EventRow.id > after).order_by(EventRow.id).limit(_PAGE)
        return await self._write(lambda session: [_event(row) for row in session.scalars(query)])

    def list_changed(self, user: str) -> None:
        """Tell the user's watchers that labs came, went or changed outside a start."""
        self._tell(user, None)

    def configuration_changed(self, version: str) -> None:
        """Tell the watchers of all users which version of the configuration is in force now."""
        for user in set(self._watchers.values()):
            self._tell(user, NewConfiguration(version))

    async def forget(self, lab_id: str) -> None:
        """Delete the history of a lab that its user deleted; a start that is not cleaned up stays."""
        over = select(StartRow.start_id).where(StartRow.lab_id == lab_id, StartRow.cleaned.is_(True))

        def write(session: Session) -> list[str]:
            gone = list(session.scalars(over))
            _delete(session, gone)
            return gone

        await self._write(write, lambda gone: self._memory.drop(lab_id, gone))

    async def expire(self, before: datetime) -> int:
        """Delete some of the starts that ended earlier, with their events; return how many, 0 if there are no more.

        The newest start of a lab stays, and so does one that is not cleaned up.
        """
        newer = aliased(StartRow)
        followed = select(newer).where(newer.lab_id == StartRow.lab_id, newer.created > StartRow.created).exists()
        over = (
            select(StartRow.start_id)
            .where(StartRow.ended < before, StartRow.cleaned.is_(True), followed)
            .limit(_EXPIRED)
        )

        def write(session: Session) -> int:
            gone = list(session.scalars(over))
            _delete(session, gone)
            return len(gone)

        # Memory holds none of these: each is clean, and another is the newest of its lab.
        return await self._write(write)

    async def note_push(self, user: str, entries: int, service: str) -> None:
        """Note that *service* pushed the user's account list now."""
        row = PushRow(user=user, time=_now(), entries=entries, service=service)
        await self._write(lambda session: session.merge(row))

    async def last_push(self, user: str) -> Push | None:
        """Return when the user's account list was pushed last."""

        def read(session: Session) -> Push | None:
            row = session.get(PushRow, user)
            return Push(row.user, row.time, row.entries, row.service) if row else None

        return await self._write(read)

    def _show(self, written: tuple[Start, Event] | None) -> None:
        if written is not None:
            self._memory.enter(written[0])
            self._tell(written[1].user, written[1])

    def _tell(self, user: str, line: Word) -> None:
        for queue in [queue for queue, watched in self._watchers.items() if watched == user]:
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:
                del self._watchers[queue]

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


def _delete(session: Session, start_ids: Sequence[str]) -> None:
    session.execute(delete(EventRow).where(EventRow.start_id.in_(start_ids)))
    session.execute(delete(StartRow).where(StartRow.start_id.in_(start_ids)))


def _event(row: EventRow) -> Event:
    return Event(**{field.name: getattr(row, field.name) for field in fields(Event)})


def _start(row: StartRow, last: EventRow | None) -> Start:
    own = {field.name for field in fields(Start)} - {"last", "groups"}
    values = {name: getattr(row, name) for name in own}
    return Start(**values, groups=tuple(row.groups), last=_event(last) if last else None)


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
