# SPDX-License-Identifier: BSD-3-Clause
"""The endpoints that a portal calls: tokens, refresh, userinfo, revocation, introspection, keys.

Aspects: the whole code flow, PKCE, codes once and short-lived, client authentication, each habit of Unity at refresh,
rotation and reuse, snapshots of claims, what revocation ends, what the ID token says.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.demo.identity_browser import BASE, CALLBACK, CLIENT, SCOPE, Browser, browsing, new_app

DEAD = (400, {"error": "invalid_request", "error_description": "wrong refresh token"})


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing(new_app()) as found:
        yield found


@pytest.fixture
async def rotating() -> AsyncIterator[Browser]:
    async with browsing(new_app(rotate_refresh=True)) as found:
        yield found


def answer(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    return response.status_code, response.json()


async def test_whole_flow(browser: Browser) -> None:
    """A code with its verifier gives opaque tokens, whole seconds and the scopes that exist."""
    response = await browser.exchange(await browser.code())
    tokens = response.json()
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"} == set(tokens)
    assert (tokens["expires_in"], tokens["scope"], tokens["token_type"]) == (300, SCOPE, "Bearer")
    assert re.fullmatch(r"[\w-]{43}", tokens["access_token"])
    assert (await browser.claims(tokens["access_token"]))["username_attr"] == "alice"


async def test_id_token(browser: Browser) -> None:
    """RS256 by the one published key, both without kid; nothing but the six claims; the nonce also after a refresh."""
    tokens = await browser.tokens()
    keys = (await browser.http.get("/oauth2/jwk")).json()["keys"]
    assert [(key["kty"], "kid" in key, "d" in key) for key in keys] == [("RSA", False, False)]
    refreshed = (await browser.refresh(tokens["refresh_token"])).json()
    for token in (tokens["id_token"], refreshed["id_token"]):
        read = jwt.decode(token, KeySet.import_key_set({"keys": keys}), ["RS256"])
        assert read.header == {"alg": "RS256", "typ": "JWT"}
        assert {"sub", "aud", "iss", "exp", "iat", "nonce"} == set(read.claims)
        assert ("portal", f"{BASE}/oauth2", "a-nonce") == (read.claims["aud"], read.claims["iss"], read.claims["nonce"])
        assert (await browser.claims(tokens["access_token"]))["sub"] == read.claims["sub"]
        assert isinstance(read.claims["exp"], int)


async def test_no_nonce_no_openid(browser: Browser) -> None:
    """Without a nonce the ID token has none; without the scope openid there is no ID token."""
    keys = KeySet.import_key_set((await browser.http.get("/oauth2/jwk")).json())
    tokens = await browser.tokens(nonce=None)
    assert "nonce" not in jwt.decode(tokens["id_token"], keys, ["RS256"]).claims
    assert "id_token" not in await browser.tokens(scope="profile", prompt="login")


async def test_discovery(browser: Browser) -> None:
    """The issuer is the base of the token endpoint, every address answers, client authentication is not told."""
    found = (await browser.http.get("/oauth2/.well-known/openid-configuration")).json()
    assert f"{BASE}/oauth2" == found["issuer"]
    assert f"{BASE}/oauth2-as/oauth2-authz" == found["authorization_endpoint"]
    names = ["token", "userinfo", "introspection", "revocation"]
    paths = ["token", "userinfo", "introspect", "revoke"]
    assert [f"{BASE}/oauth2/{path}" for path in paths] == [found[f"{name}_endpoint"] for name in names]
    assert "token_endpoint_auth_methods_supported" not in found


async def test_unknown_scopes_are_dropped(browser: Browser) -> None:
    """A scope that does not exist is no error; the first answer keeps silent about offline_access, a refresh not."""
    tokens = await browser.tokens(scope="openid nonsense username offline_access")
    assert tokens["scope"] == "openid username"
    refreshed = (await browser.refresh(tokens["refresh_token"])).json()
    assert refreshed["scope"] == "openid username offline_access"
    assert {"sub", "username_attr"} == set(await browser.claims(tokens["access_token"]))


@pytest.mark.parametrize(
    ("name", "idp", "expected"),
    [
        ("alice", "jsc", {"hpc_infos_attribute": list, "eduperson_entitlement": list, "groups": list}),
        ("nora", "aai", {"eduperson_entitlement": str, "groups": list}),
        ("oscar", "jsc", {"hpc_infos_attribute": str, "groups": list}),
    ],
)
async def test_values(browser: Browser, name: str, idp: str, expected: dict[str, type]) -> None:
    """One value is a string, several are a list, none is no claim; groups come with root and parents."""
    tokens = await browser.tokens(name, uy_select_authn=f"{idp}.password")
    found = await browser.claims(tokens["access_token"])
    several = ("hpc_infos_attribute", "eduperson_entitlement", "groups")
    assert expected == {key: type(found[key]) for key in several if key in found}
    assert found["groups"][:2] == ["/", "/portal"]
    assert f"[{idp}]" == found["used_authenticator_attr"]


async def test_subject_is_stable() -> None:
    """A person's sub is a UUID, the same in every run of the provider and different for each person."""
    subjects = []
    for name, idp in (("alice", "jsc"), ("alice", "jsc"), ("oscar", "jsc")):
        async with browsing(new_app()) as browser:
            tokens = await browser.tokens(name, uy_select_authn=f"{idp}.password")
            subjects.append((await browser.claims(tokens["access_token"]))["sub"])
    assert subjects[0] == subjects[1] == str(uuid.UUID(subjects[0]))
    assert subjects[0] != subjects[2]


