# SPDX-License-Identifier: BSD-3-Clause
"""The OAuth 2.0 and OpenID Connect core of the demo's identity provider: Authlib, with the habits of Unity 3.13.

Authlib checks requests, PKCE and grants; here is what it asks of a framework (a request, a response) and of an
application (clients, codes, tokens). Used by :mod:`.identity_pages` (authorisation) and :mod:`.identity` (tokens).
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    AuthorizationCodeGrant,
    AuthorizationServer,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Payload,
    OAuth2Request,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from joserfc import jwt

from jupyter_jsc.demo.identity_claims import claims, known_scopes
from jupyter_jsc.demo.identity_state import CODE_S, AccessToken, Code, IdentitySettings, Login, Provider
from jupyter_jsc.demo.people import Person

_MOST_BYTES = 16 * 1024
_MOST_FIELDS = 50
_ID_TOKEN_S = 3600
_CLIENT_AUTHENTICATOR = "pwd"
"""What the client logs in by. After a refresh Unity up to 4.2 tells this of the user."""


class _Payload(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """The parameters of a request."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._lists


class ProtocolRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """A request as Authlib wants it."""

    def __init__(self, method: str, uri: str, headers: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = _Payload(pairs)

    @property
    def form(self) -> dict[str, str]:
        """The parameters of the body."""
        found: dict[str, str] = self.payload.data
        return found

    @property
    def args(self) -> dict[str, str]:
        """The parameters of the query."""
        return self.form


async def form_request(request: Request, settings: IdentitySettings) -> ProtocolRequest:
    """Return a POST with its form; InvalidRequestError for what is no form, too long or says a thing twice."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise InvalidRequestError("The form is too long.", status_code=413)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise InvalidRequestError("The body is no form.")
    pairs = parameters(body)
    if len({name for name, _ in pairs}) < len(pairs):
        raise InvalidRequestError("A parameter is repeated.")
    return ProtocolRequest("POST", settings.issuer_base + request.url.path, request.headers, pairs)


def parameters(raw: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a query or form; InvalidRequestError for too many or what is no text."""
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InvalidRequestError("The parameters cannot be read.") from error


class _Client:
    """The one client: the portal. The methods are Authlib's contract."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings

    def get_client_id(self) -> str:
        return self._settings.client_id

    def get_default_redirect_uri(self) -> None:
        """There is no default: the redirect URI has to be sent."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return known_scopes(scope)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self._settings.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(self._settings.client_secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """RFC 6749 §4.1. A code is used up by the first try, also by one with a wrong verifier."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def save_authorization_code(self, code: str, request: ProtocolRequest) -> None:
        """Called by Authlib."""
        data = request.payload.data
        challenge = data.get("code_challenge")
        found = Code(
            session=request.user,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope,
            nonce=data.get("nonce"),
            code_challenge=challenge,
            code_challenge_method=data.get("code_challenge_method"),
        )
        self.server.provider.codes.put(code, found, CODE_S)

    def query_authorization_code(self, code: str, _client: _Client) -> Code | None:
        """Called by Authlib."""
        found: Code | None = self.server.provider.codes.pop(code)
        return found

    def delete_authorization_code(self, _code: Code) -> None:
        """Called by Authlib: the code has gone already when it was looked up."""

    def authenticate_user(self, code: Code) -> Person:
        """Called by Authlib."""
        return admitted(self.server.provider, code.session.name)


class _RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """RFC 6749 §6, with Unity's errors; with rotation, those of the other providers."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def authenticate_refresh_token(self, refresh_token: str) -> Login:
        """Called by Authlib."""
        provider: Provider = self.server.provider
        provider.refreshes += 1
        if login := provider.login(refresh_token):
            return login
        rotates = provider.settings.rotate_refresh
        if rotates and (used := provider.logins.get(refresh_token)):
            used.killed = True
        raise InvalidGrantError("wrong refresh token") if rotates else InvalidRequestError("wrong refresh token")

    def authenticate_user(self, login: Login) -> Person:
        """Called by Authlib."""
        return admitted(self.server.provider, login.session.name)

    def revoke_old_credential(self, _login: Login) -> None:
        """Called by Authlib: without rotation the same token goes on, with it :meth:`Server.save_token` has moved on."""


class _IdToken(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
    """OpenID Connect Core §3.1: adds the ID token to what both grants answer."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self._provider = provider

    def exists_nonce(self, _nonce: str, _request: ProtocolRequest) -> bool:
        """Called by Authlib. The client is who has to look after nonces."""
        return False

    def encode_id_token(self, _token: Mapping[str, Any], request: ProtocolRequest) -> str:
        """Called by Authlib. Nothing but these claims and no ``kid``, as Unity up to 4.0."""
        provider = self._provider
        issued = int(provider.now())
        content: dict[str, Any] = {
            "sub": request.user.subject,
            "aud": provider.settings.client_id,
            "iss": provider.settings.issuer,
            "exp": issued + _ID_TOKEN_S,
            "iat": issued,
        }
        source: Code | Login = request.authorization_code or request.refresh_token
        if source.nonce is not None:
            content["nonce"] = source.nonce
        return jwt.encode({"alg": "RS256"}, content, provider.key)


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib's server for the one client, over the memory of a :class:`.identity_state.Provider`."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider
        self._client = _Client(provider.settings)
        self.register_client_auth_method("client_secret_basic", _basic)
        self.register_token_generator("default", self._tokens)
        self.register_grant(_CodeGrant, [_IdToken(provider), CodeChallenge(required=False)])
        self.register_grant(_RefreshGrant, [_IdToken(provider)])

    def query_client(self, client_id: str) -> _Client | None:
        """Called by Authlib."""
        return self._client if client_id == self._client.get_client_id() else None

    def save_token(self, token: Mapping[str, Any], request: ProtocolRequest) -> None:
        """Keep the tokens of an answer, with a fresh look at the person. Called by Authlib."""
        provider, settings, issued = self.provider, self.provider.settings, int(self.provider.now())
        if request.authorization_code is not None:
            code: Code = request.authorization_code
            login = Login(code.session, code.scope, code.nonce, token["refresh_token"])
            authenticator: str = code.session.idp
        else:
            login, authenticator = request.refresh_token, _CLIENT_AUTHENTICATOR
            login.refresh_token = token.get("refresh_token", login.refresh_token)
        if "refresh_token" in token:
            provider.logins.put(login.refresh_token, login, settings.refresh_token_s)
        told = claims(request.user, authenticator, token["scope"])
        record = AccessToken(login, token["scope"], told, issued, issued + settings.access_token_s)
        provider.access_tokens.put(token["access_token"], record, settings.access_token_s)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Called by Authlib; nobody listens."""

    def create_oauth2_request(self, request: ProtocolRequest) -> ProtocolRequest:
        """Called by Authlib."""
        return request

    def handle_response(self, status: int, body: Any, headers: Iterable[tuple[str, str]]) -> Response:
        """Called by Authlib."""
        named = dict(headers)
        return JSONResponse(body, status, named) if isinstance(body, dict) else Response(body, status, named)

    def _tokens(self, *, grant_type: str, scope: str, **_rest: Any) -> dict[str, Any]:
        """Return the tokens of an answer. The first answer's scope never has ``offline_access``, as at Unity."""
        first = grant_type == "authorization_code"
        token = {
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": self.provider.settings.access_token_s,
            "scope": " ".join(name for name in scope.split() if not (first and name == "offline_access")),
        }
        if first or self.provider.settings.rotate_refresh:
            token["refresh_token"] = secrets.token_urlsafe(32)
        return token


def admitted(provider: Provider, name: str) -> Person:
    """Return the person if they may have tokens; otherwise raise what Unity answers."""
    standing = provider.standing(name)
    if standing == "disabled":
        raise OAuth2Error("The entity is disabled", status_code=500, error="server_error")
    if standing == "outside":
        raise AccessDeniedError("The user is not in the group of users.", status_code=403)
    return provider.people[name]


def _basic(query_client: Any, request: ProtocolRequest) -> _Client | None:
    """Return the client that the Basic header proves; a wrong one is 403, none is 401 by Authlib."""
    try:
        name, secret = extract_basic_authorization(request.headers)
    except ValueError:
        name = secret = None
    if not name:
        return None
    client: _Client | None = query_client(name)
    if client is None or not client.check_client_secret(secret or ""):
        raise InvalidClientError("The client is unknown or its secret is wrong.", status_code=403)
    return client
