# SPDX-License-Identifier: BSD-3-Clause
"""Login, callback and logout: OAuth's round trip, with every failure back at the login page and a reason there.

Entered by ``LabAuthenticator.get_handlers``. What a provider or an address says never reaches the page: reasons
are codes of one table.
"""

from typing import Any
from urllib.parse import urlencode

import aiohttp
from jupyterhub.handlers.base import BaseHandler
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler, OAuthLogoutHandler
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

REASONS = {
    "cancelled": "The login was cancelled. Choose how you want to log in.",
    "wrong_state": "This login was begun in another window, or too long ago. Please log in again.",
    "expired": "The login took too long or was used already. Please log in again.",
    "provider_down": "The login service does not answer at the moment. Please try again in a minute.",
    "refused": "Your account is not allowed to use this portal. Ask the support team.",
    "other_person": "Another person used this user name before. Ask the support team.",
    "unknown_provider": "This way to log in does not exist. Choose one of these.",
    "login_again": "Please log in again to go on.",
}


class LoginFailed(Exception):
    """A login ended without a user; ``reason`` is a key of :data:`REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LoginPage(BaseHandler):
    """The page with the identity providers."""

    async def get(self) -> None:
        """Show the ways to log in, with the reason of a failure; who is logged in moves on."""
        if self.current_user:
            self.redirect(self.get_next_url(self.current_user))
            return
        begin = self.authenticator.login_url(self.hub.base_url)
        next_url = self.get_argument("next", "")
        providers = [
            {
                "key": key,
                "label": provider.label,
                "description": provider.description,
                "url": f"{begin}?{urlencode({'idp': key} | ({'next': next_url} if next_url else {}))}",
            }
            for key, provider in self.authenticator.portal.configuration.identity_providers.items()
        ]
        reason = REASONS.get(self.get_argument("reason", ""), "")
        self.finish(await self.render_template("login.html", identity_providers=providers, reason=reason))


class LabLoginHandler(OAuthLoginHandler):
    """Sends the browser to the provider, with the parameters that preselect the chosen identity provider."""

    def get(self) -> None:
        """Begin the login; an unknown provider leads back to the page."""
        key = self.get_argument("idp", "")
        if key and key not in self.authenticator.portal.configuration.identity_providers:
            self.redirect(f"{self.hub.base_url}login?reason=unknown_provider")
            return
        super().get()

    def authorize_redirect(self, *args: Any, **kwargs: Any) -> None:
        """Called by oauthenticator with the parameters of the authorisation request."""
        chosen = self.authenticator.portal.configuration.identity_providers.get(self.get_argument("idp", ""))
        kwargs["extra_params"] = dict(kwargs.get("extra_params") or {}) | (chosen.preselect if chosen else {})
        super().authorize_redirect(*args, **kwargs)


class LabCallbackHandler(OAuthCallbackHandler):
    """Takes the browser back from the provider."""

    async def get(self) -> None:
        """Log the user in and move on to where they wanted to go, or back to the login page with a reason."""
        next_url = self.get_next_url()
        try:
            user = await self._user()
        except LoginFailed as error:
            self.log.warning("Login failed: %s", error.reason)
            self.redirect(f"{self.hub.base_url}login?{urlencode({'reason': error.reason, 'next': next_url})}")
            return
        self.redirect(self.get_next_url(user))

    async def _user(self) -> Any:
        if self.get_argument("error", ""):
            denied = self.get_argument("error") == "access_denied"
            raise LoginFailed("cancelled" if denied else "provider_down")
        try:
            self.check_arguments()
        except HTTPError as error:
            raise LoginFailed("wrong_state") from error
        try:
            user = await self.login_user()
        except HTTPClientError as error:
            raise LoginFailed("expired" if error.code < 500 else "provider_down") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LoginFailed("provider_down") from error
        except HTTPError as error:
            raise LoginFailed("refused" if error.status_code == 403 else "expired") from error
        if user is None:
            raise LoginFailed("refused")
        return user


class LabLogoutHandler(OAuthLogoutHandler):
    """Ends the session here and the refresh token at the provider; labs go on."""

    async def handle_logout(self) -> None:
        """Called by JupyterHub after it has cleared the cookies."""
        await super().handle_logout()
        if self.current_user is not None:
            await self.authenticator.revoke(self.current_user)
