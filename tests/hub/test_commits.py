# SPDX-License-Identifier: BSD-3-Clause
"""A commit changes the configuration under a hub that runs: nothing that waits or runs is lost, pages are told."""

import asyncio
import json
import signal

import pytest

from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.hub.portal import Portal
from tests.hub.test_stream import listening
from tests.hub.world import BEGINNING, OPTIONS, Manager, serve, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

RESTARTED = pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])


def _without_juwels(tree):
    """The system is gone, and so is the manager that served it."""
    del tree["systems"]["juwels"]
    tree["managers"] = {"other": {"url": "http://127.0.0.1:9"}}
    tree["systems"]["jureca"]["manager"] = "other"


def _renamed(tree):
    tree["systems"]["juwels"]["label"] = "JUWELS after the commit"
    tree["systems"]["juwels"]["lab_hosts"] = ["elsewhere*"]


async def test_a_pending_start_outlives_commits(hub):
    """It goes on as it was checked: the old label and hosts, the old version on its way, the manager's new address."""
    hub.manager.mode = "down"
    await hub.call("POST", "/users/alice/servers/patient", {"user_options": OPTIONS}, token=hub.tokens["alice"])
    await until(lambda: _last(hub, "patient", "waiting"))
    moved = Manager()
    runner, address = await serve(moved.app())
    await hub.commit("p1", _renamed)
    await hub.commit("p2", lambda tree: (_renamed(tree), tree["managers"]["unicoremgr"].update(url=address)))
    manager, hub.manager = hub.manager, moved
    try:
        lab = await hub.submitted("patient")
        moved.set(lab.start_id, state="running", nodes=["jwc01"])
        await lab.until_code("running")
        assert 204 == (await lab.started()).status
        await lab.until_code("ready")
        start = (await hub.lab("patient"))["start"]
        assert BEGINNING == lab.job["configuration"] == start["configuration"]
        assert BEGINNING == hub.tunnels.records[lab.lab_id]["configuration"]
        assert "Submitting to JUWELS." in [event["text"] for event in await lab.events()]
        newer = await hub.start("patient-too")
        moved.set(newer.start_id, state="running", nodes=["jwc02"])
        await newer.until_code("running")
        assert "p2" == newer.job["configuration"]
        assert 403 == (await newer.started(host="jwc02")).status
        await newer.cancel()
        await lab.stop()
        await until(lambda: moved.stopped(lab.start_id) and moved.stopped(newer.start_id))
        assert not manager.jobs
    finally:
        hub.manager = manager
        await hub.commit(BEGINNING, lambda tree: None)
        await runner.cleanup()


async def _last(hub, server, code):
    start = (await hub.lab(server) or {}).get("start")
    return bool(start and start["last"] and code == start["last"]["code"])


@RESTARTED
async def test_a_removed_system_keeps_its_labs(hub, restarted):
    """They are polled, reached, heard and stopped as before, by what their own version says; nothing new starts there."""
    running, pending = await hub.running("keeps-running"), await hub.start("keeps-pending")
    await pending.until_code("queued")
    await hub.commit(f"removed-{restarted}", _without_juwels)
    if restarted:
        opened = len(hub.tunnels.opened)
        await hub.restart(signal.SIGKILL)
        await until(lambda: running.in_state("running"))
        assert len(hub.tunnels.opened) > opened
        assert BEGINNING == hub.tunnels.records[running.lab_id]["configuration"]
    refused = await hub.call("POST", "/users/alice/servers/new", {"user_options": OPTIONS}, token=hub.tokens["alice"])
    hub.manager.set(pending.start_id, state="running", nodes=["jwc01"])
    await pending.until_code("running")
    assert 403 == (await pending.started(host="jrc01")).status
    assert 204 == (await pending.started()).status
    await pending.until_code("ready")

    assert (400, "system") == (refused.status, refused.body["field"])
    assert not hub.manager.stopped(running.start_id, pending.start_id)
    assert (running.lab_id, running.start_id) not in hub.tunnels.closed
    hub.manager.set(running.start_id, state="ended", text="The time limit was reached.")
    await until(lambda: running.in_state("stopped"))
    assert "ended" == await running.outcome()
    await pending.stop()
    await until(lambda: hub.manager.stopped(pending.start_id))
    await until(lambda: (pending.lab_id, pending.start_id) in hub.tunnels.closed)
    assert "system: 'juwels' is not possible" in (await hub.lab("keeps-pending"))["problem"]


