# SPDX-License-Identifier: BSD-3-Clause
"""Who may look: users log in through the hub, by OAuth, and need its right to access this service.

Called by :mod:`.app` for each page. JupyterHub's own client speaks to the hub; the handshake around it is here, since that
client expects tornado's requests. Nothing is kept but handshakes under way: the browser holds the hub's token in a cookie
that only the dashboard's pages get.
"""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import structlog
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.services.auth import HubOAuth
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from tornado.web import HTTPError

from jupyter_jsc import errors
from jupyter_jsc.config.settings import DashboardSettings

log = structlog.get_logger()

SERVICE = "dashboard"
"""Its name among the hub's services."""

_ANSWER_S = 10.0
_KNOWN_S = 60
"""So long the hub's word on a token counts. One that is revoked by logging out ends at once."""
_HANDSHAKE_S = 600
_LONGEST = 2000


class LoginNeeded(Exception):
    """Nobody is logged in, or not any more."""


@dataclass(frozen=True)
class User:
    """Who looks."""

    name: str


class Login:
    """The dashboard's side of OAuth with the hub."""

    def __init__(self, settings: DashboardSettings) -> None:
        self.prefix = f"{settings.base_url}services/{SERVICE}/"
        self._hub_prefix = f"{settings.base_url}hub/"
        self._token_file = settings.hub_token_file
        self._client_id = f"service-{SERVICE}"
        self._hub = HubOAuth(
            api_token=self._own_token(),
            api_url=str(settings.hub_api_url),
            hub_host="",
            hub_prefix=self._hub_prefix,
            base_url=self.prefix,
            oauth_client_id=self._client_id,
            oauth_redirect_uri=f"{self.prefix}oauth_callback",
            oauth_state_max_age=_HANDSHAKE_S,
            cache_max_age=_KNOWN_S,
        )
        self._access = {"access:services", f"access:services!service={SERVICE}"}

    async def close(self) -> None:
        """Close the connections to the hub."""
        await JupyterHubHTTPClient.loop_instance().close()

    async def user(self, request: Request) -> User:
        """Return who asks.

        Raises :class:`LoginNeeded`, :class:`errors.Forbidden` for a user without the right, and
        :class:`errors.Unavailable` if the hub cannot be asked.
        """
        token = request.cookies.get(self._client_id, "")
        if not token or len(token) > _LONGEST:
            raise LoginNeeded
        return await self._user_of(token, request)

    def begin(self, request: Request) -> Response:
        """Send the browser to the hub, and back to this page afterwards."""
        verifier, challenge, method = self._hub.generate_pkce_code_challenge()
        page = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        state = self._hub.generate_state(page[:_LONGEST], code_verifier=verifier)
        query = {
            "client_id": self._client_id,
            "redirect_uri": self._hub.oauth_redirect_uri,
            "response_type": "code",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": method,
        }
        response = RedirectResponse(f"{self._hub_prefix}api/oauth2/authorize?{urlencode(query)}", 302)
        self._set(response, request, self._state_cookie(state), state, max_age=_HANDSHAKE_S)
        return response

    async def end(self, request: Request) -> Response:
        """Take the hub's code for a token, and go to the page that was asked for.

        Raises :class:`errors.Forbidden` for a handshake that this browser did not begin, or that is over.
        """
        state, code = request.query_params.get("state", "")[:_LONGEST], request.query_params.get("code", "")
        held = request.cookies.get(self._state_cookie(state), "")
        verifier = self._hub.get_code_verifier(state)
        page = self._hub.get_next_url(state)
        self._hub.clear_oauth_state(state)
        if not (state and code and verifier and secrets.compare_digest(state.encode(), held.encode())):
            log.warning("login refused", known=bool(verifier), of_this_browser=bool(state) and state == held)
            raise errors.Forbidden("This login was begun elsewhere, or it is over. Please open the page again.")
        self._hub.api_token = self._own_token()
        token = await self._asked(self._hub.token_for_code(code[:_LONGEST], code_verifier=verifier, sync=False))
        user = await self._user_of(token, request)
        log.info("logged in", user=user.name)
        response = RedirectResponse(page if page.startswith(self.prefix) else self.prefix, 303)
        self._set(response, request, self._client_id, token)
        response.delete_cookie(self._state_cookie(state), path=self.prefix)
        return response

    async def _user_of(self, token: str, request: Request) -> User:
        session = request.cookies.get("jupyterhub-session-id", "")[:_LONGEST]
        model = await self._asked(self._hub.user_for_token(token, session_id=session, sync=False))
        if not isinstance(model, dict) or model.get("kind") != "user":
            raise LoginNeeded
        if self._access.isdisjoint(model.get("scopes", ())):
            raise errors.Forbidden("You are logged in, but the dashboard is for operators and support.")
        return User(str(model["name"]))

    async def _asked(self, question: Any) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await question
        except (HTTPError, TimeoutError, KeyError, ValueError) as error:
            # JupyterHub's client says by HTTPError all that the hub may do wrong, and what it does not grant.
            raise errors.Unavailable("The hub does not let anybody in at the moment.") from error

    def _state_cookie(self, state: str) -> str:
        """Return a name of its own for each handshake, so that two pages may log in at the same time."""
        suffix = "".join(char for char in state[:8] if char.isascii() and char.isalnum())
        return f"{self._client_id}-state-{suffix}"

    def _set(self, response: Response, request: Request, name: str, value: str, *, max_age: int | None = None) -> None:
        scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0].strip()
        response.set_cookie(
            name, value, max_age=max_age, path=self.prefix, secure=scheme == "https", httponly=True, samesite="lax"
        )

    def _own_token(self) -> str:
        try:
            return self._token_file.read_text("utf-8").strip()
        except OSError as error:
            raise errors.Unavailable(
                f"The file of the dashboard's token, {self._token_file}, cannot be read."
            ) from error
