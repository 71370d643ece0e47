# SPDX-License-Identifier: BSD-3-Clause
"""The API about rights: the tree in both languages, the acting group, account lists pushed by an operators' service."""

import io

import aiohttp
import pytest

from tests.hub.test_stream import listening
from tests.hub.world import BEGINNING, OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUSH = "/jsc/users/nora/accounts"
GROUPS = {
    "all": {"label": "All", "members": [{"everybody": True}]},
    "course": {
        "label": "Course",
        "members": [{"users": ["alice"]}],
        "options": {"lab-4": {"allowed": {"systems": ["jureca"]}}},
    },
    "staff": {"label": "Staff", "members": [{"users": ["bob"]}]},
}


async def _options(hub, user="alice", query="", **headers):
    return (await hub.call("GET", f"/jsc/options{query}", token=hub.tokens[user], headers=headers)).body


async def test_options_show_what_the_caller_may_choose(hub):
    """The tree of one's own accounts, with its version; nothing for a newcomer, nothing for a lab's token."""
    mine, nobody = await _options(hub), await _options(hub, "nora")
    lab = await hub.start("asks")
    option = mine["systems"]["juwels"]["options"]["lab-4"]

    assert {"juwels", "jureca"} == set(mine["systems"])
    assert {"batch", "login"} == set(option["accounts"]["alice1"]["hai"])
    assert 120 == option["partitions"]["batch"]["resources"]["runtime"]["maximum"]
    assert (BEGINNING, [], []) == (mine["configuration"], mine["groups"], mine["member_of"])
    assert {} == nobody["systems"]
    assert 403 == (await hub.call("GET", "/jsc/options", token=lab.token)).status
    assert 403 == (await hub.call("GET", "/jsc/options", token="")).status
    await lab.cancel()


