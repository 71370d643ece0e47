# SPDX-License-Identifier: BSD-3-Clause
"""The portal over the hub's own death: nothing is stopped, no pending start is lost, nothing is left behind.

Each test kills the hub or ends it in order, and starts it again on the same database.
"""

import asyncio
import json
import signal

import pytest

from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEATHS = pytest.mark.parametrize("death", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])


@DEATHS
async def test_running_labs_stay(hub, death):
    """Same start, same token, same tunnel; they are usable again, and stop works from the journal alone."""
    mine, other = await hub.running("stays"), await hub.running("stays", "bob")
    before = _routes(hub)
    await hub.restart(death)
    for lab in (mine, other):
        await until(lambda lab=lab: lab.in_state("running"))
        assert 204 == (await lab.post("events", {"code": "lab_note"})).status
        assert 204 == (await lab.started()).status

    assert not hub.manager.stopped(mine.start_id, other.start_id)
    assert not {mine.lab_id, other.lab_id} & {lab_id for lab_id, _ in hub.tunnels.closed}
    assert {mine.start_id, other.start_id} == set(hub.manager.jobs)
    assert before == _routes(hub)  # V12: the scheme, too
    assert 204 == (await mine.stop()).status
    assert ("stopped", True) == (await mine.outcome(), hub.manager.stopped(mine.start_id))
    assert 403 == (await mine.started()).status
    hub.manager.set(other.start_id, state="ended", text="The time limit was reached.")
    await until(lambda: other.in_state("stopped"))


def _routes(hub):
    """Where the proxy leads the addresses of labs."""
    routes = json.loads((hub.folder / "routes.json").read_text())
    return {spec: route["target"] for spec, route in routes.items() if spec.startswith("/user/")}


@DEATHS
async def test_a_queued_start_goes_on(hub, death):
    """V6: the job waits in the queue while the hub is away; its lab comes up after it."""
    lab = await hub.start("queued")
    await lab.until_code("queued")
    waiting = await hub.start("waits-on")
    await waiting.until_code("queued")
    await hub.restart(death)
    assert await lab.in_state("starting")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("running")
    assert 204 == (await lab.started()).status
    await lab.until_code("ready")
    await until(lambda: lab.in_state("running"))

    assert {lab.start_id, waiting.start_id} == set(hub.manager.jobs)
    assert 2 == len(hub.manager.puts)

    async def routed() -> bool:
        return f"/user/alice/{lab.server}/" in (hub.folder / "routes.json").read_text()

    await until(routed)
    await waiting.cancel()
    await lab.stop()


@DEATHS
async def test_a_start_that_was_not_submitted_is_submitted(hub, death):
    """The hub dies as soon as it has answered: one job, with the same start id and the token that the hub knows."""
    hub.manager.mode = "down"
    await hub.call("POST", "/users/alice/servers/unsent", {"user_options": OPTIONS}, token=hub.tokens["alice"])
    start = await _start(hub, "unsent")
    await hub.end(death)
    hub.manager.mode = ""
    await hub.begin()
    lab = await hub.submitted("unsent")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("running")
    assert 204 == (await lab.started()).status
    await until(lambda: lab.in_state("running"))

    assert start["start_id"] == lab.start_id
    assert {lab.start_id} == set(hub.manager.jobs)
    await lab.stop()


async def _start(hub, server):
    return (await hub.lab(server) or {}).get("start")


async def test_a_lost_answer_over_a_death_makes_no_second_job(hub):
    """The site had the job, the hub died before it knew: the same start id finds it."""
    hub.manager.mode = "lost"
    await hub.call("POST", "/users/alice/servers/lostanswer", {"user_options": OPTIONS}, token=hub.tokens["alice"])
    await until(lambda: hub.manager.jobs)
    await hub.end(signal.SIGKILL)
    hub.manager.mode = ""
    await hub.begin()
    lab = await hub.submitted("lostanswer")
    await lab.until_code("accepted")

    assert {lab.start_id} == set(hub.manager.jobs)
    await lab.cancel()
    await until(lambda: hub.manager.stopped(lab.start_id))


@pytest.mark.parametrize("way", ["cancel", "stop"])
async def test_cancel_works_while_the_hub_reconnects(hub, way):
    """V9: JupyterHub is pending "check"; both routes end the start, and the lab can be started again."""
    lab = await hub.start("checkcancel")
    await lab.until_code("queued")
    await hub.restart(signal.SIGKILL)
    answer = await getattr(lab, way)()
    await until(lambda: lab.in_state("stopped"))

    assert answer.status in {202, 204}
    assert "cancelled" == await lab.outcome()
    await until(lambda: hub.manager.stopped(lab.start_id))
    again = await hub.running("checkcancel")
    await again.stop()


