# SPDX-License-Identifier: BSD-3-Clause
"""The pages for people: choice of the provider, login form, cancel, single sign-on, errors without a redirect.

Aspects: what a browser is sent, wrong passwords and their limit, the other provider's people, the form's token,
prompt and sessions, requests that are wrong (any text in any parameter), headers.
"""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.demo.identity_browser import AUTHORISE, CALLBACK, SCOPE, Browser, browsing, callback, new_app, query


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing(new_app()) as found:
        yield found


def heading(page: httpx.Response) -> str:
    assert page.status_code == 200
    return re.findall("<h1>(.*)</h1>", page.text)[0]


def sentence(page: httpx.Response) -> str:
    return re.findall('role="alert">(.*)</p>', page.text)[0]


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        ("jsc.password", "JSC account"),
        ("aai.password", "Helmholtz AAI"),
        (None, "Log in"),
        ("jsc", "Log in"),
        ("ldap.password", "Log in"),
    ],
)
async def test_preselection(browser: Browser, selected: str | None, expected: str) -> None:
    """``uy_select_authn`` names the login page; without a provider that exists there is a choice."""
    page = await browser.open(uy_select_authn=selected)
    assert expected == heading(page)


async def test_choice_leads_on(browser: Browser) -> None:
    """The choice keeps the request and leads to the login page, where the login goes on."""
    page = await browser.open(uy_select_authn=None)
    addresses = re.findall('<a href="([^"]+)">(.*)</a>', page.text)
    assert [label for _, label in addresses] == ["JSC account", "Helmholtz AAI"]
    page = await browser.http.get(page.url.join(addresses[1][0].replace("&amp;", "&")))
    assert heading(page) == "Helmholtz AAI"
    found = callback(await browser.submit(page, username="nora", password="nora-demo"))
    assert {"code", "state"} == set(found)


async def test_form(browser: Browser) -> None:
    """Password managers and screen readers know the fields; the first button is the one that logs in."""
    page = (await browser.open()).text
    assert '<label for="username">' in page
    assert '<label for="password">' in page
    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page
    assert re.findall("<button.*>(.*)</button>", page) == ["Log in", "Cancel"]


async def test_callback_has_code_and_state_only(browser: Browser) -> None:
    """The state comes back as it was sent, there is no ``iss``, and the page is not kept."""
    response = await browser.log_in(state="ä &=#")
    found = callback(response)
    assert ({"code", "state"}, "ä &=#") == (set(found), found["state"])
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("selected", ["jsc.password", None])
async def test_cancel(browser: Browser, selected: str | None) -> None:
    """Cancel leads back to the portal, which learns of it, from both pages."""
    page = await browser.open(uy_select_authn=selected)
    found = callback(await browser.submit(page, cancel="yes"))
    assert (found["error"], found["state"]) == ("access_denied", "a state")


async def test_wrong_password(browser: Browser) -> None:
    """The same page says so, keeps the name and not the password, and the right one still works."""
    page = await browser.log_in(password="guess")
    assert heading(page) == "JSC account"
    assert sentence(page) == "The user name or the password is wrong."
    assert 'value="alice"' in page.text
    assert "guess" not in page.text
    assert "code" in callback(await browser.submit(page, username=" alice ", password="alice-demo"))


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_tries_are_bounded(browser: Browser, name: str) -> None:
    """After five wrong passwords none is looked at for a minute, not even the right one; others may log in."""
    for _ in range(5):
        page = await browser.log_in(name, "guess")
    assert "wrong" in sentence(page)
    page = await browser.log_in(name, "alice-demo")
    assert sentence(page) == "Too many wrong passwords. Please try again in a minute."
    browser.provider.pass_time(61)
    assert "wrong" in sentence(await browser.log_in(name, "guess"))
    assert "code" in callback(await browser.log_in("alice"))


