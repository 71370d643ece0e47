# SPDX-License-Identifier: BSD-3-Clause
"""The journal: nothing lost, nothing twice, for late and many watchers, over a restart and beside JupyterHub's session."""

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from jupyter_jsc import names, wire
from jupyter_jsc.errors import Unavailable
from jupyter_jsc.hub import journal as module
from jupyter_jsc.hub.journal import MIGRATIONS, Journal, NewConfiguration
from tests.hub.world import OPTIONS

LAB = names.lab_id("test", "alice", "lab")


def _event(code="queued", **more):
    return wire.Event(code=code, progress=25, text="Queued.", **more)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/hub.sqlite"


@pytest.fixture
def journal(url):
    opened = Journal(url)
    opened.open()
    yield opened
    opened.close()


async def _open(journal, user="alice", server="lab"):
    start_id = names.new_start_id()
    return await journal.open_start(start_id, names.lab_id("test", user, server), user, server, OPTIONS)


async def test_a_start_is_open_until_it_ends(journal):
    """The newest event and the outcome come with the start; a second end changes nothing."""
    start = await _open(journal)
    event = await journal.add_event(start.start_id, "site", _event())

    assert event == journal.latest(LAB).last
    assert journal.latest(LAB).outcome is None
    assert await journal.end(start.start_id, "stopped", "hub", _event("stopped"))
    assert not await journal.end(start.start_id, "failed", "hub", _event("failed"))
    assert "stopped" == journal.latest(LAB).outcome
    assert ["queued", "stopped"] == [line.code for line in await journal.events(start.start_id)]


async def test_events_keep_what_was_said(journal):
    """Sender, time in UTC, code, progress, text and details."""
    start = await _open(journal)
    written = await journal.add_event(start.start_id, "lab", _event(details="more"))

    [read] = await journal.events(start.start_id)

    assert written == read
    assert UTC == read.time.tzinfo
    assert ("lab", "queued", 25, "Queued.", "more") == (read.sender, read.code, read.progress, read.text, read.details)


async def test_what_is_said_once_stays_once(journal):
    """The same line of the same sender is not repeated where that is asked for; another sender's or start's counts not."""
    start, other = await _open(journal), await _open(journal, server="other")
    await journal.add_event(other.start_id, "site", _event("pulling"))
    await journal.add_event(start.start_id, "hub", _event("pulling"))
    written = [await journal.add_event(start.start_id, "site", _event("pulling"), once=True) for _ in range(2)]
    await journal.add_event(start.start_id, "site", _event("pulled"), once=True)

    assert [True, False] == [event is not None for event in written]
    assert ["hub", "site", "site"] == [line.sender for line in await journal.events(start.start_id)]


async def test_progress_never_steps_back(journal):
    """Also if two senders tell of the same start at the same time."""
    start = await _open(journal)
    lines = [_event(code).model_copy(update={"progress": progress}) for code, progress in [("a", 55), ("b", 45)]]
    await asyncio.gather(*(journal.add_event(start.start_id, "site", line) for line in lines))
    await journal.add_event(start.start_id, "site", _event("c"))

    assert [55, 55, 55] == [line.progress for line in await journal.events(start.start_id)]
    assert 55 == journal.latest(LAB).last.progress


async def test_starts_of_a_lab_come_newest_first(journal):
    """Earlier starts can be read, also when they are over and clean."""
    starts = []
    for _ in range(3):
        starts.append((await _open(journal)).start_id)
        await journal.end(starts[-1], "stopped", "hub", _event("stopped"))
        await journal.update(starts[-1], cleaned=True)

    assert starts[::-1] == [start.start_id for start in await journal.starts(LAB)]
    assert starts[:0:-1] == [start.start_id for start in await journal.starts(LAB, limit=2)]


