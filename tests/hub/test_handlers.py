# SPDX-License-Identifier: BSD-3-Clause
"""The hub's API: callbacks of labs and managers, what they may and may not; bad input of every kind."""

import pytest

from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _running_job(hub, server, user="alice", **change):
    """A lab whose job runs on jwc01 and that has not said yet where it listens."""
    lab = await hub.start(server, user, **change)
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01", "127.0.1.1"])
    await lab.until_code("running")
    return lab


async def test_a_callback_with_another_labs_token_is_refused(hub):
    """Neither events nor targets are taken from another lab, of the same user or not; the log has it."""
    mine, other = await _running_job(hub, "mine"), await _running_job(hub, "other")
    foreign = await _running_job(hub, "mine", "bob")
    for lab in (other, foreign):
        assert 403 == (await mine.started(token=lab.token)).status
        assert 403 == (await mine.post("events", {"code": "lab_starting"}, token=lab.token)).status

    assert not hub.tunnels.opened
    assert "lab_starting" not in await mine.codes()
    assert f"Refused a callback for {mine.start_id}" in hub.log
    for lab in (mine, other, foreign):
        await lab.cancel()


async def test_a_callback_without_a_token_is_refused(hub):
    """No token, a token nobody knows, the user's own token, the manager's: none is the lab's."""
    lab = await _running_job(hub, "nobody")
    for token in ("", "f" * 32, hub.tokens["alice"], hub.manager_token, hub.admin_token):
        answer = await lab.started(token=token)
        assert 403 == answer.status, token

    assert not hub.tunnels.opened
    await lab.cancel()


async def test_an_old_starts_token_is_refused(hub):
    """After a new start the former one's token opens nothing, for neither start."""
    old = await _running_job(hub, "again")
    await old.cancel()
    await until(lambda: old.in_state("stopped"))
    new = await _running_job(hub, "again")

    assert 403 == (await new.started(token=old.token)).status
    assert (await old.started()).status in {403, 404, 409}
    assert (await old.started(token=new.token)).status in {403, 404, 409}
    assert not hub.tunnels.opened
    await new.cancel()


async def test_a_start_that_nobody_knows_is_not_found(hub):
    """A lab cannot ask about starts that are not there."""
    lab = await _running_job(hub, "unknown")

    assert 404 == (await lab.started(start_id="s" + "a" * 16)).status
    assert 404 == (await lab.started(start_id="nonsense")).status
    await lab.cancel()


TARGETS = [
    ("outside of the system's hosts", {"host": "evil.example", "port": 8888}, 403),
    ("another node of the system", {"host": "jwc02", "port": 8888}, 403),
    ("another system's node", {"host": "jrc01", "port": 8888}, 403),
    ("loopback", {"host": "127.0.0.1", "port": 8888}, 403),
    ("link local", {"host": "169.254.169.254", "port": 8888}, 403),
    ("IPv6 loopback", {"host": "::1", "port": 8888}, 400),
    ("port 0", {"host": "jwc01", "port": 0}, 400),
    ("port 22", {"host": "jwc01", "port": 22}, 400),
    ("port 70000", {"host": "jwc01", "port": 70000}, 400),
    ("negative port", {"host": "jwc01", "port": -1}, 400),
    ("port as text", {"host": "jwc01", "port": "8888"}, 400),
    ("port as bool", {"host": "jwc01", "port": True}, 400),
    ("no port", {"host": "jwc01"}, 400),
    ("no host", {"port": 8888}, 400),
    ("option for ssh", {"host": "-oProxyCommand=evil", "port": 8888}, 400),
    ("host with spaces", {"host": "jwc01 evil", "port": 8888}, 400),
    ("host as list", {"host": ["jwc01"], "port": 8888}, 400),
    ("endless host", {"host": "j" * 300, "port": 8888}, 400),
]


@pytest.mark.parametrize(("target", "status"), [line[1:] for line in TARGETS], ids=[line[0] for line in TARGETS])
async def test_a_target_outside_of_the_job_is_refused(hub, target, status):
    """Never a tunnel; the start goes on waiting for an honest word."""
    lab = await hub.lab("targets")
    lab = _kept.get(hub.port) if lab and lab["state"] == "starting" else None
    if lab is None:
        lab = _kept[hub.port] = await _running_job(hub, "targets")
    hub.manager.jobs[lab.start_id] = {"lab": lab.job, "state": {"state": "running", "nodes": ["jwc01", "127.0.1.1"]}}
    answer = await lab.post("started", target)

    assert status == answer.status, answer
    assert {"status", "message"} <= set(answer.body)
    assert not hub.tunnels.opened
    assert await lab.in_state("starting")


_kept = {}


