# SPDX-License-Identifier: BSD-3-Clause
"""Login by OpenID Connect, tokens kept fresh, HPC accounts read: JupyterHub's authenticator of the portal.

auth_state, encrypted by JupyterHub, holds ``access_token``, ``refresh_token``, ``expires_at`` (epoch seconds or
None), ``accounts`` (see :mod:`.accounts`) and ``login`` (facts that are true of the login alone: after a refresh
Unity tells how the *client* logged in). The portal's one object, :class:`.portal.Portal`, lives here.
"""

import asyncio
import json
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
from jupyter_jsc.hub.accounts import parse_accounts
from jupyter_jsc.hub.login import LabCallbackHandler, LabLoginHandler, LabLogoutHandler, LoginFailed, LoginPage
from jupyter_jsc.hub.portal import Portal

_SPARE_S = 60.0
"""An access token handed out is good for at least this long."""
_TIMEOUT_S = 15.0
_PATIENCE = 5
"""So many refreshes of one user may fail in a row with a server error before a login is asked for."""


class LabAuthenticator(GenericOAuthenticator):
    """The portal's authenticator. Deployments set the traits of GenericOAuthenticator, and these."""

    settings_file = Unicode(help="YAML file with the settings of our part of the hub (HubSettings).").tag(config=True)
    revoke_url = Unicode(help="The provider's revocation endpoint (RFC 7009); empty: tokens end by themselves.").tag(
        config=True
    )
    accounts_claim = Unicode("hpc_infos_attribute", help="The claim with the user's HPC account entries.").tag(
        config=True
    )

    login_handler = LabLoginHandler
    callback_handler = LabCallbackHandler
    logout_handler = LabLogoutHandler

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reconcile_auth_state_hook = _same_person
        self._portal: Portal | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._failures: dict[str, int] = {}

    @default("enable_auth_state")
    def _enable_auth_state(self) -> bool:
        return True

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
        from jupyter_jsc.hub.handlers import API_HANDLERS
        from jupyter_jsc.hub.pages import PAGE_HANDLERS
        from jupyter_jsc.hub.stream import STREAM_HANDLERS

        self.portal.start()
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

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of a login. Called by the base class."""
        accounts, skipped = parse_accounts(user_info.get(self.accounts_claim), self.portal.configuration)
        if skipped:
            self.log.warning("Skipped %d HPC account entries of a user", skipped)
        state = super().build_auth_state_dict(token_info, user_info)
        del state["token_response"]
        return state | {
            "expires_at": _expiry(token_info),
            "accounts": [account.to_dict() for account in accounts],
            "login": {"authenticator": user_info.get("used_authenticator_attr"), "time": int(time.time())},
        }

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> bool:
        """Return whether the login is still good, with a fresh token in auth_state where that was possible.

        False asks for a new login; labs go on. A provider that is down, or that refuses *us*, is no reason
        to log anybody out.
        """
        _ = handler, kwargs
        try:
            await self._fresh_state(user, _SPARE_S + self.auth_refresh_age)
        except CredentialRefused:
            return False
        except Unavailable as error:
            self.log.warning("Token of %s not refreshed: %s", user.name, error.message)
        return True

    async def fresh_access_token(self, user: Any) -> SecretStr:
        """Return an access token that is good for at least a minute.

        Raises :class:`CredentialRefused` if the user must log in again, :class:`Unavailable` if the
        provider cannot be asked now.
        """
        return SecretStr((await self._fresh_state(user, _SPARE_S))["access_token"])

    async def revoke(self, user: Any) -> None:
        """End the user's refresh token and session at the provider; a failure is only logged.

        Unity ends the session for ``logout=true``; where that is refused (400 ``invalid_scope``, and nothing is
        revoked) the token alone is ended.
        """
        state = await user.get_auth_state() or {}
        if not (self.revoke_url and state.get("refresh_token")):
            return
        form = {"client_id": self.client_id, "token": state["refresh_token"], "token_type_hint": "refresh_token"}
        try:
            answer = await self._post(self.revoke_url, form | {"logout": "true"})
            if answer.code == 400:
                answer = await self._post(self.revoke_url, form)
        except Unavailable as error:
            self.log.warning("Token of %s not revoked: %s", user.name, error.message)
        else:
            if answer.code != 200:
                self.log.warning("Token of %s not revoked: HTTP %s", user.name, answer.code)
        await user.save_auth_state(state | {"refresh_token": None})

    async def _fresh_state(self, user: Any, spare_s: float) -> dict[str, Any]:
        """Return the auth_state with a token that lives longer than *spare_s*; one refresh at a time per user."""
        async with self._locks.setdefault(user.name, asyncio.Lock()):
            state: dict[str, Any] | None = await user.get_auth_state()
            if not state or not state.get("access_token"):
                raise _login_again()
            expires = state.get("expires_at")
            if expires is None or expires - time.time() > spare_s:
                return state
            try:
                return await self._refresh(user, state)
            except Unavailable:
                # What is still good for the next request is better than nothing.
                if expires - time.time() > _SPARE_S / 2:
                    return state
                raise

    async def _refresh(self, user: Any, state: dict[str, Any]) -> dict[str, Any]:
        if not state.get("refresh_token"):
            raise _login_again()
        form = self.build_refresh_token_request_params(state["refresh_token"])
        token_info = self._judge(user, await self._post(self.token_url, form))
        kept = {
            "access_token": token_info["access_token"],
            "refresh_token": token_info.get("refresh_token") or state["refresh_token"],
            "expires_at": _expiry(token_info),
        }
        # Stored before it is used: a rotated token that is lost costs the login.
        await user.save_auth_state(state | kept)
        user_info = await self._userinfo(token_info)
        known, seen = state.get(self.user_auth_state_key) or {}, user_info.get("sub")
        if known.get("sub") != seen:
            self.log.error("The provider answered about another person than %s", user.name)
            raise _login_again()
        fresh = self.build_auth_state_dict(token_info, user_info)
        fresh = state | fresh | kept | {"login": state.get("login", {})}
        await user.save_auth_state(fresh)
        return fresh

    def _judge(self, user: Any, answer: HTTPResponse) -> dict[str, Any]:
        """Return the tokens of a refresh, or raise by class of failure; providers agree on no single code."""
        document = _document(answer)
        error = str(document.get("error", ""))
        if answer.code == 200 and document.get("access_token"):
            self._failures.pop(user.name, None)
            return document
        dead = (answer.code == 400 and error in {"invalid_grant", "invalid_request"}) or (
            answer.code == 403 and error == "access_denied"
        )
        if dead:
            raise _login_again()
        if answer.code >= 500:
            failures = self._failures[user.name] = self._failures.get(user.name, 0) + 1
            if failures >= _PATIENCE and "disabled" in str(document.get("error_description", "")):
                raise _login_again()
            raise Unavailable(f"The login service fails with HTTP {answer.code}.")
        self.log.error("The provider refuses this portal's client: HTTP %s %s", answer.code, error[:60])
        raise Unavailable("The login service does not accept this portal at the moment.")

    async def _userinfo(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        try:
            info: dict[str, Any] = await self.token_to_user(dict(token_info))
        except (HTTPClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("The login service does not tell about the user at the moment.") from error
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
            raise Unavailable("The login service does not answer at the moment.") from error


def _same_person(
    _authenticator: LabAuthenticator, auth_model: dict[str, Any], existing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the new auth_state, or refuse: a user name that another subject comes with is no login.

    Called by JupyterHub at each login (``reconcile_auth_state_hook``).
    """
    state: dict[str, Any] = auth_model["auth_state"]
    before = ((existing or {}).get(GenericOAuthenticator.user_auth_state_key) or {}).get("sub")
    now = (state.get(GenericOAuthenticator.user_auth_state_key) or {}).get("sub")
    if before is not None and before != now:
        raise LoginFailed("other_person")
    return state


def _expiry(token_info: Mapping[str, Any]) -> float | None:
    try:
        seconds = float(token_info["expires_in"])
    except (KeyError, TypeError, ValueError):
        return None
    return time.time() + seconds


def _document(answer: HTTPResponse) -> dict[str, Any]:
    try:
        document = json.loads(answer.body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _login_again() -> CredentialRefused:
    return CredentialRefused("Please log in again: your login at the identity provider has ended.")