async def test_memory_is_the_same_after_a_restart(journal, url):
    """Newest starts of labs and unfinished ones are known again, with their last events."""
    old = await _open(journal)
    await journal.end(old.start_id, "stopped", "hub", _event("stopped"))
    new = await _open(journal)
    await journal.add_event(new.start_id, "site", _event())
    await journal.update(new.start_id, handle="job", host="jwc01", port=8888)

    again = Journal(url)
    again.open()

    assert journal.latest(LAB) == again.latest(LAB)
    assert journal.unfinished() == again.unfinished()
    assert [old.start_id, new.start_id] == [start.start_id for start in again.unfinished()]
    again.close()


async def test_a_clean_former_start_leaves_memory(journal):
    """Memory holds what is needed: the newest start of a lab, and those that are not clean."""
    old = await _open(journal)
    await journal.end(old.start_id, "stopped", "hub", _event("stopped"))
    new = await _open(journal)

    assert journal.known(old.start_id) is not None
    await journal.update(old.start_id, cleaned=True)
    assert journal.known(old.start_id) is None
    assert new == journal.latest(LAB)


async def test_forgetting_spares_what_may_still_run(journal):
    """The history of a deleted lab goes; a start that is not clean stays until it is."""
    clean, unclean = await _open(journal), await _open(journal)
    for start in (clean, unclean):
        await journal.end(start.start_id, "stopped", "hub", _event("stopped"))
    await journal.update(clean.start_id, cleaned=True)

    await journal.forget(LAB)

    assert [unclean.start_id] == [start.start_id for start in await journal.starts(LAB)]
    assert [] == await journal.events(clean.start_id)
    await journal.update(unclean.start_id, cleaned=True)
    await journal.forget(LAB)
    assert journal.latest(LAB) is None
    assert [] == journal.unfinished()


async def test_a_start_keeps_what_it_was_checked_with(journal, url):
    """Version and groups are there again after a restart, and open starts are counted by group."""
    start_id = names.new_start_id()
    await journal.open_start(start_id, LAB, "alice", "lab", OPTIONS, configuration="c7", groups=("course", "all"))
    await _open(journal, "bob")
    again = Journal(url)
    again.open()

    assert ("c7", ("course", "all")) == (again.latest(LAB).configuration, again.latest(LAB).groups)
    assert {"course": 1, "all": 1} == journal.open_by_group == again.open_by_group
    assert [start_id] == [start.start_id for start in again.open_of("alice")]
    again.close()
    await journal.end(start_id, "stopped", "hub", _event("stopped"))
    assert {} == journal.open_by_group
    assert [] == journal.open_of("alice")
    assert 1 == len(journal.open_of("bob"))


async def _ended(journal, server, count):
    """Starts of a lab that are over and clean, the oldest first."""
    starts = []
    for _ in range(count):
        starts.append((await _open(journal, server=server)).start_id)
        await journal.add_event(starts[-1], "site", _event())
        await journal.end(starts[-1], "stopped", "hub", _event("stopped"))
        await journal.update(starts[-1], cleaned=True)
    return starts


async def test_old_starts_expire(journal, monkeypatch):
    """In small batches; never the newest of a lab, one that is open or unclean, or one that ended later."""
    monkeypatch.setattr(module, "_EXPIRED", 2)
    old, single = await _ended(journal, "lab", 6), await _ended(journal, "single", 1)
    unclean = await _open(journal)
    await journal.end(unclean.start_id, "stopped", "hub", _event("stopped"))
    before = datetime.now(UTC)
    late = await _ended(journal, "lab", 1)
    newest = await _open(journal)
    counts = []
    while count := await journal.expire(before):
        counts.append(count)

    assert [2, 2, 2] == counts
    kept = [newest.start_id, *late, unclean.start_id]
    assert kept == [start.start_id for start in await journal.starts(LAB)]
    assert single == [start.start_id for start in await journal.starts(names.lab_id("test", "alice", "single"))]
    assert [] == await journal.events(old[0])
    assert 2 == len(await journal.events(late[0]))
    assert newest == journal.latest(LAB)