async def test_a_system_that_names_no_nodes_is_held_to_its_hosts(hub):
    """Without an allocation the configured host patterns decide."""
    lab = await hub.start("nonodes")
    hub.manager.set(lab.start_id, state="running")
    await lab.until_code("running")

    assert 403 == (await lab.started(host="jrc01")).status
    assert 204 == (await lab.started(host="jwc07")).status
    await lab.stop()


async def test_started_twice_is_started_once(hub):
    """The same word again is 204 and one tunnel; another target is refused."""
    lab = await hub.running("twice-started")

    assert 204 == (await lab.started()).status
    assert 409 == (await lab.started(port=9999)).status
    assert {("jwc01", 8888)} == {opened[2:] for opened in hub.tunnels.opened}
    await lab.stop()


async def test_started_waits_for_a_site_that_does_not_answer(hub):
    """503 asks the launcher to come again; nothing is believed meanwhile."""
    lab = await _running_job(hub, "noanswer")
    hub.manager.mode = "down"
    answer = await lab.started()
    hub.manager.mode = ""

    assert 503 == answer.status
    assert not hub.tunnels.opened
    assert 204 == (await lab.started()).status
    await lab.stop()


async def test_started_of_a_job_that_has_ended_is_too_late(hub):
    """409, and the start has failed."""
    lab = await _running_job(hub, "dead")
    hub.manager.set(lab.start_id, state="ended", text="Killed.")

    assert 409 == (await lab.started()).status
    assert not hub.tunnels.opened
    assert "failed" == await lab.outcome()


async def test_after_stop_a_lab_is_not_heard(hub):
    """Its token is void and its start over: refused, never a tunnel."""
    lab = await hub.running("afterstop")
    await lab.stop()
    opened = len(hub.tunnels.opened)
    before = await lab.codes()

    assert (await lab.started()).status in {403, 409, 410}
    assert (await lab.post("events", {"code": "lab_starting"})).status in {403, 409, 410}
    assert opened == len(hub.tunnels.opened)
    assert before == await lab.codes()


EVENTS = [
    ("a code of the hub", {"code": "ready", "progress": 100}),
    ("an outcome", {"code": "failed", "progress": 100}),
    ("no code", {"progress": 10}),
    ("progress above 100", {"code": "x", "progress": 101}),
    ("progress as text", {"code": "x", "progress": "many"}),
    ("code with markup", {"code": "<b>", "progress": 1}),
    ("endless text", {"code": "x", "text": "y" * 501}),
    ("no object", ["x"]),
    ("null", None),
]


@pytest.mark.parametrize("body", [line[1] for line in EVENTS], ids=[line[0] for line in EVENTS])
async def test_a_malformed_event_is_refused_by_field(hub, body):
    """400 with message and field; nothing is written."""
    lab = await hub.lab("events")
    lab = _kept.get("events") if lab and lab["state"] == "starting" else None
    if lab is None:
        lab = _kept["events"] = await _running_job(hub, "events")
    hub.manager.jobs[lab.start_id] = {"lab": lab.job, "state": {"state": "running", "nodes": ["jwc01"]}}
    before = await lab.codes()
    answer = await lab.post("events", body)

    assert 400 == answer.status
    assert answer.body["message"]
    assert "field" in answer.body
    assert before == await lab.codes()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 30_000, b'{"code": "x", "text": "' + b"y" * 70_000 + b'"}']
)
async def test_a_body_that_is_no_json_or_too_large_is_refused(hub, raw):
    """400, whatever the bytes."""
    lab = await hub.lab("events")
    lab = _kept.get("events") if lab and lab["state"] == "starting" else None
    if lab is None:
        lab = _kept["events"] = await _running_job(hub, "events")
    hub.manager.jobs[lab.start_id] = {"lab": lab.job, "state": {"state": "running", "nodes": ["jwc01"]}}
    path = f"/jsc/starts/{lab.start_id}/events"

    assert 400 == (await hub.call("POST", path, raw=raw, token=lab.token)).status


async def test_a_lab_cannot_fill_the_journal(hub):
    """After so many events of one start the rest is refused."""
    lab = await _running_job(hub, "chatty")
    for _ in range(500):
        assert 204 == (await lab.post("events", {"code": "lab_note"})).status

    assert 409 == (await lab.post("events", {"code": "lab_note"})).status
    await lab.cancel()


async def test_a_notice_makes_the_hub_look_at_once(hub):
    """Only with the managers' scope; what it says is a hint, and an unknown start is none of its business."""
    lab = await hub.start("notice")
    await lab.until_code("queued")
    notice = {"code": "running", "text": "RUNNING"}

    assert 204 == (await lab.post("notice", notice, token=hub.manager_token)).status
    assert 204 == (await lab.post("notice", notice, token=hub.manager_token, start_id="s" + "a" * 16)).status
    for token in ("", lab.token, hub.tokens["alice"], hub.admin_token):
        assert 403 == (await lab.post("notice", notice, token=token)).status
    assert 400 == (await lab.post("notice", {"code": "<>"}, token=hub.manager_token)).status
    assert ["submitted", "accepted", "queued"] == await lab.codes()
    await lab.cancel()


