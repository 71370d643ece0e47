# SPDX-License-Identifier: BSD-3-Clause
"""The demo's identity provider: OpenID Connect with the habits of Unity 3.13, its pages included.

Unity is what the Jülich portal logs in with. Where providers differ this one does what Unity does: paths, Basic only,
``invalid_request`` for a dead refresh token, no ``kid``, claims as snapshots and as string or list,
``uy_select_authn``. Run by :mod:`.world`; in tests ``app.state.provider`` lets a test change people and end logins.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from jupyter_jsc.demo.identity_oauth import Client, Lifetimes, OAuth2Error, Raw, Server, basic_credentials
from jupyter_jsc.demo.identity_store import Store, remember, token
from jupyter_jsc.demo.people import PEOPLE, Person

_TEMPLATES = Path(__file__).parent / "templates" / "identity"
_PROVIDERS = {"jsc": "JSC account", "aai": "Helmholtz AAI"}
_SESSION, _LOGIN = "as-session", "as-login"
_LONGEST_FIELD = 200
_TRIES = 10
_INTERACTION_S = 600
_LARGEST_FORM = 16 * 1024


@dataclass(frozen=True)
class IdentitySettings:
    """What the provider must know."""

    issuer_base: str
    """``http://localhost:port``."""
    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]
    people: tuple[Person, ...] = PEOPLE
    access_token_s: int = 300
    refresh_token_s: int = 12 * 3600
    rotate_refresh: bool = False
    """Whether each refresh gives a new refresh token; Unity's confidential clients never get one."""


@dataclass
class _Interaction:
    """A login page that waits for a person."""

    query: str
    provider: str
    made: float
    tries: int = 0