async def test_the_last_push_is_known(journal):
    """Who pushed a user's accounts, when, and how many entries; the next one takes its place."""
    assert await journal.last_push("alice") is None
    await journal.note_push("alice", 3, "cron")
    await journal.note_push("alice", 5, "cron")
    push = await journal.last_push("alice")

    assert ("alice", 5, "cron", UTC) == (push.user, push.entries, push.service, push.time.tzinfo)
    assert await journal.last_push("bob") is None


def test_starts_of_an_earlier_release_are_taken_over(url):
    """A database of the first migration, with an open start in it, comes up to date; nothing is known of its rights."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO jsc_starts (start_id, lab_id, user, server, options, created, cleaned)"
            f" VALUES ('sold', '{LAB}', 'alice', 'lab', '{json.dumps(OPTIONS)}', '2026-01-01 00:00:00.000000', 0)"
        )
    engine.dispose()
    journal = Journal(url)
    journal.open()
    [start] = journal.unfinished()
    journal.close()

    assert ("sold", OPTIONS, "", ()) == (start.start_id, start.options, start.configuration, start.groups)


async def test_a_cancelled_caller_leaves_nothing_half_done(journal):
    """What was begun is written, remembered and shown, whoever gave up waiting."""
    start = await _open(journal)
    writing = asyncio.ensure_future(journal.end(start.start_id, "cancelled", "hub", _event("cancelled")))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await journal.last_id()

    assert ["cancelled"] == [line.code for line in await journal.events(start.start_id)]
    assert "cancelled" == journal.latest(LAB).outcome


async def _read(journal, user, after, count):
    async with aclosing(journal.follow(user, after)) as lines:
        return [line async for line, _ in _zip(lines, count)]


async def _zip(lines, count):
    for number in range(count):
        yield await anext(lines), number


async def test_late_and_many_watchers_see_the_same(journal):
    """A watcher that comes late first gets what it missed."""
    start = await _open(journal)
    early = asyncio.create_task(_read(journal, "alice", 0, 4))
    for number in range(2):
        await journal.add_event(start.start_id, "lab", _event(f"code{number}"))
    late = asyncio.create_task(_read(journal, "alice", 0, 4))
    for number in range(2, 4):
        await journal.add_event(start.start_id, "lab", _event(f"code{number}"))

    assert ["code0", "code1", "code2", "code3"] == [line.code for line in await early]
    assert await early == await late


async def test_watchers_see_their_own_user_only(journal):
    """Another user's events are not shown."""
    alices, bobs = await _open(journal), await _open(journal, "bob")
    watching = asyncio.create_task(_read(journal, "bob", 0, 1))
    await journal.add_event(alices.start_id, "lab", _event("hers"))
    await journal.add_event(bobs.start_id, "lab", _event("his"))

    assert ["his"] == [line.code for line in await watching]


async def test_another_configuration_is_told_to_all(journal):
    """Each watcher, whoever it is of, hears the version that is in force now."""
    watching = [asyncio.create_task(_read(journal, user, 0, 1)) for user in ("alice", "bob", "bob")]
    while len(journal._watchers) < 3:
        await asyncio.sleep(0)
    journal.configuration_changed("c1")

    assert [[NewConfiguration("c1")]] * 3 == await asyncio.gather(*watching)


async def test_a_changed_list_is_told_without_an_event(journal):
    """None says that labs came, went or changed."""
    watching = asyncio.create_task(_read(journal, "alice", 0, 1))
    while not journal._watchers:
        await asyncio.sleep(0)
    journal.list_changed("bob")
    journal.list_changed("alice")

    assert [None] == await watching


