# SPDX-License-Identifier: BSD-3-Clause
"""The spawner inside a real JupyterHub: from click to ready, stop, cancel at every step, and what JupyterHub does wrong.

V1 to V15 are the findings about JupyterHub that the portal is designed around.
"""

import asyncio

import pytest

from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_start_runs_from_click_to_ready(hub):
    """Every step is an event; stop ends job and tunnel."""
    lab = await hub.start("whole")
    await lab.until_code("queued")
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("running")
    assert 204 == (await lab.post("events", {"code": "lab_starting", "progress": 55})).status
    assert 204 == (await lab.started()).status
    await lab.until_code("ready")

    steps = ["submitted", "accepted", "queued", "running", "lab_starting", "tunnel_open", "ready"]
    assert steps == await lab.codes()
    assert [5, 15, 25, 45, 55, 90, 100] == [event["progress"] for event in await lab.events()]
    assert (await lab.hub_server())["ready"]
    assert [(lab.lab_id, lab.start_id, "jwc01", 8888)] == hub.tunnels.opened

    assert 204 == (await lab.stop()).status
    assert "stopped" == await lab.outcome()
    assert hub.manager.stopped(lab.start_id)
    assert [(lab.lab_id, lab.start_id)] == hub.tunnels.closed
    assert await lab.in_state("stopped")


