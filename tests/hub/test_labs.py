# SPDX-License-Identifier: BSD-3-Clause
"""Labs as users keep them: create, change, list, delete, and what state they are in."""

import pytest

from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOGIN_NODE = OPTIONS | {"partition": "login", "resources": {}}


async def _put(hub, server, body, user="alice"):
    return await hub.call("PUT", f"/jsc/labs/{user}/{server}", body, token=hub.tokens[user])


async def test_a_lab_is_created_changed_and_deleted(hub):
    """Title and options are kept while it is stopped; JupyterHub knows the same."""
    created = await _put(hub, "kept", {"title": " My lab ", "options": OPTIONS})
    assert (200, "My lab", OPTIONS, "stopped") == (
        created.status,
        *(created.body[key] for key in ("title", "options", "state")),
    )
    changed = await _put(hub, "kept", {"title": "Other", "options": LOGIN_NODE})
    assert ("Other", LOGIN_NODE) == (changed.body["title"], changed.body["options"])
    server = (await hub.call("GET", "/users/alice/servers/kept")).body
    assert ("Other", LOGIN_NODE) == (server["display_name"], server["user_options"])

    assert 204 == (await hub.call("DELETE", "/jsc/labs/alice/kept", token=hub.tokens["alice"])).status
    assert await hub.lab("kept") is None
    assert 404 == (await hub.call("DELETE", "/jsc/labs/alice/kept", token=hub.tokens["alice"])).status


@pytest.mark.parametrize(
    ("server", "title", "field"),
    [
        ("fine", "", "title"),
        ("fine", "   ", "title"),
        ("fine", "x" * 61, "title"),
        ("fine", "a\u0000b", "title"),
        ("fine", 7, "title"),
        ("fine", None, "title"),
        ("Capital", "x", "server"),
        ("double--hyphen", "x", "server"),
        ("0digit", "x", "server"),
        ("a" * 31, "x", "server"),
    ],
)
async def test_bad_titles_and_names_are_refused(hub, server, title, field):
    """400 names the field and what is allowed."""
    answer = await _put(hub, server, {"title": title, "options": OPTIONS})

    assert (400, field) == (answer.status, answer.body["field"])
    assert await hub.lab(server) is None


async def test_a_lab_in_use_is_neither_changed_nor_deleted(hub):
    """Stop it first: 409, at every moment of its life."""
    lab = await hub.start("used")
    await lab.until_code("queued")
    for step in ("starting", "running"):
        if step == "running":
            hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
            await lab.started()
            await lab.until_code("ready")
        assert 409 == (await _put(hub, "used", {"title": "New", "options": LOGIN_NODE})).status
        assert 409 == (await hub.call("DELETE", "/jsc/labs/alice/used", token=hub.tokens["alice"])).status
    await lab.stop()
    assert OPTIONS == (await hub.lab("used"))["options"]


async def test_the_list_shows_state_start_and_outcome(hub):
    """From stopped over starting and running to stopped; the newest start with its last event."""
    await _put(hub, "listed", {"title": "Listed", "options": OPTIONS})
    before = await hub.lab("listed")
    lab = await hub.start("listed")
    queued = await until(lambda: _with(hub, "listed", "queued"))
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.started()
    await lab.until_code("ready")
    running = await until(lambda: _in(hub, "listed", "running"))
    await lab.stop()
    after = await hub.lab("listed")

    assert ("stopped", None) == (before["state"], before["start"])
    assert ("starting", None) == (queued["state"], queued["start"]["outcome"])
    assert ("running", "/user/alice/listed/") == (running["state"], running["url"])
    assert ("stopped", "stopped") == (after["state"], after["start"]["outcome"])


async def _with(hub, server, code):
    lab = await hub.lab(server)
    return lab if lab["start"] and (lab["start"]["last"] or {}).get("code") == code else None


async def _in(hub, server, state):
    lab = await hub.lab(server)
    return lab if lab["state"] == state else None


async def test_the_next_start_is_starting_from_its_first_moment(hub):
    """While the new start is not yet in the journal, the outcome of the former one does not show as stopping."""
    former = await hub.running("next")
    await former.stop()
    states = set()
    hub.manager.mode = "down"
    await hub.call("POST", "/users/alice/servers/next", token=hub.tokens["alice"])
    for _ in range(20):
        states.add(await hub.state("next"))
    await hub.call("POST", "/jsc/labs/alice/next/cancel", token=hub.tokens["alice"])

    assert {"starting"} == states


async def test_options_that_are_no_longer_possible_are_told(hub):
    """The lab stays in the list, with the reason; it cannot be started."""
    await _put(hub, "outdated", {"title": "Outdated", "options": OPTIONS | {"account": "bob1"}}, "bob")
    changed = {"auth_state": {"accounts": []}}
    await hub.call("PATCH", "/users/bob", changed)
    lab = await hub.lab("outdated", "bob")
    answer = await hub.call("POST", "/users/bob/servers/outdated", token=hub.tokens["bob"])
    await hub.user("bob")

    assert lab["problem"].startswith("system: 'juwels' is not possible")
    assert (400, "system") == (answer.status, answer.body["field"])
    assert "" == (await hub.lab("outdated", "bob"))["problem"]


async def test_earlier_starts_can_be_read(hub):
    """Newest first, each with its own history."""
    first = await hub.running("past")
    await first.stop()
    second = await hub.start("past")
    await second.until_code("queued")
    await second.cancel()
    answer = await hub.call("GET", "/jsc/labs/alice/past/starts", token=hub.tokens["alice"])

    assert [second.start_id, first.start_id] == [start["start_id"] for start in answer.body["starts"]]
    assert ["cancelled", "stopped"] == [start["outcome"] for start in answer.body["starts"]]
    assert "ready" in await first.codes()
    assert "ready" not in await second.codes()


async def test_a_deleted_lab_begins_without_a_past(hub):
    """Delete waits until the last job is proven gone, then forgets the history."""
    lab = await hub.running("reborn")
    await lab.stop()
    assert 204 == (await hub.call("DELETE", "/jsc/labs/alice/reborn", token=hub.tokens["alice"])).status
    await _put(hub, "reborn", {"title": "Reborn", "options": OPTIONS})

    assert (await hub.lab("reborn"))["start"] is None
    assert [] == await lab.events()