async def test_options_speak_the_callers_language(hub):
    """By the query, else by the browser's header."""
    text = {"en": "For tests.", "de": "Für Tests."}
    await hub.commit("texts", lambda tree: tree["systems"]["juwels"].update(description=text))
    asked = [
        await _options(hub),
        await _options(hub, query="?language=de"),
        await _options(hub, **{"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}),
    ]

    assert ["For tests.", "Für Tests.", "Für Tests."] == [body["systems"]["juwels"]["description"] for body in asked]


async def test_a_user_acts_in_one_group_or_in_all(hub):
    """What may be started follows; the user's pages are told; the next start carries the group alone."""
    await hub.commit("groups", lambda tree: tree.update(groups=GROUPS))
    token = hub.tokens["alice"]
    before = await _options(hub)
    async with listening(hub) as page:
        assert 204 == (await hub.call("PUT", "/jsc/group", {"group": "course"}, token=token)).status
        await until(page.lists)
    course = await _options(hub)
    lab = await hub.start("acting", system="jureca", project="climate", partition="dc-cpu")
    assert 204 == (await hub.call("PUT", "/jsc/group", {"group": None}, token=token)).status

    assert (["all", "course"], ["all", "course"]) == (before["groups"], before["member_of"])
    assert (["course"], ["all", "course"]) == (course["groups"], course["member_of"])
    assert {"jureca"} == set(course["systems"])
    assert ["course"] == lab.job["groups"]
    assert before == await _options(hub)
    await lab.cancel()


@pytest.mark.parametrize("group", ["staff", "nothing", ""])
async def test_a_foreign_group_is_refused(hub, group):
    """403 names the groups that are allowed."""
    await hub.commit("groups", lambda tree: tree.update(groups=GROUPS))
    answer = await hub.call("PUT", "/jsc/group", {"group": group}, token=hub.tokens["alice"])

    assert (403, "all, course") == (answer.status, answer.body["allowed"])
    assert ["all", "course"] == (await _options(hub))["groups"]


async def test_a_group_is_switched_by_its_user_alone(hub):
    """Not by a lab's token, a service's, none at all, or a page of another site with the user's cookie."""
    await hub.commit("groups", lambda tree: tree.update(groups=GROUPS))
    lab = await hub.start("switches")
    for token in (lab.token, hub.manager_token, hub.accounts_token, ""):
        assert 403 == (await hub.call("PUT", "/jsc/group", {"group": "course"}, token=token)).status
    await lab.cancel()
    for body in ({}, {"group": 7}, [], None):
        assert 400 == (await hub.call("PUT", "/jsc/group", body, token=hub.tokens["alice"])).status
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        await browser.get(f"{hub.hub}/login", headers={"Sec-Fetch-Mode": "navigate"})
        xsrf = {cookie.key: cookie.value for cookie in browser.cookie_jar}["_xsrf"]
        form = {"username": "carol", "password": "x", "_xsrf": xsrf}
        await browser.post(f"{hub.hub}/login", data=form, allow_redirects=False)
        await browser.get(f"{hub.hub}/token", headers={"Sec-Fetch-Mode": "navigate"})
        xsrf = {cookie.key: cookie.value for cookie in browser.cookie_jar}["_xsrf"]
        url = f"{hub.hub}/api/jsc/group"
        async with browser.put(url, json={"group": "all"}) as refused:
            assert 403 == refused.status
        async with browser.put(url, json={"group": "all"}, headers={"X-XSRFToken": xsrf}) as taken:
            assert 204 == taken.status

    assert ["all", "course"] == (await _options(hub))["groups"]


async def test_operators_push_accounts(hub):
    """The list is in force at once, the last push can be read, and an empty list takes everything away."""
    try:
        async with listening(hub, "nora") as page:
            body = {"accounts": ["nora1,juwels,HAI,nora", "nora1,jureca,climate,nora"]}
            assert 204 == (await hub.call("PUT", PUSH, body, token=hub.accounts_token)).status
            await until(page.lists)
        told = (await hub.call("GET", PUSH, token=hub.accounts_token)).body["last"]
        options = await _options(hub, "nora")
        lab = await hub.start("pushed", "nora", account="nora1")

        assert (2, "accounts") == (told["entries"], told["service"])
        assert {"hai"} == set(options["systems"]["juwels"]["options"]["lab-4"]["accounts"]["nora1"])
        await lab.cancel()
    finally:
        assert 204 == (await hub.call("PUT", PUSH, {"accounts": []}, token=hub.accounts_token)).status
    assert {} == (await _options(hub, "nora"))["systems"]
    refused = await hub.call("POST", "/users/nora/servers/x", {"user_options": OPTIONS}, token=hub.tokens["nora"])
    assert (400, "system") == (refused.status, refused.body["field"])


async def test_accounts_are_pushed_by_the_operators_service_alone(hub):
    """Not by users, administrators, managers or labs; of a user who is not there nothing is taken."""
    lab = await hub.start("pushes")
    for token in (hub.tokens["nora"], hub.admin_token, hub.manager_token, lab.token, ""):
        for method in ("PUT", "GET"):
            answer = await hub.call(method, PUSH, {"accounts": []} if method == "PUT" else None, token=token)
            assert 403 == answer.status, (method, token)
    await lab.cancel()
    unknown = "/jsc/users/nobody/accounts"
    for method in ("PUT", "GET"):
        answer = await hub.call(
            method, unknown, {"accounts": []} if method == "PUT" else None, token=hub.accounts_token
        )
        assert 404 == answer.status
    assert {"last": None} == (await hub.call("GET", "/jsc/users/alice/accounts", token=hub.accounts_token)).body


BAD = [
    ("three fields", ["a,juwels,p,x", "a,juwels,p"], "1 of 2", "'a,juwels,p'"),
    ("no person", ["a,juwels,p,"], "1 of 1", "'a,juwels,p,'"),
    ("a path", ["../x,juwels,p,x", "a,juwels,p;q,x"], "2 of 2", "'../x,juwels,p,x'"),
    ("numbers", [1, None, {}], "3 of 3", "1"),
    ("any bytes", ["\u0000,\u202e"], "1 of 1", r"'\x00,\u202e'"),
    ("too many", ["a,juwels,p,x"] * 2001, "1 of 2001", "'more entries than are taken'"),
]


@pytest.mark.parametrize(("entries", "count", "first"), [line[1:] for line in BAD], ids=[line[0] for line in BAD])
async def test_a_list_with_a_bad_entry_is_refused_whole(hub, entries, count, first):
    """400 with how many are bad and the first of them; nothing is changed."""
    answer = await hub.call("PUT", PUSH, {"accounts": entries}, token=hub.accounts_token)

    assert 400 == answer.status
    assert answer.body["message"].startswith(count)
    assert first == answer.body["value"]
    assert {} == (await _options(hub, "nora"))["systems"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"accounts": "a,juwels,p,x"}',
        b"[" * 30_000,
        io.BytesIO(b" " * 1_100_000),
    ],
    ids=["nothing", "half", "no text", "null", "a list", "no accounts", "a string", "deep", "large"],
)
async def test_a_push_that_is_no_list_is_refused(hub, raw):
    """400, whatever the bytes."""
    assert 400 == (await hub.call("PUT", PUSH, raw=raw, token=hub.accounts_token)).status
