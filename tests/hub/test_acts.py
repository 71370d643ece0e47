# SPDX-License-Identifier: BSD-3-Clause
"""What buttons send: start, cancel, delete, another group; refused with a reason, and never without the XSRF token."""

import re

import pytest

from jupyter_jsc.hub.frame import FRAGMENT
from tests.hub.visitor import BATCH


@pytest.mark.parametrize("path", ["/labs/new", "/labs/x/start", "/labs/x/delete", "/group"])
async def test_acts_need_the_xsrf_token(alice, path):
    """A form from elsewhere does nothing."""
    answer, _ = await alice.post(path, BATCH, xsrf=False)
    assert answer.status == 403


async def test_start_shows_the_start_and_cancel_ends_it(alice):
    """Start leads to the lab's page with its new start; a manager that is away makes it wait; cancel works."""
    answer, _ = await alice.post("/labs/new", BATCH | {"title": "begun", "action": "start"})
    assert (answer.status, answer.headers["Location"]) == (303, "/hub/labs/begun")
    _, text = await alice.get("/labs/begun")
    assert 'data-state="starting"' in text
    assert "Submitting to JUWELS." in text
    answer, text = await alice.get("/labs/begun/edit")
    assert answer.status == 409
    assert "Stop the lab before you edit it." in text
    answer, text = await alice.post("/labs/begun/delete", **{FRAGMENT: "1"})
    assert answer.status == 409
    assert "Stop it before you delete it." in text
    answer, _ = await alice.get("/spawn-pending/alice/begun?next=%2Fhub%2Fuser%2Falice%2Fbegun%2Flab%2Ftree%2Fa.ipynb")
    assert answer.headers["Location"] == "/hub/labs/begun?next=%2Fuser%2Falice%2Fbegun%2Flab%2Ftree%2Fa.ipynb"
    answer, _ = await alice.post("/labs/begun/cancel", **{FRAGMENT: "1"})
    assert answer.status == 204
    _, text = await alice.get("/labs/begun/card", **{FRAGMENT: "1"})
    assert 'data-state="starting"' not in text
    assert "<html" not in text


async def test_delete_removes_the_lab(alice):
    """A lab that was never started goes at once."""
    server = await alice.made("short lived")
    answer, _ = await alice.post(f"/labs/{server}/delete")
    assert answer.status == 303
    answer, _ = await alice.get(f"/labs/{server}")
    assert answer.status == 404


async def test_what_is_blocked_is_not_started(alice):
    """The lab's page says why, in the user's language."""
    server = await alice.made("waits", system="jureca", partition="login", place="jureca/login")
    answer, text = await alice.post(f"/labs/{server}/start", **{"Accept-Language": "de"})
    assert answer.status == 409
    assert re.search(r'role="alert">JURECA wird gewartet. Neue Platten.', text)


async def test_another_group_changes_what_there_is(alice):
    """In one group alone its rights count; the menu says which; back where one was; then all of them again."""
    _, text = await alice.get("/labs/new")
    assert 'id="system-cloud"' in text
    where = f"{alice.hub.address}/labs/new?like=x"
    answer, _ = await alice.post("/group", {"group": "friends"}, Referer=where)
    assert (answer.status, answer.headers["Location"]) == (303, "/hub/labs/new?like=x")
    _, text = await alice.get("/labs/new")
    assert 'id="system-cloud"' not in text
    assert re.search(r'class="jsc-acting"><span class="visually-hidden">in group </span>Friends<', text)
    assert re.search(r'value="friends"[^>]* checked', text)
    answer, _ = await alice.post("/group", {"group": ""}, **{FRAGMENT: "1"})
    assert answer.status == 204
    _, text = await alice.get("/labs/new")
    assert 'id="system-cloud"' in text
    assert "jsc-acting" not in text


@pytest.mark.parametrize("group", ["guests", "nope", "<b>"])
async def test_a_group_of_others_is_refused(alice, group):
    """Nothing changes."""
    answer, _ = await alice.post("/group", {"group": group})
    assert answer.status == 403
    _, text = await alice.get("/home")
    assert "jsc-acting" not in text


@pytest.mark.parametrize(
    "referer", ["", "https://evil.example/hub/home?x", "http://127.0.0.1:1/hub/labs/new", "{hub}/../x", "{hub}//evil"]
)
async def test_after_the_choice_of_a_group_one_is_at_home(alice, referer):
    """Only a page of ours is gone back to."""
    referer = referer.format(hub=alice.hub.address)
    answer, _ = await alice.post("/group", {"group": ""}, Referer=referer)
    assert answer.headers["Location"].startswith("/hub/")
    assert "//" not in answer.headers["Location"]


async def test_the_group_menu_is_only_there_for_a_choice(nora):
    """An exclusive group is no choice."""
    _, text = await nora.get("/home")
    assert 'id="user-menu"' in text
    assert 'action="/hub/group"' not in text