async def test_the_job_gets_all_it_needs_and_no_secret_in_the_open(hub):
    """Secrets travel apart from the environment; the user's token goes as a header only."""
    lab = await hub.start("job")

    assert OPTIONS == lab.job["options"]
    assert ("test", "alice", lab.lab_id) == (lab.job["hub"], lab.job["user"], lab.job["lab_id"])
    assert {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"} <= set(lab.job["secrets"])
    assert lab.token not in str(lab.job["env"])
    assert f"/user/alice/{lab.server}/" == lab.job["env"]["JUPYTERHUB_SERVICE_PREFIX"]
    assert lab.job["events_url"] == f"{hub.hub}/api/jsc/starts/{lab.start_id}/events"
    assert [(lab.start_id, "access-of-alice")] == hub.manager.puts
    assert "access-of-alice" not in str(lab.job)
    assert lab.token not in hub.log


async def test_a_labs_token_carries_one_scope_for_its_own_server(hub):
    """V14: besides JupyterHub's own two scopes there is one of ours, for this server."""
    lab = await hub.start("scopes")
    me = await hub.call("GET", "/user", token=lab.token)

    ours = [scope for scope in me.body["scopes"] if scope.startswith("custom:")]
    assert ["custom:jsc:lab!server=alice/scopes"] == ours


async def test_a_second_system_runs_beside_the_first(hub):
    """Two labs of one user, and one of another user, have starts, tokens and tunnels of their own."""
    labs = [
        await hub.running("first"),
        await hub.running("first", "bob"),
    ]
    other = await hub.start("second", system="jureca", project="climate", partition="dc-cpu", option="old")
    hub.manager.set(other.start_id, state="running", nodes=["jrc01"])
    assert 204 == (await other.started(host="jrc01")).status
    await other.until_code("ready")

    labs.append(other)
    assert 3 == len({lab.lab_id for lab in labs}) == len({lab.token for lab in labs})
    assert {lab.lab_id for lab in labs} == set(hub.tunnels.records)
    for lab in labs:
        await lab.stop()


async def _pending(hub, lab, step):
    """Bring a queued start to *step*."""
    if step == "queued":
        await lab.until_code("queued")
    else:
        hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
        await lab.until_code("running")
    if step == "no tunnel":
        hub.tunnels.mode = "down"
        await lab.started()
        await lab.until_code("tunnel_waiting")
    if step == "silent lab":
        hub.tunnels.lab_answers = False
        await lab.started()
        await lab.until_code("tunnel_open")


@pytest.mark.parametrize("way", ["cancel", "stop"])
@pytest.mark.parametrize("step", ["queued", "running", "no tunnel", "silent lab"])
async def test_cancel_works_at_every_step(hub, step, way):
    """By our route and by JupyterHub's: the start closes at once, job and tunnel go, a new start is possible."""
    lab = await hub.start("cancel")
    await _pending(hub, lab, step)
    answer = await getattr(lab, way)()
    hub.tunnels.mode = ""

    assert answer.status in {202, 204}
    assert "cancelled" == await lab.outcome()
    await until(lambda: hub.manager.stopped(lab.start_id))
    await until(lambda: (lab.lab_id, lab.start_id) in hub.tunnels.closed)
    await until(lambda: lab.in_state("stopped"))
    assert "ready" not in await lab.codes()

    hub.tunnels.reset()
    again = await hub.running("cancel")
    assert again.start_id != lab.start_id
    await again.stop()


async def test_cancel_works_while_the_manager_does_not_answer(hub):
    """A start that was never submitted closes at once; the job is looked for all the same, as soon as that is possible."""
    hub.manager.mode = "down"
    await hub.call("POST", "/users/alice/servers/early", {"user_options": OPTIONS}, token=hub.tokens["alice"])
    lab = await until(lambda: hub.lab("early"))
    start = await until(lambda: _started(hub, "early"))
    assert 204 == (await hub.call("POST", "/jsc/labs/alice/early/cancel", token=hub.tokens["alice"])).status
    await until(lambda: _in_state(hub, "early", "stopped"))
    hub.manager.mode = ""

    await until(lambda: hub.manager.stopped(start["start_id"]))
    assert not hub.manager.jobs
    assert "cancelled" == (await hub.lab("early"))["start"]["outcome"]
    assert lab["server"] == "early"


async def _started(hub, server):
    return (await hub.lab(server))["start"]


async def _in_state(hub, server, state):
    return state == await hub.state(server)


async def test_stop_with_the_manager_down_is_done_later(hub):
    """The lab is stopped for the user; job and tunnel are ended as soon as their services answer again."""
    lab = await hub.running("later")
    hub.manager.mode = hub.tunnels.mode = "down"
    answer, _ = await asyncio.gather(lab.stop(), until(lambda: _closed(lab, "stopped")))

    assert answer.status in {202, 204}
    assert not hub.manager.stopped(lab.start_id)
    hub.manager.mode = ""
    await until(lambda: hub.manager.stopped(lab.start_id))
    hub.tunnels.mode = ""
    await until(lambda: (lab.lab_id, lab.start_id) in hub.tunnels.closed)
    await until(lambda: lab.in_state("stopped"))


async def _closed(lab, outcome):
    return outcome == await lab.outcome()


async def test_stop_twice_is_stop_once(hub):
    """Stop is idempotent and works from the journal alone."""
    lab = await hub.running("twice")

    assert [204, 204] == [(await lab.stop()).status for _ in range(2)]
    assert ["stopped"] == [code for code in await lab.codes() if code in {"stopped", "cancelled", "failed"}]


async def test_progress_is_replayed_to_every_watcher(hub):
    """JupyterHub's own progress stream tells the whole history to each that asks, and ends with the end."""
    lab = await hub.start("progress")
    await lab.until_code("queued")

    async def watch():
        url = f"{hub.hub}/api/users/alice/servers/progress/progress"
        lines = []
        async with hub.session.get(url, headers={"Authorization": f"token {hub.tokens['alice']}"}) as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    lines.append(line.decode())
                if b"Queued" in line and not watched.done():
                    watched.set_result(None)
        return lines

    watched = asyncio.get_running_loop().create_future()
    watchers = [asyncio.create_task(watch())]
    await watched
    watched = asyncio.get_running_loop().create_future()
    watchers.append(asyncio.create_task(watch()))
    await watched
    hub.manager.set(lab.start_id, state="ended", text="The job was killed.")
    first, second = await asyncio.gather(*watchers)

    assert first == second
    assert "Submitting to JUWELS." in first[1]
    assert '"failed": true' in first[-1]
    assert "The job was killed." in first[-1]


async def test_a_cancelled_start_is_never_called_ready(hub):
    """V1: JupyterHub's stream may say so; ours does not, and the failed event has words (V4)."""
    lab = await hub.start("false-ready")
    await lab.until_code("queued")
    await lab.cancel()
    await until(lambda: lab.in_state("stopped"))

    last = (await lab.events())[-1]
    assert ("cancelled", "The start was cancelled.") == (last["code"], last["text"])


async def test_saved_options_start_a_lab(hub):
    """V15: a start without a body takes the saved options."""
    saved = {"title": "Saved", "options": OPTIONS | {"resources": {"nodes": 3, "runtime": 20}}}
    await hub.call("PUT", "/jsc/labs/alice/saved", saved, token=hub.tokens["alice"])
    answer = await hub.call("POST", "/users/alice/servers/saved", token=hub.tokens["alice"])
    lab = await hub.submitted("saved")

    assert 202 == answer.status
    assert {"nodes": 3, "runtime": 20} == lab.job["options"]["resources"]
    await lab.cancel()


async def test_the_default_server_does_not_start(hub):
    """A lab has a name: JupyterHub's unnamed server is refused, and nothing is submitted."""
    await hub.call("POST", "/users/alice/server", {"user_options": OPTIONS}, token=hub.tokens["alice"])
    await until(lambda: "A lab needs a name" in hub.log)

    assert not hub.manager.puts


async def test_a_lab_keeps_its_name(hub):
    """Jobs and tunnels are found by the name, so that JupyterHub's rename is refused with words."""
    await hub.call("PUT", "/jsc/labs/alice/keeps", {"title": "x", "options": OPTIONS}, token=hub.tokens["alice"])
    answer = await hub.call("PATCH", "/users/alice/servers/keeps", {"name": "another-name"}, token=hub.tokens["alice"])

    assert 400 == answer.status
    assert "Change its title" in answer.body["message"]


async def test_deleting_by_jupyterhubs_route_forgets_the_history(hub):
    """A lab of the same name begins without a past."""
    lab = await hub.running("gone")
    await lab.stop()
    path = "/users/alice/servers/gone"
    assert 204 == (await hub.call("DELETE", path, {"remove": True}, token=hub.tokens["alice"])).status
    await hub.call("PUT", "/jsc/labs/alice/gone", {"title": "x", "options": OPTIONS}, token=hub.tokens["alice"])

    assert (await hub.lab("gone"))["start"] is None


async def test_a_start_right_after_a_cancel_is_a_start(hub):
    """The cancelled start still unwinds; the new one is not taken for it."""
    first = await hub.start("swallowed")
    assert 204 == (await first.cancel()).status
    second = await hub.start("swallowed")

    assert first.start_id != second.start_id
    assert ["cancelled", None] == [await first.outcome(), await second.outcome()]
    await second.cancel()