class Provider:
    """The provider behind the routes."""

    def __init__(self, settings: IdentitySettings) -> None:
        self.store = Store(settings.people)
        self.issuer = f"{settings.issuer_base}/oauth2"
        client = Client(settings.client_id, settings.client_secret, settings.redirect_uris)
        lifetimes = Lifetimes(settings.access_token_s, settings.refresh_token_s, settings.rotate_refresh)
        self.server = Server(self.store, client, lifetimes, self.issuer)
        self._pages = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True)
        self._interactions: OrderedDict[str, _Interaction] = OrderedDict()
        # A form's target is followed through redirects, so the client's origin is among the targets.
        origins = {"{0.scheme}://{0.netloc}".format(urlsplit(uri)) for uri in settings.redirect_uris}
        self._policy = (
            "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
            f"form-action 'self' {' '.join(sorted(origins))}"
        )

    def authorize(self, query: str, cookies: dict[str, str]) -> Response:
        """Answer the authorisation request: a code for who is logged in, else the login page."""
        raw = Raw("GET", "/oauth2-as/oauth2-authz", {}, query=query)
        try:
            self.server.get_consent_grant(raw)
        except OAuth2Error as error:
            if error.redirect_uri:
                return self.server.handle_error_response(raw, error)
            return self.page("error.html", 400, message="The portal sent a request that this provider does not accept.")
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        provider = asked.get("uy_select_authn", "").removesuffix(".password")
        name = self.store.sessions.get(cookies.get(_SESSION, ""))
        person = self.store.people.get(name or "")
        if person and not person.disabled and asked.get("prompt") != "login" and provider in {"", person.idp}:
            return self._grant(query, person)
        if asked.get("prompt") == "none":
            return RedirectResponse(
                _with(asked["redirect_uri"], error="login_required", state=asked.get("state", "")), 302
            )
        if provider not in _PROVIDERS:
            choices = [
                (label, f"?{query}&{urlencode({'uy_select_authn': f'{key}.password'})}")
                for key, label in _PROVIDERS.items()
            ]
            return self.page("choice.html", choices=choices)
        return self._ask(_Interaction(query, provider, time.monotonic()))

    def login(self, form: dict[str, str], cookies: dict[str, str]) -> Response:
        """Answer the login form: a code, the page again with a sentence, or the refusal that was asked for."""
        known = form.get("interaction", "")
        interaction = self._interactions.get(known)
        bound = hmac.compare_digest(cookies.get(_LOGIN, "").encode(), known.encode())
        if interaction is None or not bound or time.monotonic() - interaction.made > _INTERACTION_S:
            return self.page(
                "error.html", 400, message="This login page is too old. Go back to the portal and log in again."
            )
        if form.get("cancel"):
            del self._interactions[known]
            return self._grant(interaction.query, None)
        person = self.store.people.get(form.get("username", ""))
        good = person is not None and hmac.compare_digest(person.password.encode(), form.get("password", "").encode())
        if person is None or not good or person.disabled:
            interaction.tries += 1
            if interaction.tries >= _TRIES:
                del self._interactions[known]
                return self.page(
                    "error.html", 429, message="Too many wrong passwords. Go back to the portal and log in again."
                )
            return self._ask(interaction, "User name or password is wrong.", form.get("username", ""))
        if person.idp != interaction.provider:
            label = _PROVIDERS[person.idp]
            return self._ask(interaction, f"This account logs in with “{label}”. Go back and choose that.", person.name)
        del self._interactions[known]
        response = self._grant(interaction.query, person)
        session = token()
        remember(self.store.sessions, session, person.name)
        response.set_cookie(_SESSION, session, httponly=True, samesite="lax", path="/oauth2-as")
        response.delete_cookie(_LOGIN, path="/oauth2-as")
        return response

    def revoke(self, form: dict[str, str], authorization: str) -> Response:
        """End a token (RFC 7009); ``client_id`` must stand in the form, and no authentication is needed."""
        if not form.get("client_id") or not form.get("token"):
            return JSONResponse({"error": "invalid_request"}, 400)
        credentials = basic_credentials(authorization)
        if credentials and credentials != (self.server.client.client_id, self.server.client.secret):
            return JSONResponse({"error": "invalid_client"}, 403)
        if form["client_id"] != self.server.client.client_id:
            return JSONResponse({"error": "invalid_client"}, 401)
        login = self.store.logins.pop(form["token"], None)
        self.store.access.pop(form["token"], None)
        if login and form.get("logout") == "true":
            if "single-logout" not in login.scope.split():
                self.store.logins[form["token"]] = login
                return JSONResponse({"error": "invalid_scope"}, 400)
            for session in [key for key, name in self.store.sessions.items() if name == login.person]:
                del self.store.sessions[session]
        return Response(status_code=200)

    def userinfo(self, authorization: str) -> Response:
        """Return the claims of a living access token."""
        known = self.store.access.get(authorization.removeprefix("Bearer "))
        if not authorization.startswith("Bearer ") or known is None or time.monotonic() > known.ends:
            return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return JSONResponse(known.claims)

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Return a page."""
        headers = {
            "Content-Security-Policy": self._policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(self._pages.get_template(template).render(**values), status, headers)

    def metadata(self) -> dict[str, object]:
        """Return the discovery document."""
        base = self.issuer.removesuffix("/oauth2")
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{base}/oauth2-as/oauth2-authz",
            **{f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in _ENDPOINTS.items()},
            "jwks_uri": f"{self.issuer}/jwk",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256", "plain"],
        }

    def _ask(self, interaction: _Interaction, message: str = "", username: str = "") -> Response:
        known = secrets.token_urlsafe(24)
        remember(self._interactions, known, interaction)
        label = _PROVIDERS[interaction.provider]
        response = self.page(
            "login.html", 401 if message else 200, label=label, interaction=known, message=message, username=username
        )
        response.set_cookie(_LOGIN, known, httponly=True, samesite="lax", path="/oauth2-as")
        return response

    def _grant(self, query: str, person: Person | None) -> Response:
        raw = Raw("GET", "/oauth2-as/oauth2-authz", {}, query=query)
        grant = self.server.get_consent_grant(raw, end_user=person)
        response: Response = self.server.create_authorization_response(grant.request, grant_user=person, grant=grant)
        return response


_ENDPOINTS = {"token": "token", "userinfo": "userinfo", "introspection": "introspect", "revocation": "revoke"}


def create_identity_provider(settings: IdentitySettings) -> FastAPI:
    """Return the provider as an application."""
    provider = Provider(settings)
    app = FastAPI(title="Demo identity provider", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.provider = provider
    _add_pages(app, provider)
    _add_endpoints(app, provider)
    return app


def _add_pages(app: FastAPI, provider: Provider) -> None:
    @app.get("/oauth2-as/oauth2-authz")
    async def authorize(request: Request) -> Response:
        return provider.authorize(request.url.query, request.cookies)

    @app.post("/oauth2-as/login")
    async def login(request: Request) -> Response:
        return provider.login(await _form(request), request.cookies)

    @app.get("/oauth2-as/style.css")
    async def style() -> Response:
        return FileResponse(_TEMPLATES / "style.css", media_type="text/css")


def _add_endpoints(app: FastAPI, provider: Provider) -> None:
    @app.post("/oauth2/token")
    async def issue(request: Request) -> Response:
        body = (await request.body())[:_LARGEST_FORM].decode("utf-8", "replace")
        headers = {"Authorization": value} if (value := request.headers.get("authorization")) else {}
        response: Response = provider.server.create_token_response(Raw("POST", "/oauth2/token", headers, form=body))
        return response

    @app.get("/oauth2/userinfo")
    async def userinfo(request: Request) -> Response:
        return provider.userinfo(request.headers.get("authorization", ""))

    @app.post("/oauth2/revoke")
    async def revoke(request: Request) -> Response:
        return provider.revoke(await _form(request), request.headers.get("authorization", ""))

    @app.post("/oauth2/introspect")
    async def introspect(request: Request) -> Response:
        known = provider.store.access.get((await _form(request)).get("token", ""))
        active = known is not None and time.monotonic() < known.ends
        return JSONResponse({"active": True, "sub": known.claims["sub"]} if active and known else {"active": False})

    @app.get("/oauth2/jwk")
    async def keys() -> dict[str, object]:
        public = {name: value for name, value in provider.server.key.as_dict(private=False).items() if name != "kid"}
        return {"keys": [public]}

    @app.get("/oauth2/.well-known/openid-configuration")
    async def metadata() -> dict[str, object]:
        return provider.metadata()


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body())[:_LARGEST_FORM].decode("utf-8", "replace")
    return {name: values[0][:_LONGEST_FIELD] for name, values in parse_qs(body, max_num_fields=50).items()}


def _with(uri: str, **parameters: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters)}"