async def test_person_of_the_other_provider(browser: Browser) -> None:
    """Who belongs to the other provider is told so, but only with the right password."""
    page = await browser.log_in("nora")
    expected = "nora does not belong to JSC account. Please cancel and log in with Helmholtz AAI."
    assert expected == sentence(page)
    assert sentence(await browser.log_in("nora", "guess")) == "The user name or the password is wrong."


async def test_disabled(browser: Browser) -> None:
    """A disabled person is told so, also one who had logged in before."""
    assert "code" in callback(await browser.log_in())
    browser.provider.change("alice", disabled=True)
    assert callback(await browser.open())["error"] == "access_denied"
    page = await browser.log_in(prompt="login")
    assert sentence(page) == "This account is disabled. Please ask the support team."


async def test_outside_the_users_group(browser: Browser) -> None:
    """Who is not in the users' group is sent back with access_denied."""
    browser.provider.change("alice", groups=("/elsewhere",))
    assert callback(await browser.log_in())["error"] == "access_denied"


async def test_form_of_another_browser(browser: Browser) -> None:
    """A form's token is good in one browser only."""
    page = await browser.open()
    browser.http.cookies.clear()
    refused = await browser.submit(page, username="alice", password="alice-demo")
    assert sentence(refused) == "This page was out of date. Please try again."
    assert "code" in callback(await browser.submit(refused, username="alice", password="alice-demo"))


@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
async def test_wrong_form_token(browser: Browser, token: str) -> None:
    """Without the form's token nobody is logged in, and nothing is cancelled."""
    page = await browser.open()
    for fields in ({"username": "alice", "password": "alice-demo"}, {"cancel": "yes"}):
        refused = await browser.submit(page, csrf=token, **fields)
        assert sentence(refused) == "This page was out of date. Please try again."


class TestSingleSignOn:
    async def test_second_login_is_immediate(self, browser: Browser) -> None:
        """The same browser gets another code at once; the cookie ends with the browser and is out of scripts' reach."""
        first = await browser.log_in()
        second = callback(await browser.open())["code"]
        assert callback(first)["code"] != second
        assert (await browser.exchange(second)).status_code == 200
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "max-age" not in cookie
        assert "expires" not in cookie

    async def test_keeps_how_the_user_logged_in(self, browser: Browser) -> None:
        """Also a login by session tells the authenticator."""
        await browser.log_in("nora", uy_select_authn="aai.password")
        code = callback(await browser.open(uy_select_authn=None))["code"]
        tokens = (await browser.exchange(code)).json()
        assert (await browser.claims(tokens["access_token"]))["used_authenticator_attr"] == "[aai]"

    async def test_other_provider_asks(self, browser: Browser) -> None:
        """Who chooses the other provider is asked: the session is not theirs."""
        await browser.log_in()
        assert heading(await browser.open(uy_select_authn="aai.password")) == "Helmholtz AAI"

    async def test_ends(self, browser: Browser) -> None:
        """A session ends after twelve hours."""
        await browser.log_in()
        browser.provider.pass_time(12 * 3600 + 1)
        assert heading(await browser.open()) == "JSC account"

    async def test_prompt_login(self, browser: Browser) -> None:
        """prompt=login asks although there is a session, and the login then works; the old session is over."""
        await browser.log_in()
        page = await browser.open(prompt="login")
        assert heading(page) == "JSC account"
        assert "code" in callback(await browser.submit(page, username="oscar", password="oscar-demo"))
        tokens = (await browser.exchange(callback(await browser.open())["code"])).json()
        assert (await browser.claims(tokens["access_token"]))["username_attr"] == "oscar"
        assert len(browser.provider.sessions) == 1

    async def test_prompt_none(self, browser: Browser) -> None:
        """prompt=none never shows a page."""
        found = callback(await browser.open(prompt="none"))
        assert (found["error"], found["state"]) == ("login_required", "a state")
        await browser.log_in()
        assert "code" in callback(await browser.open(prompt="none"))
        assert callback(await browser.open(prompt="none", uy_select_authn="aai.password"))["error"] == "login_required"


