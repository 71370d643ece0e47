# SPDX-License-Identifier: BSD-3-Clause
"""Tokens kept fresh against the demo's provider, with and without rotation.

Aspects: one refresh for many askers; the old refresh token kept, the new one stored; outcome by class of failure; a
swapped person; facts of the login; nothing secret in the log; revocation.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jupyterhub.handlers.base import BaseHandler
from pydantic import SecretStr

from jupyter_jsc.demo.identity import IdentitySettings, create_identity_provider
from jupyter_jsc.errors import CredentialRefused, Unavailable
from jupyter_jsc.hub.authenticator import LabAuthenticator
from jupyter_jsc.hub.login import LoginFailed
from tests.demo.identity_browser import CALLBACK, CLIENT, Browser
from tests.demo.unicore.conftest import serve


class User:
    """JupyterHub's user, as far as the authenticator knows it: a name and an auth_state that is stored."""

    def __init__(self, name: str, state: dict[str, Any] | None) -> None:
        self.name = name
        self.state = state
        self.saved: list[dict[str, Any]] = []
        self.logs_in_after_read: dict[str, Any] | None = None

    async def get_auth_state(self) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        state, self.state = self.state, self.logs_in_after_read or self.state
        return state

    async def save_auth_state(self, state: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.state = state
        self.saved.append(state)


class World:
    """A provider on loopback and the authenticator that uses it."""

    def __init__(self, app: FastAPI, port: int) -> None:
        base = f"http://127.0.0.1:{port}"
        self.base = base
        self.nowhere = "http://127.0.0.1:9/"
        self.provider = app.state.provider
        self.authenticator = LabAuthenticator(
            client_id=CLIENT[0],
            client_secret=CLIENT[1],
            token_url=f"{base}/oauth2/token",
            userdata_url=f"{base}/oauth2/userinfo",
            revoke_url=f"{base}/oauth2/revoke",
        )
        trusted = SimpleNamespace(account_namespaces=["urn:x"])
        self.authenticator._portal = SimpleNamespace(state_locks=defaultdict(asyncio.Lock), configuration=trusted)

    def end_pauses(self) -> None:
        """Let the pauses after failures be over."""
        for patience in self.authenticator._patience.values():
            patience.until = 0.0

    async def user(self, name: str = "alice", *, expires_in: float = 0.0, **more: Any) -> User:
        """A user who logged in; the access token counts as ending in *expires_in* seconds."""
        async with httpx.AsyncClient(base_url=self.base) as http:
            tokens = await Browser(http, self.provider).tokens(name)
        model = await self.authenticator._token_to_auth_model(tokens)
        return User(name, model["auth_state"] | {"expires_at": time.time() + expires_in} | more)


@contextlib.asynccontextmanager
async def world_of(**settings: Any) -> AsyncIterator[World]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        made = IdentitySettings(f"http://127.0.0.1:{port}", *CLIENT, (CALLBACK,), **settings)
        app = create_identity_provider(made)
        async with serve(app, sock):
            yield World(app, port)


@pytest.fixture(params=[False, True], ids=["kept", "rotated"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with world_of(rotate_refresh=request.param) as world:
        yield world


async def test_a_login_keeps_what_later_steps_need(world: World) -> None:
    """Tokens, their end, accounts with their keys, and how the person logged in; no second copy of the tokens."""
    user = await world.user()
    assert user.state is not None
    assert {"access_token", "refresh_token", "expires_at", "accounts", "login"} <= set(user.state)
    assert "token_response" not in user.state
    assert [] != [key for _, key, _ in user.state["accounts"] if key.startswith("juwels")]
    assert "jsc" in str(user.state["login"]["authenticator"])


async def test_a_token_that_is_still_good_is_handed_out(world: World) -> None:
    """The provider is not asked without need."""
    user = await world.user(expires_in=120)
    before = user.state["access_token"]
    assert (await world.authenticator.fresh_access_token(user)).get_secret_value() == before
    assert world.provider.refreshes == 0


async def test_many_askers_make_one_refresh(world: World) -> None:
    """Eight tabs and three labs cost one request; a second one would end the login where tokens rotate."""
    user = await world.user()
    tokens = await asyncio.gather(*(world.authenticator.fresh_access_token(user) for _ in range(8)))
    assert len({token.get_secret_value() for token in tokens}) == 1
    assert world.provider.refreshes == 1
    user.state["expires_at"] = 0
    await world.authenticator.fresh_access_token(user)
    assert world.provider.refreshes == 2


async def test_a_refused_token_is_refreshed_before_its_time(world: World) -> None:
    """Several starts that are refused with the same token cost one request; another one's token is left alone."""
    user = await world.user(expires_in=120)
    refused = await world.authenticator.fresh_access_token(user)
    tokens = await asyncio.gather(
        *(world.authenticator.fresh_access_token(user, refused=refused) for _ in range(3)),
        world.authenticator.fresh_access_token(user, refused=SecretStr("of another time")),
    )
    assert len({token.get_secret_value() for token in tokens} - {refused.get_secret_value()}) == 1
    assert tokens[0] == tokens[2] == tokens[3] != refused
    assert world.provider.refreshes == 1


async def test_a_new_refresh_token_is_stored_before_it_is_used(world: World, request: pytest.FixtureRequest) -> None:
    """A crash after the answer of the token endpoint costs nothing."""
    user = await world.user()
    old = user.state["refresh_token"]
    await world.authenticator.fresh_access_token(user)
    assert len(user.saved) == 2
    assert user.saved[0]["refresh_token"] == user.saved[1]["refresh_token"]
    rotates = user.state["refresh_token"] != old
    assert rotates is request.node.callspec.params["world"]


async def test_rights_are_fresh_and_facts_of_the_login_stay(world: World) -> None:
    """Accounts follow the provider; how the person logged in does not change by a refresh."""
    user = await world.user()
    login = user.state["login"]
    world.provider.change("alice", accounts=("alice1,juwels,hai,a@x.org",))
    assert await world.authenticator.refresh_user(user) is True
    assert user.state["accounts"] == [["alice1", "juwels", "hai"]]
    assert user.state["login"] == login


async def test_a_pushed_list_counts_until_the_provider_tells_one(world: World) -> None:
    """A refresh whose answer has the claim takes the place of what was pushed; one without leaves it, as a login does."""
    pushed = {"time": 1, "accounts": [["x", "juwels", "y"]]}
    user = await world.user(pushed=pushed, group="course")
    world.authenticator.accounts_claim = "a_claim_that_is_not_told"
    assert await world.authenticator.refresh_user(user) is True
    assert (user.state["pushed"], user.state["accounts"]) == (pushed, [])
    model = {"name": "alice", "auth_state": (await world.user()).state}
    kept = world.authenticator.reconcile_auth_state_hook(world.authenticator, model, user.state)
    assert (kept["pushed"], kept["group"]) == (pushed, "course")
    world.authenticator.accounts_claim = "hpc_infos_attribute"
    user.state["checked"] = False
    assert await world.authenticator.refresh_user(user) is True
    assert user.state["pushed"] is None
    assert user.state["accounts"]
    assert user.state["group"] == "course"
    again = {"name": "alice", "auth_state": (await world.user()).state}
    assert world.authenticator.reconcile_auth_state_hook(world.authenticator, again, kept)["pushed"] is None


async def test_entitlements_and_groups_become_rights(world: World) -> None:
    """Groups of either claim with their ancestors; what is no claim gives nothing."""
    world.authenticator.groups_claim = "groups"
    info = {
        "sub": "1",
        "eduperson_entitlement": [
            "urn:geant:a.example:group:physics:quantum#login",
            "urn:x:res:juwels:hai:act:alice1:unix",
        ],
        "groups": "/portal/demo",
    }
    state = world.authenticator.build_auth_state_dict({"access_token": "x"}, info)
    assert {"urn:geant:a.example:group:physics", "/portal", "/portal/demo"} <= set(state["entitlements"])
    assert state["entitled"] == [["alice1", "juwels", "hai"]]
    world.authenticator.groups_claim = world.authenticator.entitlements_claim = ""
    state = world.authenticator.build_auth_state_dict({"access_token": "x"}, info)
    assert (state["entitlements"], state["entitled"]) == ([], [])


async def test_a_dead_refresh_token_asks_for_a_login(world: World) -> None:
    """Unity says invalid_request, others invalid_grant; labs go on."""
    user = await world.user()
    world.provider.end_refresh_tokens("alice")
    assert await world.authenticator.refresh_user(user) is False
    with pytest.raises(CredentialRefused, match="log in again"):
        await world.authenticator.fresh_access_token(user)


async def test_a_page_asks_for_a_login_that_must_be_renewed(world: World) -> None:
    """JupyterHub's own handler sends a browser to the login; 6.1.1 alone would fail over an attribute it lacks."""
    user = await world.user()
    world.provider.end_refresh_tokens("alice")
    user._auth_refreshed = 0.0
    page = SimpleNamespace(authenticator=world.authenticator, log=world.authenticator.log, _jupyterhub_user=user)
    assert not hasattr(BaseHandler, "_token_authenticated"), "the remedy in refresh_user may go"
    assert await BaseHandler.refresh_auth(page, user) is None


async def test_who_left_the_portals_group_must_log_in(world: World) -> None:
    """403 access_denied is about the person."""
    user = await world.user()
    world.provider.change("alice", groups=("/",))
    assert await world.authenticator.refresh_user(user) is False


async def test_a_disabled_person_is_not_asked_about_for_ever(world: World) -> None:
    """Unity answers 500 for one user while others succeed: patience ends after five in a row."""
    user = await world.user()
    world.provider.change("alice", disabled=True)
    answers = []
    for _ in range(5):
        answers.append(await world.authenticator.refresh_user(user))
        world.end_pauses()
    assert answers == [True, True, True, True, False]


async def test_a_wrong_client_secret_logs_nobody_out(world: World) -> None:
    """Our own configuration is broken: said in the log, everybody stays."""
    user = await world.user()
    world.authenticator.client_secret = "wrong"
    assert await world.authenticator.refresh_user(user) is True
    with pytest.raises(Unavailable, match="does not accept this portal"):
        await world.authenticator.fresh_access_token(user)


async def test_a_provider_that_is_down_logs_nobody_out(world: World) -> None:
    """What cannot be refreshed now is tried again later."""
    user = await world.user()
    world.authenticator.token_url = world.nowhere
    assert await world.authenticator.refresh_user(user) is True
    with pytest.raises(Unavailable, match="does not answer"):
        await world.authenticator.fresh_access_token(user)


async def test_another_person_behind_the_same_token_is_refused(world: World) -> None:
    """Identity is the subject, never the name; nor does anybody get that person's token by asking again."""
    user = await world.user()
    user.state["oauth_user"] = user.state["oauth_user"] | {"sub": "somebody-else"}
    assert await world.authenticator.refresh_user(user) is False
    for _ in range(2):
        with pytest.raises(CredentialRefused):
            await world.authenticator.fresh_access_token(user)
    assert user.state["access_token"] is None
    assert user.state["refresh_token"] is None


async def test_a_dead_refresh_token_is_asked_for_once(world: World) -> None:
    """Requests without end do not become questions without end."""
    user = await world.user()
    world.provider.end_refresh_tokens("alice")
    assert await world.authenticator.refresh_user(user) is False
    assert user.state["refresh_token"] is None
    world.authenticator.token_url = world.nowhere
    assert await world.authenticator.refresh_user(user) is False


async def test_rights_are_asked_for_again_when_the_answer_was_lost(world: World) -> None:
    """No token is handed out before the provider has said whose it is, and with which rights."""
    user = await world.user()
    world.provider.change("alice", accounts=())
    userdata_url, world.authenticator.userdata_url = world.authenticator.userdata_url, world.nowhere
    with pytest.raises(Unavailable, match="tell about the user"):
        await world.authenticator.fresh_access_token(user)
    assert user.state["accounts"]
    world.authenticator.userdata_url = userdata_url
    world.end_pauses()
    await world.authenticator.fresh_access_token(user)
    assert user.state["accounts"] == []
    assert world.provider.refreshes == 1


async def test_a_provider_that_is_down_is_not_asked_at_each_request(world: World) -> None:
    """Pages stay quick while it is down: who asks within the pause gets the same answer at once."""
    user = await world.user()
    token_url, world.authenticator.token_url = world.authenticator.token_url, world.nowhere
    assert await world.authenticator.refresh_user(user) is True
    world.authenticator.token_url = token_url
    assert await world.authenticator.refresh_user(user) is True
    assert world.provider.refreshes == 0
    world.end_pauses()
    assert await world.authenticator.refresh_user(user) is True
    assert world.provider.refreshes == 1


async def test_a_token_that_still_lives_bridges_a_failure(world: World) -> None:
    """What is good for the next request is handed out although it could not be renewed."""
    user = await world.user(expires_in=45)
    before = user.state["access_token"]
    world.authenticator.token_url = world.nowhere
    assert (await world.authenticator.fresh_access_token(user)).get_secret_value() == before


async def test_a_login_meanwhile_is_kept(world: World) -> None:
    """The answer about an old refresh token never takes the place of tokens that a new login brought."""
    user = await world.user()
    world.provider.end_refresh_tokens("alice")
    again = await world.user(expires_in=300)
    user.logs_in_after_read = again.state
    token = await world.authenticator.fresh_access_token(user)
    assert token.get_secret_value() == again.state["access_token"]
    assert user.state["refresh_token"] == again.state["refresh_token"]


def test_a_name_that_another_subject_comes_with_is_no_login() -> None:
    """A recycled user name does not inherit labs."""
    hook = LabAuthenticator().reconcile_auth_state_hook
    model = {"name": "alice", "auth_state": {"oauth_user": {"sub": "two"}}}
    assert hook(None, model, None) == model["auth_state"]
    with pytest.raises(LoginFailed) as failed:
        hook(None, model, {"oauth_user": {"sub": "one"}})
    assert failed.value.reason == "other_person"


async def test_without_a_login_there_is_no_token(world: World) -> None:
    """A user who never logged in, or whose state is gone, is asked to."""
    with pytest.raises(CredentialRefused):
        await world.authenticator.fresh_access_token(User("alice", None))
    assert await world.authenticator.refresh_user(User("alice", None)) is False


async def test_logout_ends_the_refresh_token(world: World) -> None:
    """After it the provider knows the token no more, and we have forgotten it."""
    user = await world.user()
    old = user.state["refresh_token"]
    await world.authenticator.revoke(user)
    assert user.state["refresh_token"] is None
    async with httpx.AsyncClient(base_url=world.base) as http:
        assert (await Browser(http, world.provider).refresh(old)).status_code == 400


async def test_no_token_reaches_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Good and bad refreshes at DEBUG repeat no secret."""
    caplog.set_level(logging.DEBUG)
    user = await world.user()
    secrets = [user.state["access_token"], user.state["refresh_token"], CLIENT[1]]
    await world.authenticator.fresh_access_token(user)
    secrets += [user.state["access_token"], user.state["refresh_token"]]
    world.provider.end_refresh_tokens("alice")
    user.state["expires_at"] = 0
    await world.authenticator.refresh_user(user)
    # The provider runs in this process too, and Authlib logs what it issues.
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("authlib"))
    assert [secret for secret in secrets if secret in ours] == []
