# SPDX-License-Identifier: BSD-3-Clause
"""The flow of a start when others fail: it waits where waiting helps, fails with a sentence where not, and leaves no job."""

import asyncio
import json

import pytest

from tests.hub.world import OPTIONS, Lab, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _told_by_jupyterhub(hub, server, seen):
    """The last line of JupyterHub's own progress stream, as its pages show it; *seen* is set with the first."""
    url = f"{hub.hub}/api/users/alice/servers/{server}/progress"
    async with hub.session.get(url, headers={"Authorization": f"token {hub.tokens['alice']}"}) as stream:
        lines = []
        async for line in stream.content:
            if line.startswith(b"data:"):
                lines.append(line.decode())
                seen.set()
    return json.loads(lines[-1].removeprefix("data:"))


async def _begin(hub, server):
    """Start a lab whose submission does not succeed; return the start as the API shows it."""
    before = (await hub.lab(server) or {}).get("start")
    await hub.call("POST", f"/users/alice/servers/{server}", {"user_options": OPTIONS}, token=hub.tokens["alice"])

    async def found():
        start = (await hub.lab(server) or {}).get("start")
        return start if start and start != before else None

    start = await until(found)
    return Lab(hub, "alice", server, start["start_id"], "", {})


@pytest.mark.parametrize("mode", ["down", "500", "html", "cut", "nonsense", ("SiteUnavailable", "JUWELS is away.")])
async def test_a_start_waits_while_the_site_cannot_be_asked(hub, mode):
    """No answer, an error, HTML, half of an answer: the start says so once, waits, and goes on with one job."""
    hub.manager.mode = mode
    lab = await _begin(hub, "waits")
    waiting = await lab.until_code("waiting")
    hub.manager.mode = ""
    await lab.until_code("accepted")

    assert waiting["text"].endswith("The start waits and tries again.")
    assert 1 == (await lab.codes()).count("waiting")
    assert [lab.start_id] == list(hub.manager.jobs)
    await lab.cancel()
    await until(lambda: lab.in_state("stopped"))


async def test_a_lost_answer_makes_no_second_job(hub):
    """The job is there, the answer is not: asked again with the same start id, the manager finds it."""
    hub.manager.mode = "lost"
    lab = await _begin(hub, "lost")
    await until(lambda: len(hub.manager.puts) > 1)
    hub.manager.mode = ""
    await lab.until_code("accepted")

    assert [lab.start_id] == list(hub.manager.jobs)
    await lab.cancel()


async def test_a_slow_site_is_waited_for_and_can_be_left(hub):
    """While a submission hangs, the start can be cancelled at once; the job is stopped should it come into being."""
    hub.manager.mode = "slow"
    lab = await _begin(hub, "slow")
    await lab.until_code("submitted")
    await lab.cancel()
    await until(lambda: lab.in_state("stopped"))
    hub.manager.mode = ""
    hub.manager.patience.set()

    await until(lambda: hub.manager.stopped(lab.start_id))
    assert "cancelled" == await lab.outcome()


@pytest.mark.parametrize("kind", ["SiteRefused", "CredentialRefused"])
async def test_what_the_site_refuses_fails_with_its_sentence(hub, kind):
    """Nothing is tried again; user and JupyterHub see why (V4); what may be left is stopped."""
    hub.manager.mode = "down"
    lab = await _begin(hub, "refused")
    await lab.until_code("waiting")
    told = asyncio.create_task(_told_by_jupyterhub(hub, "refused", seen := asyncio.Event()))
    await seen.wait()
    hub.manager.mode = (kind, "Your project has no budget left.")
    failed = await lab.until_code("failed")
    last = await told
    hub.manager.mode = ""

    assert "Your project has no budget left." == failed["text"]
    assert (True, False) == (last["failed"], "ready" in last)
    assert "Your project has no budget left." in last["message"]
    assert "SpawnException" not in last["message"]
    assert "failed" == await lab.outcome()
    await until(lambda: hub.manager.stopped(lab.start_id))
    await until(lambda: lab.in_state("stopped"))


async def test_a_token_that_the_site_refuses_is_changed_once(hub):
    """A provider may forget a token before its time is over: the start goes on with a new one, and nobody sees it."""
    hub.manager.refuses = "access-of-alice"
    lab = await _begin(hub, "changed")
    await lab.until_code("accepted")

    assert [(lab.start_id, "access-of-alice"), (lab.start_id, "second-access-of-alice")] == hub.manager.puts
    assert ["submitted", "accepted"] == (await lab.codes())[:2]
    await lab.cancel()
    await until(lambda: lab.in_state("stopped"))