@pytest.mark.parametrize("what", ["tunnelmgr", "lab", "manager", "host key"])
async def test_an_unreachable_lab_is_not_stopped(hub, what):
    """V11: whatever cannot be reached when the hub comes up, the lab waits for it as "reconnecting", for ever."""
    lab = await hub.running("unreachable")
    await hub.end(signal.SIGKILL)
    hub.tunnels.mode = {"tunnelmgr": "down", "host key": ("HostKeyChanged", "Another key.")}.get(what, "")
    hub.tunnels.lab_answers = what != "lab"
    hub.manager.mode = "down" if what == "manager" else ""
    opened = len(hub.tunnels.opened)
    await hub.begin()
    if what == "lab":
        await until(lambda: len(hub.tunnels.opened) > opened)
    if what == "tunnelmgr":
        await lab.until_code("tunnel_waiting")
    if what == "host key":
        await lab.until_code("reconnecting")
    assert await lab.in_state("running" if what == "manager" else "reconnecting") or what == "manager"
    assert await lab.outcome() is None

    assert not hub.manager.stopped(lab.start_id)
    assert (lab.lab_id, lab.start_id) not in hub.tunnels.closed
    if what == "host key":  # the next try comes with the next word of the start
        await lab.post("events", {"code": "lab_note"})
    hub.manager.mode = hub.tunnels.mode = ""
    hub.tunnels.lab_answers = True
    await until(lambda: lab.in_state("running"), 60)
    await lab.stop()


async def test_a_lab_that_ended_while_the_hub_was_away_is_noticed(hub):
    """The journal says why; JupyterHub forgets the server soon."""
    lab = await hub.running("away")
    await hub.end()
    hub.manager.set(lab.start_id, state="ended", text="The time limit was reached.")
    hub.tunnels.lab_answers = False
    await hub.begin()
    await until(lambda: lab.in_state("stopped"))

    assert "The time limit was reached." == (await lab.until_code("ended"))["text"]
    await until(lambda: (lab.lab_id, lab.start_id) in hub.tunnels.closed)


@pytest.mark.parametrize("site_token", ["site-token", None])
async def test_a_stop_that_was_not_confirmed_is_confirmed_later(hub, site_token):
    """The intent outlives the hub; the site's token, kept encrypted, or the user's fresh one proves it."""
    hub.manager.site_token = site_token
    lab = await hub.running("unconfirmed")
    hub.manager.mode = "down"
    stopping = asyncio.create_task(lab.stop())
    await until(lambda: _is(lab, "stopped"))
    await hub.end(signal.SIGKILL)
    await asyncio.gather(stopping, return_exceptions=True)
    hub.manager.mode = ""
    await hub.begin()
    await until(lambda: hub.manager.stopped(lab.start_id))

    assert (lab.start_id, site_token or "access-of-alice", f"job-of-{lab.start_id}") in hub.manager.deletes
    await until(lambda: lab.in_state("stopped"))
    assert "site-token" not in (hub.folder / "hub.sqlite").read_bytes().decode("latin1")
    assert lab.token not in (hub.folder / "hub.sqlite").read_bytes().decode("latin1")


async def _is(lab, outcome):
    return outcome == await lab.outcome()


async def test_ending_the_hub_ends_no_start(hub):
    """SIGTERM with a pending start, a running lab and an open stream: the hub goes at once, nothing else does."""
    pending, running = await hub.start("term-p"), await hub.running("term-r")
    await pending.until_code("queued")
    stream = await hub.session.get(
        f"{hub.hub}/api/jsc/stream", headers={"Authorization": f"token {hub.tokens['alice']}"}
    )
    async with asyncio.timeout(60):
        await hub.end()
    stream.close()
    await hub.begin()
    await until(lambda: running.in_state("running"))

    assert await pending.in_state("starting")
    assert not hub.manager.stopped(pending.start_id, running.start_id)
    ending = hub.log.split("Received signal SIGTERM")[-1].split("Running JupyterHub")[0]
    # JupyterHub's own clock of its start complains if the start never became complete, as here: a lab is queued.
    assert "Traceback" not in "".join(line for line in ending.splitlines() if "log_init_time" not in line)
    await pending.cancel()
    await running.stop()
