# SPDX-License-Identifier: BSD-3-Clause
"""Who may look: operators, users, nobody; handshakes that are replayed, forged, begun elsewhere; scripts; cookies."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.dashboard.conftest import PREFIX, browser_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_operator_gets_to_the_page_that_was_asked_for(oda):
    """Through the hub, without a question, and from then on at once."""
    answer = await oda.open("labs?state=failed")
    assert 200 == answer.status_code
    assert "Labs" in answer.text
    assert "oda" in answer.text
    assert 200 == (await oda.get("tunnels")).status_code


async def test_nobody_is_sent_to_the_hub(nobody):
    """With a state, a challenge and no page; the cookies are for the dashboard's pages alone."""
    answer = await nobody.get("failures")
    assert 302 == answer.status_code
    target = urlsplit(answer.headers["location"])
    query = parse_qs(target.query)
    assert "/hub/api/oauth2/authorize" == target.path
    assert ["service-dashboard"] == query["client_id"]
    assert ["S256"] == query["code_challenge_method"]
    cookie = answer.headers["set-cookie"].lower()
    for attribute in ("httponly", f"path={PREFIX}", "samesite=lax"):
        assert attribute in cookie
    assert "secure" not in cookie
    answer = await nobody.get("failures", **{"x-forwarded-proto": "https"})
    assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_user_without_the_right_gets_no_token(ulla):
    """The hub says so itself."""
    answer = await ulla.get("")
    status, _, text = await ulla.hub_get(answer.headers["location"])
    assert 403 == status
    assert "ask the support team" in text


async def test_a_users_own_token_opens_nothing(hub, nobody):
    """A token of the hub that lacks the access is told whom to ask; one that nobody knows must log in."""
    nobody.dashboard.cookies.set("service-dashboard", hub.tokens["alice"], domain="portal.example.org", path=PREFIX)
    answer = await nobody.get("")
    assert 403 == answer.status_code
    assert "ask the support team" in answer.text
    assert "Systems" not in answer.text
    for token in ("f" * 32, "x" * 5000, "ä"):
        answer = await nobody.dashboard.get(
            PREFIX, headers={"Cookie": f"service-dashboard={token}".encode("latin-1")}, follow_redirects=False
        )
        assert answer.status_code in {302, 403}
        assert "Systems" not in answer.text


async def test_a_services_token_is_no_users(hub, nobody):
    """Not even the dashboard's own."""
    nobody.dashboard.cookies.set("service-dashboard", hub.dashboard_token, domain="portal.example.org", path=PREFIX)
    assert 302 == (await nobody.get("")).status_code


async def test_a_callback_counts_once(oda):
    """Sent again, with all its cookies, it logs nobody in."""
    callback = await oda.handshake()
    held = dict(oda.dashboard.cookies)
    assert 303 == (await oda.get(callback)).status_code
    for name, value in held.items():
        oda.dashboard.cookies.set(name, value, domain="portal.example.org", path=PREFIX)
    answer = await oda.get(callback)
    assert 403 == answer.status_code
    assert "begun elsewhere" in answer.text


async def test_a_callback_of_another_browser_is_refused(oda, app, hub):
    """Nobody can be logged in as somebody else by a link; and the handshake is over by then."""
    callback = await oda.handshake()
    async with browser_of(app, hub) as victim:
        answer = await victim.get(callback)
        assert 403 == answer.status_code
        assert "service-dashboard=" not in answer.headers.get("set-cookie", "")
    assert 403 == (await oda.get(callback)).status_code


@pytest.mark.parametrize(
    "query",
    ["", "?state=x", "?code=x", "?code=x&state=", "?code=x&state=%00", "?error=access_denied", "?state=ä&code=b"],
)
async def test_a_callback_without_a_handshake_is_refused(nobody, query):
    answer = await nobody.get(f"oauth_callback{query}")
    assert 403 == answer.status_code
    assert "set-cookie" not in answer.headers


async def test_a_code_that_the_hub_did_not_give_logs_nobody_in(oda):
    """The state is right, the code is not: said as a page, without a session."""
    callback = await oda.handshake()
    state = parse_qs(urlsplit(callback).query)["state"][0]
    answer = await oda.get(f"oauth_callback?code=guessed&state={state}")
    assert 503 == answer.status_code
    assert "service-dashboard=" not in answer.headers.get("set-cookie", "")


async def test_two_pages_log_in_at_the_same_time(oda):
    """Neither handshake spoils the other."""
    first, second = await oda.handshake("labs"), await oda.handshake("tunnels")
    assert f"{PREFIX}tunnels" == (await oda.get(second)).headers["location"]
    assert f"{PREFIX}labs" == (await oda.get(first)).headers["location"]


async def test_a_script_without_a_session_begins_no_login(nobody):
    """It is told so, and reloads the page."""
    answer = await nobody.get("", **{"sec-fetch-mode": "cors"})
    assert 401 == answer.status_code
    assert "set-cookie" not in answer.headers


async def test_an_operator_who_leaves_the_group_is_out_at_the_next_login(oda, hub):
    """The hub gives no token any more."""
    assert 200 == (await oda.open("")).status_code
    answer = await hub.call("DELETE", "/groups/operators/users", {"users": ["oda"]})
    assert 200 == answer.status
    oda.dashboard.cookies.clear()
    answer = await oda.get("")
    status, _, _ = await oda.hub_get(answer.headers["location"])
    assert 403 == status