@pytest.mark.parametrize(("mode", "code"), [("ended", "failed"), ("down", "waiting")])
async def test_a_login_that_ended_fails_and_one_that_is_away_waits(hub, mode, code):
    """Without a fresh token nothing is submitted: log in again, or wait for the login service."""
    hub.login(mode)
    lab = await _begin(hub, "login")
    event = await lab.until_code(code)
    hub.login("")

    assert ("log in again" in event["text"]) == (mode == "ended")
    if mode == "down":
        await lab.until_code("accepted")
        await lab.cancel()
    else:
        assert not hub.manager.puts
    await until(lambda: lab.in_state("stopped"))


async def test_a_job_that_dies_before_the_lab_answers_fails_at_once(hub):
    """With the site's reason and the last lines of its output."""
    lab = await hub.start("dies")
    await lab.until_code("queued")
    hub.manager.set(
        lab.start_id, state="ended", text="The job failed with exit code 127.", log_tail="module: command not found"
    )
    failed = await lab.until_code("failed")

    assert ("The job failed with exit code 127.", "module: command not found") == (failed["text"], failed["details"])
    assert "site" == failed["sender"]
    await until(lambda: lab.in_state("stopped"))


async def test_what_the_site_tells_stands_in_the_history_once(hub):
    """Its own lines take the place of the hub's general ones; none is repeated, none speaks for the hub."""
    lab = await hub.start("tells")
    await lab.until_code("accepted")
    told = [
        {"code": "scheduled", "text": "Scheduled on node-1.", "progress": 20},
        {"code": "ready", "text": "A site cannot say this."},
        {"code": "pulling", "text": "Pulling the image.", "progress": 25},
    ]
    hub.manager.set(lab.start_id, state="queued", history=told[:1])
    await lab.until_code("scheduled")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"], history=told)
    await lab.until_code("pulling")
    hub.manager.set(
        lab.start_id, state="ended", text="Too large.", history=[*told, {"code": "killing", "text": "Stopping."}]
    )
    await lab.until_code("failed")

    sites = [event["code"] for event in await lab.events() if event["sender"] == "site"]
    assert ["scheduled", "pulling", "killing", "failed"] == [code for code in sites if code != "queued"]
    await until(lambda: lab.in_state("stopped"))


async def test_a_lab_that_listens_but_dies_unanswered_has_failed(hub):
    """A start is "ended" only if the lab was ready once."""
    hub.tunnels.lab_answers = False
    lab = await hub.start("mute")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("accepted")
    await lab.started()
    await lab.until_code("tunnel_open")
    hub.manager.set(lab.start_id, state="ended", text="Killed.")
    await lab.until_code("failed")

    assert "failed" == await lab.outcome()


async def test_a_changed_host_key_fails_the_start_and_says_so(hub):
    """What TunnelMgr refuses for good is not tried again, and the job does not run on."""
    hub.tunnels.mode = ("HostKeyChanged", "The login node jwl01 shows another key than the known one.")
    lab = await hub.start("hostkey")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("accepted")
    await lab.started()
    failed = await lab.until_code("failed")
    hub.tunnels.mode = ""

    assert "another key" in failed["text"]
    await until(lambda: hub.manager.stopped(lab.start_id))


async def test_a_tunnel_that_comes_late_is_waited_for(hub):
    """TunnelMgr away: said once, tried again."""
    hub.tunnels.mode = "down"
    lab = await hub.start("latetunnel")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("accepted")
    await lab.started()
    await lab.until_code("tunnel_waiting")
    hub.tunnels.mode = ""
    await lab.until_code("ready")

    assert 1 == (await lab.codes()).count("tunnel_waiting")
    await lab.stop()


async def test_a_lab_that_answers_late_is_waited_for(hub):
    """The tunnel is there, the lab is not yet."""
    hub.tunnels.lab_answers = False
    lab = await hub.start("latelab")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("accepted")
    await lab.started()
    await lab.until_code("tunnel_open")
    assert await lab.in_state("starting")
    hub.tunnels.lab_answers = True
    await lab.until_code("ready")
    await lab.stop()


async def test_a_tunnelmgr_that_is_down_does_not_keep_a_job_alive(hub):
    """The job is stopped even while the tunnel cannot be closed."""
    lab = await hub.running("notunnelmgr")
    hub.tunnels.mode = "down"
    stopping = asyncio.create_task(lab.stop())
    await until(lambda: hub.manager.stopped(lab.start_id))
    hub.tunnels.mode = ""

    await until(lambda: (lab.lab_id, lab.start_id) in hub.tunnels.closed)
    await stopping