class TestCodes:
    async def test_replayed(self, browser: Browser) -> None:
        """A code is good once."""
        code = await browser.code()
        assert (await browser.exchange(code)).status_code == 200
        assert self.error(await browser.exchange(code)) == (400, "invalid_grant")

    async def test_wrong_verifier_uses_it_up(self, browser: Browser) -> None:
        """A wrong verifier is refused, and the right one comes too late."""
        code = await browser.code()
        assert self.error(await browser.exchange(code, code_verifier="w" * 43)) == (400, "invalid_grant")
        assert self.error(await browser.exchange(code)) == (400, "invalid_grant")

    async def test_missing_verifier(self, browser: Browser) -> None:
        """Who sent a challenge has to send the verifier."""
        form = {"grant_type": "authorization_code", "code": await browser.code(), "redirect_uri": CALLBACK}
        response = await browser.http.post("/oauth2/token", data=form, auth=CLIENT)
        assert self.error(response) == (400, "invalid_request")

    async def test_without_pkce(self, browser: Browser) -> None:
        """PKCE is not enforced."""
        code = await browser.code(code_challenge=None, code_challenge_method=None)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        assert (await browser.http.post("/oauth2/token", data=form, auth=CLIENT)).status_code == 200

    async def test_other_redirect_uri(self, browser: Browser) -> None:
        """The redirect URI has to be the same at both ends."""
        response = await browser.exchange(await browser.code(), redirect_uri=CALLBACK + "/")
        assert self.error(response) == (400, "invalid_grant")

    async def test_expired(self, browser: Browser) -> None:
        """A code lives for a minute."""
        code = await browser.code()
        browser.provider.pass_time(61)
        assert self.error(await browser.exchange(code)) == (400, "invalid_grant")

    async def test_wrong_client_does_not_use_it_up(self, browser: Browser) -> None:
        """Who is not the client cannot spoil a code."""
        code = await browser.code()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        assert (await browser.http.post("/oauth2/token", data=form, auth=("portal", "wrong"))).status_code == 403
        assert (await browser.exchange(code)).status_code == 200

    @staticmethod
    def error(response: httpx.Response) -> tuple[int, str]:
        return response.status_code, response.json()["error"]


@pytest.mark.parametrize(
    ("headers", "form", "expected"),
    [
        ({}, {}, (401, "invalid_client")),
        ({}, {"client_id": "portal", "client_secret": "client-secret"}, (401, "invalid_client")),
        ({"Authorization": httpx.BasicAuth("portal", "wrong")._auth_header}, {}, (403, "invalid_client")),
        ({"Authorization": httpx.BasicAuth("other", "client-secret")._auth_header}, {}, (403, "invalid_client")),
        ({"Authorization": "Basic //79"}, {}, (401, "invalid_client")),
        ({"Authorization": "Basic ?"}, {}, (401, "invalid_client")),
    ],
    ids=["none", "in the body", "wrong secret", "unknown client", "no text", "no base64"],
)
@pytest.mark.parametrize("path", ["token", "introspect"])
async def test_client_authentication(
    browser: Browser, path: str, headers: dict[str, str], form: dict[str, str], expected: tuple[int, str]
) -> None:
    """Only Basic proves the client; a wrong secret is 403, a secret in the body 401."""
    sent = {"grant_type": "refresh_token", "refresh_token": "r" * 43, "token": "t" * 43} | form
    response = await browser.http.post(f"/oauth2/{path}", data=sent, headers=headers)
    assert expected == (response.status_code, response.json()["error"])


