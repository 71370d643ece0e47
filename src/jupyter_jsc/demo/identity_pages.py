# SPDX-License-Identifier: BSD-3-Clause
"""The pages of the demo's identity provider: choose a provider, log in, cancel.

The whole state of a page is its address, which is the authorisation request; each step checks it anew by
:mod:`.identity_grants` and ends in a redirect to the portal. No script, no inline style.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

import jinja2
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from jupyter_jsc.demo.identity_grants import ProtocolRequest, Server, form_request, parameters
from jupyter_jsc.demo.identity_state import Provider, Session
from jupyter_jsc.demo.people import PROVIDERS, Idp

_PREFIX = "/oauth2-as"
_SESSION_COOKIE = "demo-idp-session"
_FORM_COOKIE = "demo-idp-form"
_MOST_QUERY_BYTES = 8 * 1024
_FOLDER = Path(__file__).parent / "templates" / "identity"
_ERROR_TEXT = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
"""What may stand in an error description (RFC 6749 §4.1.2.1); Authlib fails on others that it would repeat."""


class LoginPages:
    """The endpoints below ``/oauth2-as``."""

    def __init__(self, provider: Provider, server: Server) -> None:
        self._provider = provider
        self._settings = provider.settings
        self._server = server
        self._form_key = secrets.token_bytes(32)
        loader = jinja2.FileSystemLoader(_FOLDER)
        self._templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        self._policy = _content_security_policy(self._settings.redirect_uris)
        self.router = APIRouter(prefix=_PREFIX)
        self.router.add_api_route("/oauth2-authz", self.authorise, methods=["GET"])
        self.router.add_api_route("/login", self.log_in, methods=["POST"])
        self.router.add_api_route("/login", self.authorise, methods=["GET"])
        self.router.add_api_route("/style.css", self.style, methods=["GET"])
        self.router.add_api_route("/icon.svg", self.icon, methods=["GET"])

    async def authorise(self, request: Request) -> Response:
        """Begin a login: the portal sends the browser here (OpenID Connect Core §3.1.2.1)."""
        step = self._step(request)
        session = None if "login" in step.payload.data.get("prompt", "").split() else self._session(request, step)
        grant = self._grant(step, session)
        if isinstance(grant, Response):
            return grant
        return self._login_page(request, step) if session is None else self._granted(step, grant, session)

    async def log_in(self, request: Request) -> Response:
        """Take the password: back to the portal with a code, or the same page with a sentence."""
        step = self._step(request)
        grant = self._grant(step, None)
        if isinstance(grant, Response):
            return grant
        form = (await form_request(request, self._settings)).form
        if not hmac.compare_digest(form.get("csrf", "").encode(), self._form_token(request).encode()):
            return self._login_page(request, step, "This page was out of date. Please try again.")
        if "cancel" in form:
            return self._granted(step, grant, None)
        idp = _chosen(step)
        if idp is None:
            return self._login_page(request, step)
        name = form.get("username", "").strip()
        wrong = self._provider.wrong_with(name, form.get("password", ""), idp)
        if wrong is not None:
            return self._login_page(request, step, wrong, name=name)
        self._provider.sessions.pop(request.cookies.get(_SESSION_COOKIE, ""))
        session = self._provider.open_session(name, idp)
        response = self._granted(step, grant, session)
        self._set_cookie(response, _SESSION_COOKIE, session.id)
        return response

    async def style(self) -> Response:
        """Return the pages' style sheet."""
        return FileResponse(_FOLDER / "style.css", media_type="text/css", headers=_NO_SNIFF)

    async def icon(self) -> Response:
        """Return the pages' icon."""
        return FileResponse(_FOLDER / "icon.svg", media_type="image/svg+xml", headers=_NO_SNIFF)

    def _step(self, request: Request) -> ProtocolRequest:
        """Return the authorisation request in the address."""
        raw: bytes = request.scope["query_string"]
        if len(raw) > _MOST_QUERY_BYTES:
            raise InvalidRequestError("The address is too long.", status_code=414)
        pairs = parameters(raw)
        return ProtocolRequest("GET", f"{self._settings.issuer_base}{_PREFIX}/oauth2-authz", request.headers, pairs)

    def _grant(self, step: ProtocolRequest, session: Session | None) -> Any:
        """Return Authlib's grant for the request, or what to answer if the request is wrong."""
        payload = step.payload
        if payload.client_id != self._settings.client_id:
            return self._page("error.html", 400, sentence="The application that sent you here is not known.")
        if payload.redirect_uri not in self._settings.redirect_uris:
            return self._page("error.html", 400, sentence="The address to come back to is not registered.")
        if not _ERROR_TEXT.fullmatch(payload.response_type or ""):
            return self._page("error.html", 400, sentence="The request cannot be read.")
        try:
            return self._server.get_consent_grant(step, end_user=session)
        except OAuth2Error as error:
            if error.redirect_uri:
                return self._server.handle_error_response(step, error)
            return self._page("error.html", 400, sentence="The request cannot be read.")

    def _granted(self, step: ProtocolRequest, grant: Any, session: Session | None) -> Response:
        """Return the redirect with a code, or with ``access_denied`` if nobody is there or may have one."""
        if session is not None and self._provider.standing(session.name) != "good":
            session = None
        response: Response = self._server.create_authorization_response(step, grant_user=session, grant=grant)
        response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        return response

    def _session(self, request: Request, step: ProtocolRequest) -> Session | None:
        """Return the browser's session, unless another provider was chosen than the one that it was opened by."""
        session = self._provider.sessions.get(request.cookies.get(_SESSION_COOKIE, ""))
        return session if session and _chosen(step) in {None, session.idp} else None

    def _login_page(self, request: Request, step: ProtocolRequest, sentence: str = "", name: str = "") -> Response:
        pairs = [(key, value) for key, values in step.payload.datalist.items() for value in values]
        others = [(key, value) for key, value in pairs if key != "uy_select_authn"]
        choices = [
            (label, "oauth2-authz?" + urlencode([*others, ("uy_select_authn", f"{idp}.password")]))
            for idp, label in PROVIDERS.items()
        ]
        idp = _chosen(step)
        browser = request.cookies.get(_FORM_COOKIE, "") or secrets.token_urlsafe(32)
        response = self._page(
            "choice.html" if idp is None else "login.html",
            sentence=sentence,
            action="login?" + urlencode(pairs),
            csrf=self._token_for(browser),
            title="Log in" if idp is None else PROVIDERS[idp],
            choices=choices,
            name=name,
        )
        self._set_cookie(response, _FORM_COOKIE, browser)
        return response

    def _form_token(self, request: Request) -> str:
        return self._token_for(request.cookies.get(_FORM_COOKIE, "") or secrets.token_urlsafe(32))

    def _token_for(self, browser: str) -> str:
        """Return the token that a form of this browser carries."""
        return hmac.new(self._form_key, browser.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _set_cookie(self, response: Response, name: str, value: str) -> None:
        """Set a cookie that ends with the browser."""
        secure = self._settings.issuer_base.startswith("https:")
        response.set_cookie(name, value, path=_PREFIX, httponly=True, samesite="lax", secure=secure)

    def _page(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        headers: Mapping[str, str] = {
            "Content-Security-Policy": self._policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            **_NO_SNIFF,
        }
        return HTMLResponse(self._templates.get_template(template).render(values), status, headers)


_NO_SNIFF = {"X-Content-Type-Options": "nosniff"}


def _chosen(step: ProtocolRequest) -> Idp | None:
    """Return the provider that the portal asked for."""
    selected = step.payload.data.get("uy_select_authn", "")
    return next((idp for idp in get_args(Idp) if selected == f"{idp}.password"), None)


def _content_security_policy(redirect_uris: tuple[str, ...]) -> str:
    # Browsers hold also the redirect after a form against form-action.
    origins = sorted({f"{uri.scheme}://{uri.netloc}" for uri in map(urlsplit, redirect_uris)})
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {' '.join(origins)}"
    )
