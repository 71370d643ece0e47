# SPDX-License-Identifier: BSD-3-Clause
"""The supervisor: only what a site positively says ends a lab; changes become events; leftovers are cleaned up."""

import sqlite3
from contextlib import closing

import pytest

from tests.hub.world import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _polled(hub, times=3):
    """Wait until the supervisor has asked some more times."""
    wanted = hub.manager.polls + times
    await until(lambda: hub.manager.polls >= wanted)


async def test_changes_become_events_and_the_same_again_does_not(hub):
    """Queued with a reason, running on which node, when the limit ends it."""
    lab = await hub.start("changes")
    hub.manager.set(lab.start_id, state="queued", text="Waiting for resources, expected at 12:00.")
    await until(lambda: _has(lab, "Waiting for resources, expected at 12:00."))
    await _polled(hub)
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01", "jwc02"], ends="2030-01-01T00:00:00Z")
    running = await lab.until_code("running")
    await _polled(hub)

    assert "Running on jwc01, jwc02." == running["text"]
    assert 1 == (await lab.codes()).count("running")
    assert "2030-01-01T00:00:00+00:00" == (await hub.lab("changes"))["start"]["ends"]
    await lab.cancel()


async def _has(lab, text):
    return any(event["text"] == text for event in await lab.events())


async def test_a_lab_that_ended_by_itself_is_noticed_and_says_why(hub):
    """JupyterHub cleans up at once; the journal keeps the reason."""
    lab = await hub.running("limit")
    hub.manager.set(lab.start_id, state="ended", code="time_limit", text="The time limit was reached.")
    ended = await lab.until_code("ended")
    await until(lambda: lab.in_state("stopped"))

    assert "The time limit was reached." == ended["text"]
    assert "ended" == await lab.outcome()
    assert not (await lab.hub_server())["ready"]
    await until(lambda: (lab.lab_id, lab.start_id) in hub.tunnels.closed)
    assert f"/user/alice/{lab.server}/" not in (hub.folder / "routes.json").read_text()


@pytest.mark.parametrize("mode", ["down", "500", "html", "cut", "nonsense", ("Unavailable", "Not now.")])
async def test_a_manager_that_fails_changes_nothing(hub, mode):
    """Unknown is never ended: whatever the manager answers, the lab stays as it is (V10)."""
    lab = await hub.running("untouched")
    before, said = await lab.codes(), hub.log.count("labs stay as they are")
    hub.manager.mode = mode
    await until(lambda: hub.log.count("labs stay as they are") > said + 1)
    assert await lab.in_state("running")
    hub.manager.mode = ""
    await _polled(hub)

    assert before == await lab.codes()
    assert not hub.manager.stopped(lab.start_id)
    await lab.stop()


@pytest.mark.parametrize("state", [{"state": "unknown"}, {"state": "unknown", "code": "unavailable"}])
async def test_unknown_is_never_ended(hub, state):
    """A site that does not know now leaves a lab as it is, queued or running."""
    queued, running = await hub.start("unknown-q"), await hub.running("unknown-r")
    await queued.until_code("queued")
    for lab in (queued, running):
        hub.manager.set(lab.start_id, **state)
    await _polled(hub, 5)

    assert await queued.in_state("starting")
    assert await running.in_state("running")
    await queued.cancel()
    await running.stop()


async def test_a_forgotten_start_is_unknown(hub):
    """A manager that leaves a start out of its answer has not said that it ended."""
    lab = await hub.running("leftout")
    job = hub.manager.jobs.pop(lab.start_id)
    await _polled(hub, 5)

    assert await lab.in_state("running")
    hub.manager.jobs[lab.start_id] = job
    await lab.stop()


async def test_a_site_token_that_is_refused_gives_way_to_the_users(hub):
    """Supervision and stop go on with the user's fresh token."""
    lab = await hub.running("expired")
    hub.manager.refuses_site_token = True
    await _polled(hub, 5)
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"], ends="2031-01-01T00:00:00Z")
    await until(lambda: _ends(hub, "expired", "2031"))
    await lab.stop()

    assert "access-of-alice" == hub.manager.deletes[-1][1]


async def _ends(hub, server, year):
    return ((await hub.lab(server))["start"]["ends"] or "").startswith(year)


async def test_a_user_who_must_log_in_again_keeps_the_labs(hub):
    """Without any credential a lab is not asked about, and stays; others are asked about all the same."""
    hub.manager.site_token = None
    mine = await hub.running("nologin")
    hub.manager.site_token = "site-token"
    other = await hub.running("nologin", "bob")
    hub.login("ended")
    hub.manager.set(other.start_id, state="ended", text="Over.")
    await other.until_code("ended")

    assert await mine.in_state("running")
    hub.login("")
    await mine.stop()
    assert "access-of-alice" == hub.manager.deletes[-1][1]


async def test_a_host_that_turns_out_foreign_closes_the_tunnel(hub):
    """A lab that named a host before the site told the nodes is held to them once it does."""
    lab = await hub.start("liar")
    hub.manager.set(lab.start_id, state="running")
    await lab.until_code("accepted")
    assert 204 == (await lab.started(host="jwc99")).status
    await lab.until_code("ready")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])

    await until(lambda: (lab.lab_id, lab.start_id) in hub.tunnels.closed)
    await until(lambda: lab.in_state("stopped"))
    assert "failed" == await lab.outcome()


async def test_old_history_is_deleted(hub):
    """Starts that ended longer ago than the configuration keeps them go when the hub looks; the newest stays."""
    old = await hub.running("history")
    await old.stop()
    new = await hub.running("history")
    await new.stop()
    await until(lambda: (new.lab_id, new.start_id) in hub.tunnels.closed)
    await hub.end()
    with closing(sqlite3.connect(hub.folder / "hub.sqlite")) as database:
        database.execute("UPDATE jsc_starts SET ended = '2020-01-01 00:00:00.000000' WHERE lab_id = ?", (old.lab_id,))
        database.commit()
    await hub.begin()

    async def kept():
        path = "/jsc/labs/alice/history/starts"
        answer = await hub.call("GET", path, token=hub.tokens["alice"])
        return [new.start_id] == [start["start_id"] for start in answer.body["starts"]]

    await until(kept)
    assert [] == await old.events()
    assert "ready" in await new.codes()