async def test_others_may_not_act_on_my_lab(hub):
    """Cancel, change, delete, read: each needs the right on this very user."""
    lab = await hub.running("private")
    bob = hub.tokens["bob"]
    path = "/jsc/labs/alice/private"
    for method, where in [
        ("POST", f"{path}/cancel"),
        ("PUT", path),
        ("DELETE", path),
        ("GET", f"{path}/starts"),
        ("GET", f"{path}/starts/{lab.start_id}/events"),
        ("GET", "/jsc/labs/alice"),
    ]:
        for token in (bob, lab.token):
            answer = await hub.call(method, where, {} if method == "PUT" else None, token=token)
            assert answer.status in {403, 404}, (method, where)

    assert await lab.in_state("running")
    await lab.stop()


async def test_events_of_a_start_are_shown_under_its_own_lab_only(hub):
    """The start of another lab, also of another user, is not readable through one's own address."""
    lab = await _running_job(hub, "hidden", "bob")
    answer = await hub.call("GET", f"/jsc/labs/alice/hidden/starts/{lab.start_id}/events", token=hub.tokens["alice"])

    assert {"events": []} == answer.body
    await lab.cancel()


BAD_OPTIONS = [
    ("unknown system", {"system": "frontier"}, "system"),
    ("foreign account", {"account": "bob1"}, "account"),
    ("partition of another system", {"partition": "dc-cpu"}, "partition"),
    ("runtime above the limit", {"resources": {"nodes": 1, "runtime": 1000}}, "resources.runtime"),
    ("a string for a number", {"resources": {"nodes": "1", "runtime": 60}}, "resources.nodes"),
    ("an extra key", {"image": "evil"}, "image"),
]


@pytest.mark.parametrize(("change", "field"), [line[1:] for line in BAD_OPTIONS], ids=[line[0] for line in BAD_OPTIONS])
async def test_impossible_options_start_nothing(hub, change, field):
    """400 names field, value and what is allowed, by JupyterHub's route and by ours; nothing is submitted or saved."""
    options = OPTIONS | change
    for method, path, body in [
        ("POST", "/users/alice/servers/bad", {"user_options": options}),
        ("PUT", "/users/alice/servers/bad", {"user_options": options}),
        ("PUT", "/jsc/labs/alice/bad", {"title": "Bad", "options": options}),
    ]:
        answer = await hub.call(method, path, body, token=hub.tokens["alice"])
        assert (400, field) == (answer.status, answer.body["field"]), answer
        assert {"status", "message", "field", "value", "allowed"} == set(answer.body)

    assert not hub.manager.puts
    assert await hub.lab("bad") is None


@pytest.mark.parametrize(("change", "field"), [line[1:] for line in BAD_OPTIONS], ids=[line[0] for line in BAD_OPTIONS])
async def test_impossible_options_do_not_come_in_by_a_change(hub, change, field):
    """JupyterHub's own route to edit a stopped lab stores nothing either; what is possible it stores (V15)."""
    path = "/users/alice/servers/edited"
    await hub.call("PUT", "/jsc/labs/alice/edited", {"title": "x", "options": OPTIONS}, token=hub.tokens["alice"])
    possible = OPTIONS | {"resources": {"nodes": 2, "runtime": 10}}
    assert 200 == (await hub.call("PATCH", path, {"user_options": possible}, token=hub.tokens["alice"])).status
    answer = await hub.call("PATCH", path, {"user_options": OPTIONS | change}, token=hub.tokens["alice"])

    assert (400, field) == (answer.status, answer.body["field"])
    assert possible == (await hub.lab("edited"))["options"]


@pytest.mark.parametrize("body", [{"colour": "blue"}, {"user_options": OPTIONS, "state": {}}, {}, ["x"], "x", 7])
async def test_a_change_of_what_is_no_field_is_a_bad_request(hub, body):
    """V13: JupyterHub answers 500 to an unknown field."""
    await hub.call("PUT", "/jsc/labs/alice/fields", {"title": "x", "options": OPTIONS}, token=hub.tokens["alice"])
    answer = await hub.call("PATCH", "/users/alice/servers/fields", body, token=hub.tokens["alice"])

    assert 400 == answer.status
    assert answer.body["message"]
    assert OPTIONS == (await hub.lab("fields"))["options"]


async def test_a_newcomer_starts_nothing(hub):
    """Without any account every system is refused."""
    answer = await hub.call("POST", "/users/nora/servers/x", {"user_options": OPTIONS}, token=hub.tokens["nora"])

    assert (400, "system") == (answer.status, answer.body["field"])