class TestRefresh:
    async def test_same_token_goes_on(self, browser: Browser) -> None:
        """No new refresh token, the old access token stays good, parallel refreshes all succeed."""
        tokens = await browser.tokens()
        responses = await asyncio.gather(*(browser.refresh(tokens["refresh_token"]) for _ in range(8)))
        assert [response.status_code for response in responses] == [200] * 8
        assert not any("refresh_token" in response.json() for response in responses)
        assert browser.provider.refreshes == 8
        await browser.claims(tokens["access_token"])
        await browser.claims(responses[-1].json()["access_token"])

    async def test_snapshot(self, browser: Browser) -> None:
        """Changes show with the next access token, never with an old one."""
        tokens = await browser.tokens()
        before = await browser.claims(tokens["access_token"])
        browser.provider.change("alice", accounts=(), groups=("/portal/course",))
        assert before == await browser.claims(tokens["access_token"])
        fresh = (await browser.refresh(tokens["refresh_token"])).json()
        after = await browser.claims(fresh["access_token"])
        assert "hpc_infos_attribute" not in after
        assert after["groups"] == ["/", "/portal", "/portal/course"]
        assert before == await browser.claims(tokens["access_token"])

    async def test_tells_how_the_client_logged_in(self, browser: Browser) -> None:
        """After a refresh the claim about the authenticator is wrong."""
        tokens = await browser.tokens()
        fresh = (await browser.refresh(tokens["refresh_token"])).json()
        assert (await browser.claims(tokens["access_token"]))["used_authenticator_attr"] == "[jsc]"
        assert (await browser.claims(fresh["access_token"]))["used_authenticator_attr"] == "[pwd]"

    async def test_smaller_scope(self, browser: Browser) -> None:
        """A refresh may ask for less than the login, not for more."""
        tokens = await browser.tokens()
        less = (await browser.refresh(tokens["refresh_token"], scope="openid username")).json()
        assert {"sub", "username_attr"} == set(await browser.claims(less["access_token"]))
        more = await browser.refresh(tokens["refresh_token"], scope="openid single-logout")
        assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")

    async def test_unknown(self, browser: Browser) -> None:
        """An unknown refresh token is an invalid request, in Unity's words."""
        assert answer(await browser.refresh("x" * 43)) == DEAD

    async def test_expired(self, browser: Browser) -> None:
        """So is an expired one."""
        tokens = await browser.tokens()
        browser.provider.pass_time(12 * 3600)
        assert answer(await browser.refresh(tokens["refresh_token"])) == DEAD

    async def test_ended_by_an_administrator(self, browser: Browser) -> None:
        """So is an ended one; the access token lives on, and another person's login too."""
        tokens = await browser.tokens()
        browser.provider.end_refresh_tokens("oscar")
        assert (await browser.refresh(tokens["refresh_token"])).status_code == 200
        browser.provider.end_refresh_tokens("alice")
        assert answer(await browser.refresh(tokens["refresh_token"])) == DEAD
        await browser.claims(tokens["access_token"])

    async def test_disabled(self, browser: Browser) -> None:
        """A disabled user is a server error; the access token works till its end and looks active."""
        tokens = await browser.tokens()
        browser.provider.change("alice", disabled=True)
        expected = {"error": "server_error", "error_description": "The entity is disabled"}
        assert (500, expected) == answer(await browser.refresh(tokens["refresh_token"]))
        await browser.claims(tokens["access_token"])
        assert (await browser.introspect(tokens["access_token"])).json()["active"]

    async def test_left_the_group(self, browser: Browser) -> None:
        """Who left the users' group is denied."""
        tokens = await browser.tokens()
        browser.provider.change("alice", groups=("/elsewhere",))
        status, body = answer(await browser.refresh(tokens["refresh_token"]))
        assert (status, body["error"]) == (403, "access_denied")


