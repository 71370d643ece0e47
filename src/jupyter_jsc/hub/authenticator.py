# SPDX-License-Identifier: BSD-3-Clause
"""Login by OpenID Connect, tokens kept fresh, HPC accounts read: JupyterHub's authenticator of the portal.

auth_state, encrypted by JupyterHub, holds ``access_token``, ``refresh_token`` (None: it is good no more),
``expires_at`` (epoch seconds or None), ``checked`` (whether the provider has said whose the access token is),
``login`` (facts that are true of the login alone: after a refresh Unity tells how the *client* logged in) and what rights
are made of (see :mod:`.identity`). The portal's one object, :class:`.portal.Portal`, lives here.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from jupyterhub.app import JupyterHub
from oauthenticator.generic import GenericOAuthenticator
from pydantic import SecretStr
from tornado.httpclient import HTTPClientError, HTTPResponse
from traitlets import Unicode, default

from jupyter_jsc.config import load
from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.errors import CredentialRefused, Unavailable
from jupyter_jsc.hub.handlers import API_HANDLERS
from jupyter_jsc.hub.identity import Claims, rights_of
from jupyter_jsc.hub.login import LabCallbackHandler, LabLoginHandler, LabLogoutHandler, LoginFailed, LoginPage
from jupyter_jsc.hub.pages import PAGE_HANDLERS
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.provider import ProviderClient
from jupyter_jsc.hub.refresh import Patience, Verdict, expiry, judge, read_json, seconds_left
from jupyter_jsc.hub.stream import STREAM_HANDLERS

_SPARE_S = 60.0
"""An access token handed out is good for at least this long."""
_TIMEOUT_S = 15.0
_MOST_DISABLED = 5
"""So often in a row may the provider call a user disabled by a server error before a login is asked for."""
_USER_NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,255}")
_LONGEST_SUBJECT = 255
_REASONS = {
    Verdict.DEAD: "expired",
    Verdict.DENIED: "refused",
    Verdict.DISABLED: "refused",
    Verdict.OURS: "misconfigured",
    Verdict.LATER: "provider_down",
}
_DOWN = "The login service does not answer at the moment."
_OURS = "The login service does not accept this portal at the moment."


class LabAuthenticator(GenericOAuthenticator):
    """The portal's authenticator. Deployments set the traits of GenericOAuthenticator, and these."""

    settings_file = Unicode(help="YAML file with the settings of our part of the hub (HubSettings).").tag(config=True)
    revoke_url = Unicode(help="The provider's revocation endpoint (RFC 7009); empty: tokens end by themselves.").tag(
        config=True
    )
    accounts_claim = Unicode("hpc_infos_attribute", help="The claim with the user's HPC account entries.").tag(
        config=True
    )

    entitlements_claim = Unicode(
        "eduperson_entitlement", help="The claim with the user's entitlements (AARC-G069); empty: there is none."
    ).tag(config=True)
    groups_claim = Unicode(
        "", help="The claim with the user's groups, for rules of groups like entitlements; empty: there is none."
    ).tag(config=True)

    login_handler = LabLoginHandler
    callback_handler = LabCallbackHandler
    logout_handler = LabLogoutHandler

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reconcile_auth_state_hook = _same_person
        self._portal: Portal | None = None
        self._patience: dict[str, Patience] = {}

    @default("enable_auth_state")
    def _enable_auth_state(self) -> bool:
        return True

    @default("http_client")
    def _http_client(self) -> ProviderClient:
        return ProviderClient()

    @default("basic_auth")
    def _basic_auth(self) -> bool:
        return True

    @default("username_claim")
    def _username_claim(self) -> str:
        return "username_attr"

    @default("auth_refresh_age")
    def _auth_refresh_age(self) -> int:
        return 60

    @default("http_request_kwargs")
    def _http_request_kwargs(self) -> dict[str, Any]:
        return {"request_timeout": _TIMEOUT_S, "connect_timeout": 5.0}

    @property
    def portal(self) -> Portal:
        """The portal; built at the first use."""
        if self._portal is None:
            hub: JupyterHub = self.parent
            settings = load.load_file(HubSettings, Path(self.settings_file))
            self._portal = Portal.from_settings(settings, database_url=hub.db_url)
        return self._portal

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """Return our pages and API routes, before JupyterHub's own; the portal begins to supervise."""
        self.portal.start(app)
        login = [(r"/login", LoginPage)]
        return [*login, *super().get_handlers(app), *API_HANDLERS, *STREAM_HANDLERS, *PAGE_HANDLERS]

    async def fetch(self, req: Any, label: str = "fetching", parse_json: bool = True, **kwargs: Any) -> Any:
        """Fetch as the base class does, without its log lines: they repeat bodies, which may hold tokens."""
        response: HTTPResponse = await self.http_client.fetch(req, **kwargs)
        if not parse_json:
            return response
        try:
            return json.loads(response.body) if response.body else None
        except ValueError as error:
            raise HTTPClientError(502, f"no JSON while {label}") from error

    async def get_token_info(self, handler: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokens for a code; raises :class:`LoginFailed`. Called by the base class at each login."""
        _ = handler
        try:
            answer = await self._post(self.token_url, params)
        except Unavailable as error:
            raise LoginFailed("provider_down") from error
        document = read_json(answer.body)
        verdict = judge(answer.code, document)
        if verdict is not Verdict.GOOD:
            self.log.error("The login service answered the code with HTTP %s (%s)", answer.code, verdict)
            raise LoginFailed(_REASONS[verdict])
        return {"token_type": "Bearer"} | document

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider tells about the user; raises :class:`LoginFailed`. Called by the base class."""
        try:
            return await self._userinfo(token_info)
        except Unavailable as error:
            raise LoginFailed("provider_down") from error

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the user's name; raises :class:`LoginFailed` unless name and subject are usable.

        Called by the base class. A name is a path of addresses and a key of the database.
        """
        name, subject = user_info.get(self.username_claim), user_info.get("sub")
        named = isinstance(name, str) and _USER_NAME.fullmatch(name)
        if not (named and isinstance(subject, str) and 0 < len(subject) <= _LONGEST_SUBJECT):
            self.log.error("The login service sent no usable claims %s and sub", self.username_claim)
            raise LoginFailed("incomplete")
        return str(name)

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of a login. Called by the base class."""
        claims = Claims(self.accounts_claim, self.entitlements_claim, self.groups_claim)
        rights, skipped = rights_of(user_info, claims, self.portal.configuration.account_namespaces)
        if skipped:
            self.log.warning("Skipped %d HPC account entries of a user", skipped)
        state = super().build_auth_state_dict(token_info, user_info)
        del state["token_response"]
        return state | {
            "expires_at": expiry(token_info),
            "checked": True,
            **rights,
            "login": {"authenticator": user_info.get("used_authenticator_attr"), "time": int(time.time())},
        }

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> bool:
        """Return whether the login is still good, with a fresh token in auth_state where that was possible.

        False asks for a new login; labs go on. A provider that is down, or that refuses *us*, is no reason
        to log anybody out.
        """
        _ = kwargs
        if handler is not None and not hasattr(handler, "_token_authenticated"):
            # JupyterHub 6.1.1 asks for this after a refresh that failed and sets it for tokens alone. To go once
            # its BaseHandler has the attribute by itself: test_a_page_asks_for_a_login_that_must_be_renewed tells.
            handler._token_authenticated = False  # noqa: SLF001
        try:
            await self._fresh_state(user, _SPARE_S + self.auth_refresh_age)
        except CredentialRefused:
            return False
        except Unavailable as error:
            self.log.warning("Token of %s not refreshed: %s", user.name, error.message)
        return True

    async def fresh_access_token(self, user: Any, *, refused: SecretStr | None = None) -> SecretStr:
        """Return an access token that is good for at least a minute, and not the one that was *refused* somewhere.

        Raises :class:`CredentialRefused` if the user must log in again, :class:`Unavailable` if the
        provider cannot be asked now.
        """
        state = await self._fresh_state(user, _SPARE_S, refused.get_secret_value() if refused else "")
        return SecretStr(state["access_token"])

    async def revoke(self, user: Any) -> None:
        """End the user's refresh token and session at the provider; a failure is only logged.

        Unity ends the session for ``logout=true``; where that is refused (400 ``invalid_scope``, and nothing is
        revoked) the token alone is ended.
        """
        async with self._lock(user):
            state = await user.get_auth_state() or {}
            token = state.get("refresh_token")
            if not token:
                return
            await user.save_auth_state(state | {"refresh_token": None})
        if not self.revoke_url:
            return
        form = {"client_id": self.client_id, "token": token, "token_type_hint": "refresh_token"}
        try:
            answer = await self._post(self.revoke_url, form | {"logout": "true"})
            if answer.code == 400:
                answer = await self._post(self.revoke_url, form)
        except Unavailable as error:
            self.log.warning("Token of %s not revoked: %s", user.name, error.message)
        else:
            if answer.code != 200:
                self.log.warning("Token of %s not revoked: HTTP %s", user.name, answer.code)

    def _lock(self, user: Any) -> asyncio.Lock:
        """Return the lock under which the user's stored tokens change."""
        return self.portal.state_locks[user.name]

    async def _fresh_state(self, user: Any, spare_s: float, refused: str = "") -> dict[str, Any]:
        """Return the auth_state with a token that lives longer than *spare_s*; one refresh at a time per user.

        The token that was *refused* counts as one that has ended.
        """
        async with self._lock(user):
            before: dict[str, Any] | None = await user.get_auth_state()
            if not before or not before.get("access_token"):
                raise _login_again()
            checked = before.get("checked", False)
            left_s = 0.0 if before["access_token"] == refused else seconds_left(before)
            if checked and left_s > spare_s:
                return before
            patience = self._patience.setdefault(user.name, Patience())
            try:
                patience.check(time.monotonic())
                state = before if left_s > spare_s else await self._refresh(user, before)
                state = await self._check(user, state)
            except Unavailable as error:
                patience.failed(time.monotonic(), error.message)
                # What is still good for the next request is better than nothing.
                if checked and left_s > _SPARE_S / 2:
                    return before
                raise
            del self._patience[user.name]
            return state

    async def _refresh(self, user: Any, state: dict[str, Any]) -> dict[str, Any]:
        """Return the auth_state with new tokens, stored before they are used: a rotated one that is lost is the login.

        A refresh token that is dead is forgotten, so that nobody asks for it again.
        """
        if not state.get("refresh_token"):
            raise _login_again()
        answer = await self._post(self.token_url, self.build_refresh_token_request_params(state["refresh_token"]))
        document = read_json(answer.body)
        verdict = judge(answer.code, document)
        if verdict is Verdict.DISABLED and self._patience[user.name].disabled(_MOST_DISABLED):
            verdict = Verdict.DENIED
        if verdict in {Verdict.DEAD, Verdict.DENIED}:
            stored = await self._save(user, state, state | {"refresh_token": None})
            if stored.get("refresh_token"):
                return stored
            raise _login_again()
        if verdict is Verdict.OURS:
            self.log.error("The login service refuses this portal's client: HTTP %s", answer.code)
            raise Unavailable(_OURS)
        if verdict is not Verdict.GOOD:
            raise Unavailable(f"The login service fails with HTTP {answer.code}.")
        kept = {
            "access_token": document["access_token"],
            "refresh_token": document.get("refresh_token") or state["refresh_token"],
            "expires_at": expiry(document),
            "checked": False,
        }
        return await self._save(user, state, state | kept)

    async def _check(self, user: Any, state: dict[str, Any]) -> dict[str, Any]:
        """Return the auth_state with the rights that the provider tells now; tokens of another person are dropped."""
        user_info = await self._userinfo(state)
        known = state.get(self.user_auth_state_key) or {}
        if known.get("sub") != user_info.get("sub"):
            self.log.error("The login service answered about another person than %s", user.name)
            await self._save(user, state, state | {"access_token": None, "refresh_token": None})
            raise _login_again()
        told = self.build_auth_state_dict(state, user_info)
        rights = {"accounts", "entitled", "entitlements", "pushed"}
        fresh = {key: value for key, value in told.items() if key in {*rights, "checked", self.user_auth_state_key}}
        return await self._save(user, state, state | fresh)

    async def _save(self, user: Any, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        """Store *after* and return it; if a login took the place of *before* meanwhile, keep and return that."""
        stored: dict[str, Any] = await user.get_auth_state() or {}
        if stored.get("access_token") != before["access_token"]:
            return stored
        await user.save_auth_state(after)
        return after

    async def _userinfo(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims that go with an access token; raises :class:`Unavailable`."""
        try:
            info = await super().token_to_user({"token_type": "Bearer", "access_token": tokens["access_token"]})
        except (HTTPClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("The login service does not tell about the user at the moment.") from error
        if not isinstance(info, dict):
            raise Unavailable("The login service does not tell about the user at the moment.")
        return info

    async def _post(self, url: str, form: Mapping[str, str]) -> HTTPResponse:
        try:
            return await self.httpfetch(
                url,
                method="POST",
                headers=self.build_token_info_request_headers(),
                body=urlencode(form),
                parse_json=False,
                raise_error=False,
                validate_cert=self.validate_server_cert,
            )
        except (HTTPClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(_DOWN) from error


def _same_person(
    _authenticator: LabAuthenticator, auth_model: dict[str, Any], existing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the new auth_state with what stays of the former, or refuse: a user name that another subject comes with is no login.

    Called by JupyterHub at each login (``reconcile_auth_state_hook``).
    """
    state: dict[str, Any] = auth_model["auth_state"]
    before = ((existing or {}).get(GenericOAuthenticator.user_auth_state_key) or {}).get("sub")
    now = (state.get(GenericOAuthenticator.user_auth_state_key) or {}).get("sub")
    if before is not None and before != now:
        raise LoginFailed("other_person")
    # A login tells nothing of these: what the user chose, and what operators pushed unless the provider tells it now.
    kept = {key: existing[key] for key in ("group", "pushed") if existing and key in existing}
    return kept | state


def _login_again() -> CredentialRefused:
    return CredentialRefused("Please log in again: your login at the identity provider has ended.")