async def test_a_commit_is_told_to_every_page(hub):
    """Whoever watches hears the version; a page that opens hears the one in force, so that none misses a commit."""
    async with listening(hub) as mine, listening(hub, "bob") as others:
        await hub.commit("told", _renamed)
        for listener in (mine, others):
            await until(lambda listener=listener: [BEGINNING, "told"] == _versions(listener))
    async with listening(hub, "nora") as late:
        await until(lambda: ["told"] == _versions(late))


def _versions(listener):
    data = [message["data"] for message in listener.messages if message.get("event") == "configuration"]
    return [json.loads(text)["version"] for text in data]


async def test_a_saved_lab_that_is_no_longer_possible_says_why(hub):
    """The reason is that of the newest version; another commit makes it good again."""
    await hub.call("PUT", "/jsc/labs/alice/stale", {"title": "Stale", "options": OPTIONS}, token=hub.tokens["alice"])

    def fewer(tree):
        tree["systems"]["juwels"]["partitions"]["batch"]["resources"] = {
            "nodes": {"label": "Nodes", "minimum": 2, "maximum": 4, "default": 2},
        }

    await hub.commit("fewer", fewer)
    lab = await hub.lab("stale")
    answer = await hub.call("POST", "/users/alice/servers/stale", token=hub.tokens["alice"])
    await hub.commit(BEGINNING, lambda tree: None)

    assert lab["problem"].startswith("resources")
    assert (400, lab["problem"]) == (answer.status, answer.body["message"])
    assert "" == (await hub.lab("stale"))["problem"]


async def test_a_maintenance_blocks_but_keeps(hub):
    """A lab can be saved, not started; the API and the list say why."""
    path, token = "/jsc/labs/alice/blocked", hub.tokens["alice"]
    maintenance = {"m": {"systems": ["juwels"], "begins": "2020-01-01T00:00:00Z", "text": "New network."}}
    await hub.commit("maintained", lambda tree: tree.update(maintenance=maintenance))
    saved = await hub.call("PUT", path, {"title": "Blocked", "options": OPTIONS}, token=token)
    answer = await hub.call("POST", "/users/alice/servers/blocked", token=token)

    assert 200 == saved.status
    assert "New network." in saved.body["blocked"]
    assert (409, saved.body["blocked"]) == (answer.status, answer.body["message"])
    assert not hub.manager.puts
    await hub.commit(BEGINNING, lambda tree: None)
    assert "" == (await hub.lab("blocked"))["blocked"]


async def test_a_configuration_that_is_wrong_changes_nothing(hub):
    """The last good one stays in force, and the next good one comes through."""
    hub.published.write("wrong", {"hub": "test"})
    hub.published.flip("wrong")
    await until(lambda: "last good one stays" in hub.log)
    assert BEGINNING == (await hub.ready()).body["details"]["configuration"]
    await hub.commit("right", _renamed)
    options = await hub.call("GET", "/jsc/options", token=hub.tokens["alice"])

    assert ("right", "JUWELS after the commit") == (
        options.body["configuration"],
        options.body["systems"]["juwels"]["label"],
    )


async def test_the_portal_keeps_its_name(hub):
    """Labs are known by it: a commit that changes it changes no lab's id, and a hub with labs does not start with it."""
    lab = await hub.running("named")
    await hub.commit("renamed", lambda tree: tree.update(hub="other"))
    assert await lab.in_state("running")
    another = await hub.start("named-too")
    assert "test" == another.job["hub"]
    settings = HubSettings(
        configuration=hub.published.link,
        manager_token_files={"unicoremgr": hub.folder / "token"},
        tunnelmgr_token_file=hub.folder / "token",
    )
    with pytest.raises(InvalidRequest, match="in use under another name"):
        Portal.from_settings(settings, database_url=f"sqlite:///{hub.folder}/hub.sqlite")
    await another.cancel()
    await lab.stop()


async def test_many_commits_while_labs_start(hub):
    """Each start has one job, whichever version it was checked with."""

    async def starting():
        return [await hub.start(f"amid-{number}") for number in range(5)]

    async def committing():
        for number in range(20):
            await hub.commit(f"amid-{number}", _renamed)

    labs, _ = await asyncio.gather(starting(), committing())
    assert len(hub.manager.jobs) == len(labs)
    for lab in labs:
        await lab.cancel()
        await until(lambda lab=lab: hub.manager.stopped(lab.start_id))