class TestRotation:
    async def test_each_token_once(self, rotating: Browser) -> None:
        """Each refresh gives a new refresh token; the ID token and the old access token stay good."""
        first = await rotating.tokens()
        second = (await rotating.refresh(first["refresh_token"])).json()
        third = (await rotating.refresh(second["refresh_token"])).json()
        assert len({tokens["refresh_token"] for tokens in (first, second, third)}) == 3
        for tokens in (first, second, third):
            await rotating.claims(tokens["access_token"])

    async def test_reuse_kills_the_login(self, rotating: Browser) -> None:
        """A used refresh token ends every token of the login, and of no other."""
        other = await rotating.tokens()
        first = await rotating.tokens(prompt="login")
        second = (await rotating.refresh(first["refresh_token"])).json()
        status, body = answer(await rotating.refresh(first["refresh_token"]))
        assert (status, body["error"]) == (400, "invalid_grant")
        assert (await rotating.refresh(second["refresh_token"])).status_code == 400
        assert (await rotating.userinfo(second["access_token"])).status_code == 401
        assert (await rotating.userinfo(first["access_token"])).status_code == 401
        assert (await rotating.refresh(other["refresh_token"])).status_code == 200

    async def test_race_costs_the_login(self, rotating: Browser) -> None:
        """Of parallel refreshes one wins, and its token is dead as well."""
        first = await rotating.tokens()
        responses = await asyncio.gather(*(rotating.refresh(first["refresh_token"]) for _ in range(4)))
        assert sorted(response.status_code for response in responses) == [200, 400, 400, 400]
        winner = next(response.json() for response in responses if response.status_code == 200)
        assert (await rotating.refresh(winner["refresh_token"])).status_code == 400

    async def test_unknown(self, rotating: Browser) -> None:
        """With rotation a dead refresh token is an invalid grant."""
        status, body = answer(await rotating.refresh("x" * 43))
        assert (status, body["error"]) == (400, "invalid_grant")


class TestUserinfo:
    @pytest.mark.parametrize("path", ["userinfo", "tokeninfo"])
    @pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer " + "x" * 43}, {"Authorization": "Basic x"}])
    async def test_dead(self, browser: Browser, path: str, header: dict[str, str]) -> None:
        """A dead token is 401 with an empty body and WWW-Authenticate."""
        response = await browser.http.get(f"/oauth2/{path}", headers=header)
        assert (response.status_code, response.content) == (401, b"")
        assert response.headers["www-authenticate"].startswith("Bearer")

    async def test_expired(self, browser: Browser) -> None:
        """An access token lives as long as it was said."""
        tokens = await browser.tokens()
        browser.provider.pass_time(tokens["expires_in"] - 2)
        await browser.claims(tokens["access_token"])
        browser.provider.pass_time(2)
        assert (await browser.userinfo(tokens["access_token"])).status_code == 401

    async def test_signed_is_not_offered(self, browser: Browser) -> None:
        """Who asks for a JWT gets an error."""
        token = (await browser.tokens())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/jwt"}
        response = await browser.http.get("/oauth2/userinfo", headers=headers)
        assert (response.status_code, response.json()["error"]) == (400, "server_error")

    async def test_tokeninfo(self, browser: Browser) -> None:
        """Scope is a list here, exp whole seconds."""
        token = (await browser.tokens(scope="openid username"))["access_token"]
        found = (await browser.http.get("/oauth2/tokeninfo", headers={"Authorization": f"Bearer {token}"})).json()
        assert {"sub", "client_id", "aud", "exp", "scope"} == set(found)
        assert (["openid", "username"], "portal", int) == (found["scope"], found["client_id"], type(found["exp"]))


class TestIntrospection:
    async def test_active(self, browser: Browser) -> None:
        """Both kinds of token are active; scope is a string."""
        tokens = await browser.tokens(scope="openid username")
        for kind in ("access_token", "refresh_token"):
            found = (await browser.introspect(tokens[kind])).json()
            assert (found["active"], found["scope"], found["client_id"]) == (True, "openid username", "portal")

    async def test_dead(self, browser: Browser) -> None:
        """An unknown token is inactive and nothing else is said; one that cannot be a token is an error."""
        assert answer(await browser.introspect("x" * 43)) == (200, {"active": False})
        status, body = answer(await browser.introspect("nope"))
        assert (status, body["error"]) == (400, "invalid_request")