class TestWrongRequests:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"redirect_uri": "http://localhost:8000/other"},
            {"redirect_uri": CALLBACK + "/"},
            {"redirect_uri": CALLBACK + "?a=b"},
            {"redirect_uri": CALLBACK.upper()},
            {"redirect_uri": 'http://evil.example.org/"\\'},
            {"redirect_uri": None},
            {"client_id": "other"},
            {"client_id": None},
            {"response_type": 'tok"en'},
        ],
    )
    async def test_no_redirect(self, browser: Browser, wrong: dict[str, str | None]) -> None:
        """A redirect URI that is not exactly the registered one, or an unknown client: a page, no redirect."""
        page = await browser.open(**wrong)
        assert (page.status_code, "Login is not possible" in page.text) == (400, True)
        assert "location" not in page.headers

    async def test_repeated_parameter(self, browser: Browser) -> None:
        """A parameter that comes twice is not interpreted."""
        page = await browser.http.get(AUTHORISE, params=[*query().items(), ("state", "other")])
        assert page.status_code == 400

    @pytest.mark.parametrize(
        ("wrong", "expected"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "unsupported_response_type"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"code_challenge_method": "S512"}, "invalid_request"),
            ({"prompt": "none login"}, "invalid_request"),
        ],
    )
    async def test_told_to_the_portal(self, browser: Browser, wrong: dict[str, str | None], expected: str) -> None:
        """Other mistakes go back to the portal with its state."""
        found = callback(await browser.open(**wrong))
        assert (expected, "a state") == (found["error"], found["state"])

    @pytest.mark.parametrize(
        ("raw", "expected"), [("x" * 9000, 414), ("state=%ff%00", 400), ("&".join(f"a{n}=" for n in range(60)), 400)]
    )
    async def test_unreadable(self, browser: Browser, raw: str, expected: int) -> None:
        """What is too long or no request is refused."""
        assert expected == (await browser.http.get(f"{AUTHORISE}?{raw}")).status_code

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        name=st.sampled_from([*query(), "prompt", "max_age", "claims"]),
        value=st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    )
    async def test_any_text(self, browser: Browser, name: str, value: str) -> None:
        """Whatever a parameter holds, there is an answer, and it is a page, an error page or the portal's callback."""
        response = await browser.open(**{name: value})
        assert response.status_code in {200, 302, 400}
        if response.status_code == 302:
            callback(response)
        elif value:
            assert "<script" not in response.text

    async def test_text_is_escaped(self, browser: Browser) -> None:
        """Text from the address and the form is text on the page."""
        page = await browser.log_in('"><script>alert(1)</script>', "guess", state='"><script>')
        assert "<script" not in page.text


async def test_reload_of_the_form_address(browser: Browser) -> None:
    """The address of a refused form opens the login page again."""
    page = await browser.log_in(password="guess")
    assert heading(await browser.http.get(page.url)) == "JSC account"


async def test_headers(browser: Browser) -> None:
    """No script, no foreign content, no frame; forms go to us and, through the redirect, to the portal."""
    for page in (await browser.open(), await browser.open(client_id="other")):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert policy.endswith("form-action 'self' http://localhost:8000")
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script|<style| style=| on\w+=", page.text)


@pytest.mark.parametrize(("path", "kind"), [("style.css", "text/css"), ("icon.svg", "image/svg+xml")])
async def test_files(browser: Browser, path: str, kind: str) -> None:
    """Style and icon are files of their own."""
    response = await browser.http.get(f"/oauth2-as/{path}")
    assert (200, kind) == (response.status_code, response.headers["content-type"].partition(";")[0])


async def test_scope_of_the_demo_opens_all_claims(browser: Browser) -> None:
    """The scopes that the demo's portal asks for open everything that it reads."""
    found = await browser.claims((await browser.tokens(scope=SCOPE))["access_token"])
    assert {"username_attr", "name", "email", "hpc_infos_attribute", "used_authenticator_attr"} < set(found)
