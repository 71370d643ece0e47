# SPDX-License-Identifier: BSD-3-Clause
"""Login, callback and logout: OAuth's round trip, with every failure back at the login page and a reason there.

Entered by ``LabAuthenticator.get_handlers``. What a provider or an address says never reaches the page: reasons
are codes of one table.
"""

import hmac
from typing import Any
from urllib.parse import urlencode

from oauthenticator.oauth2 import (
    OAuthCallbackHandler,
    OAuthLoginHandler,
    OAuthLogoutHandler,
    _deserialize_state,
    _serialize_state,
)
from tornado.web import HTTPError

from jupyter_jsc.hub.frame import PageHandler
from jupyter_jsc.hub.words import said

REASONS = {
    "cancelled": "The login was cancelled. Choose how you want to log in.",
    "wrong_state": "This login was begun in another window, or too long ago. Please log in again.",
    "expired": "The login took too long or was used already. Please log in again.",
    "provider_down": "The login service does not answer at the moment. Please try again in a minute.",
    "misconfigured": "The login service does not accept this portal at the moment. If that lasts, tell the support team.",
    "incomplete": "The login service did not say who you are. Ask the support team.",
    "refused": "Your account is not allowed to use this portal. Ask the support team.",
    "other_person": "Another person used this user name before. Ask the support team.",
    "unknown_provider": "This way to log in does not exist. Choose one of these.",
    "login_again": "Please log in again to go on.",
    "logged_out": "You are logged out. Labs that run go on until you stop them or their time is over.",
}
_ERRORS = {
    "access_denied": "cancelled",
    "server_error": "provider_down",
    "temporarily_unavailable": "provider_down",
}


class LoginFailed(Exception):
    """A login ended without a user; ``reason`` is a key of :data:`REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LoginPage(PageHandler):
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
                "description": said(provider.description, self.language),
                "url": f"{begin}?{urlencode({'idp': key} | ({'next': next_url} if next_url else {}))}",
            }
            for key, provider in self.authenticator.portal.configuration.identity_providers.items()
        ]
        key = self.get_argument("reason", "")
        await self.show(
            "login.html", identity_providers=providers, reason=REASONS.get(key, ""), good=key == "logged_out"
        )


class LabLoginHandler(OAuthLoginHandler):
    """Sends the browser to the provider, with the parameters that preselect the chosen identity provider."""

    def get(self) -> None:
        """Begin the login; an unknown provider leads back to the page."""
        key = self.get_argument("idp", "")
        if key and key not in self.authenticator.portal.configuration.identity_providers:
            _back(self, "unknown_provider", self.get_argument("next", ""))
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
            self.check_arguments()
            user = await self.login_user()
        except LoginFailed as error:
            self.log.warning("Login failed: %s", error.reason)
            _back(self, error.reason, next_url)
            return
        except HTTPError as error:
            self.log.warning("Login failed: HTTP %s", error.status_code)
            _back(self, "refused" if error.status_code == 403 else "wrong_state", next_url)
            return
        if user is None:
            _back(self, "refused", next_url)
            return
        self.redirect(self.get_next_url(user))

    def check_state(self) -> None:
        """Refuse what is no answer to a login that this browser began.

        What came in the address is compared as it stands and never decoded; the cookie is signed by the hub.
        """
        cookie = self.get_state_cookie()
        known = _deserialize_state(cookie).get("state_id") if cookie else None
        expected = _serialize_state({"state_id": known})
        if not known or not hmac.compare_digest(expected.encode(), self.get_argument("state", "").encode()):
            raise LoginFailed("wrong_state")

    def check_error(self) -> None:
        """Name the class of an error by which the provider ended the login (RFC 6749, 4.1.2.1)."""
        error = self.get_argument("error", "")
        if error:
            raise LoginFailed(_ERRORS.get(error, "misconfigured"))

    def check_arguments(self) -> None:
        """Check state, then error, then code: before the state fits, nothing in the address is believed."""
        self.check_state()
        self.check_error()
        self.check_code()


class LabLogoutHandler(OAuthLogoutHandler):
    """Ends the session here and the refresh token at the provider; labs go on."""

    async def handle_logout(self) -> None:
        """Called by JupyterHub after it has cleared the cookies."""
        await super().handle_logout()
        if self.current_user is not None:
            await self.authenticator.revoke(self.current_user)

    async def render_logout_page(self) -> None:
        """Called by JupyterHub last: say that it is done, unless another page is configured to do so."""
        if self.authenticator.logout_redirect_url:
            await super().render_logout_page()
        else:
            _back(self, "logged_out", "")


def _back(handler: Any, reason: str, next_url: str) -> None:
    """Send the browser back to the login page, with the reason and where the user wanted to go."""
    query = {"reason": reason} | ({"next": next_url} if next_url else {})
    handler.redirect(f"{handler.hub.base_url}login?{urlencode(query)}")