class TestRevocation:
    async def test_access_token(self, browser: Browser) -> None:
        """The access token is dead, the refresh token lives."""
        tokens = await browser.tokens()
        response = await browser.revoke(tokens["access_token"])
        assert (response.status_code, response.content) == (200, b"")
        assert (await browser.userinfo(tokens["access_token"])).status_code == 401
        assert (await browser.refresh(tokens["refresh_token"])).status_code == 200

    async def test_refresh_token(self, browser: Browser) -> None:
        """The refresh token is dead, the access token lives till its end."""
        tokens = await browser.tokens()
        assert (await browser.revoke(tokens["refresh_token"], token_type_hint="refresh_token")).status_code == 200
        assert answer(await browser.refresh(tokens["refresh_token"])) == DEAD
        await browser.claims(tokens["access_token"])

    async def test_unknown(self, browser: Browser) -> None:
        """Revoking what is not there succeeds."""
        response = await browser.revoke("x" * 43)
        assert (response.status_code, response.content) == (200, b"")

    async def test_client_id_is_needed(self, browser: Browser) -> None:
        """Basic alone does not do, another's client_id is refused, so is a bad Basic; nothing is revoked."""
        tokens = await browser.tokens()
        token = tokens["refresh_token"]
        revoke = browser.http.post
        assert (await revoke("/oauth2/revoke", data={"token": token}, auth=CLIENT)).status_code == 400
        assert (await browser.revoke(token, client_id="other")).status_code == 401
        form = {"token": token, "client_id": "portal"}
        assert (await revoke("/oauth2/revoke", data=form, auth=("portal", "wrong"))).status_code == 403
        assert (await browser.refresh(token)).status_code == 200
        assert (await revoke("/oauth2/revoke", data=form, auth=CLIENT)).status_code == 200
        assert answer(await browser.refresh(token)) == DEAD

    async def test_logout_without_the_scope(self, browser: Browser) -> None:
        """logout=true without the scope is an error, and nothing is revoked."""
        tokens = await browser.tokens()
        status, body = answer(await browser.revoke(tokens["refresh_token"], logout="true"))
        assert (status, body["error"]) == (400, "invalid_scope")
        assert (await browser.refresh(tokens["refresh_token"])).status_code == 200
        assert (await browser.open()).status_code == 302

    async def test_logout(self, browser: Browser) -> None:
        """With the scope the browser's session ends too: the next login asks for the password."""
        tokens = await browser.tokens(scope=f"{SCOPE} single-logout")
        assert (await browser.open()).status_code == 302
        assert (await browser.revoke(tokens["refresh_token"], logout="true")).status_code == 200
        assert (await browser.open()).status_code == 200


class TestBadForms:
    @pytest.mark.parametrize("path", ["token", "introspect", "revoke"])
    @pytest.mark.parametrize(
        ("content", "kind", "expected"),
        [
            (b"token=a&token=b", "application/x-www-form-urlencoded", 400),
            (b"token=\xff", "application/x-www-form-urlencoded", 400),
            (b"&".join(b"f%d=1" % n for n in range(60)), "application/x-www-form-urlencoded", 400),
            (b"{}", "application/json", 400),
            (b"token=" + b"x" * 20000, "application/x-www-form-urlencoded", 413),
        ],
        ids=["repeated", "no text", "too many", "json", "too long"],
    )
    async def test_refused(self, browser: Browser, path: str, content: bytes, kind: str, expected: int) -> None:
        """What is no proper form is an invalid request."""
        headers = {"Content-Type": kind}
        response = await browser.http.post(f"/oauth2/{path}", content=content, headers=headers, auth=CLIENT)
        assert (expected, "invalid_request") == (response.status_code, response.json()["error"])

    async def test_grant_type(self, browser: Browser) -> None:
        """Other grants do not exist."""
        form = {"grant_type": 'pass"word', "username": "alice", "password": "alice-demo"}
        response = await browser.http.post("/oauth2/token", data=form, auth=CLIENT)
        assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


def test_state_is_at_hand() -> None:
    """Tests find the provider's memory on the application, and no secret in its text."""
    app: FastAPI = new_app()
    assert CLIENT[1] not in repr(app.state.provider.settings)
    assert "alice-demo" not in repr(app.state.provider.people)