async def test_a_slow_watcher_is_let_go_and_comes_back(journal, monkeypatch):
    """Its queue is bounded; with the id of its last event it gets the rest."""
    monkeypatch.setattr(module, "_WATCHER_EVENTS", 3)
    start = await _open(journal)
    lines = journal.follow("alice", 0)
    first = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    for number in range(10):
        await journal.add_event(start.start_id, "lab", _event(f"code{number}"))
    seen = [await first] + [line async for line in lines]
    rest = await _read(journal, "alice", seen[-1].id, 10 - len(seen))

    assert 10 > len(seen)
    assert [f"code{number}" for number in range(10)] == [line.code for line in seen + rest]
    assert not journal._watchers


@given(st.lists(st.sampled_from(["write", "watch", "reconnect", "yield"]), max_size=25))
@settings(deadline=None, max_examples=20)
def test_nothing_is_lost_between_replay_and_live(tmp_path_factory, acts):
    """Whenever watchers come and reconnect, each has seen all events once, in order."""

    async def play():
        journal = Journal(f"sqlite:///{tmp_path_factory.mktemp('follow')}/hub.sqlite")
        journal.open()
        start = await _open(journal)
        seen: list[list[int]] = []
        tasks: list[asyncio.Task] = []

        async def watch(ids):
            async with aclosing(journal.follow("alice", ids[-1] if ids else 0)) as lines:
                async for line in lines:
                    ids.append(line.id)

        writes = []
        for act in acts:
            if act == "write":
                writes.append(asyncio.ensure_future(journal.add_event(start.start_id, "lab", _event())))
            elif act == "watch":
                seen.append([])
                tasks.append(asyncio.create_task(watch(seen[-1])))
            elif act == "reconnect" and tasks:
                tasks[-1].cancel()
                await asyncio.gather(tasks[-1], return_exceptions=True)
                tasks[-1] = asyncio.create_task(watch(seen[-1]))
            else:
                await asyncio.sleep(0)
        expected = [line.id for line in await asyncio.gather(*writes)]
        async with asyncio.timeout(60):
            while any(len(ids) < len(expected) for ids in seen):
                await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        journal.close()
        return sorted(expected), seen

    expected, seen = asyncio.run(play())

    assert [expected] * len(seen) == seen


async def test_writes_go_beside_a_session_of_the_hub(journal, url):
    """The hub's own synchronous session on the same SQLite file and the journal do not lock each other out."""
    start = await _open(journal)
    engine = sqlalchemy.create_engine(url)
    with Session(engine) as session:
        session.execute(sqlalchemy.text("CREATE TABLE hubs (n INTEGER)"))
        for number in range(20):
            writing = asyncio.ensure_future(journal.add_event(start.start_id, "lab", _event()))
            session.execute(sqlalchemy.text(f"INSERT INTO hubs VALUES ({number})"))
            session.commit()
            await writing
    engine.dispose()

    assert 20 == len(await journal.events(start.start_id))


async def test_a_locked_database_is_unavailable(journal, url, monkeypatch):
    """A lock that nobody gives up is an error of ours after a while, not of the database driver."""
    start = await _open(journal)
    sqlalchemy.event.listen(journal._engine, "checkout", lambda c, *_: c.execute("PRAGMA busy_timeout=50"))
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await journal.add_event(start.start_id, "lab", _event())
        connection.rollback()
    engine.dispose()

    assert await journal.add_event(start.start_id, "lab", _event())


def test_the_tables_of_the_hub_are_left_alone(url):
    """The journal has a version table of its own, and migrating twice is migrating once."""
    for _ in range(2):
        journal = Journal(url)
        journal.open()
        journal.close()
    engine = sqlalchemy.create_engine(url)

    assert {"jsc_starts", "jsc_events", "jsc_pushes", "jsc_alembic_version"} == set(
        sqlalchemy.inspect(engine).get_table_names()
    )
    engine.dispose()


def test_tables_and_migrations_agree(url):
    """What the migrations make is what the mappings describe."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from jupyter_jsc.hub.tables import Base

    journal = Journal(url)
    journal.open()
    journal.close()
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "jsc_alembic_version"})
        assert [] == compare_metadata(context, Base.metadata)
    engine.dispose()
