# SPDX-License-Identifier: BSD-3-Clause
"""OAuth 2.0 and OpenID Connect of the demo's provider, by Authlib, with the answers bent to Unity's habits.

Called by :mod:`.identity` for the authorisation and the token endpoint.
"""

import base64
import binascii
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from jupyter_jsc.demo.identity_store import CODE_S, SCOPE_CLAIMS, AccessToken, Code, Login, Store, remember, token
from jupyter_jsc.demo.people import Person

METHODS = ["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True)
class Lifetimes:
    """How long tokens live, in seconds, and whether a refresh gives a new refresh token."""

    access_s: int
    refresh_s: int
    rotate: bool


@dataclass(frozen=True)
class Raw:
    """A request as the endpoint got it."""

    method: str
    path: str
    headers: dict[str, str]
    query: str = ""
    form: str = ""


class _Payload(OAuth2Payload):  # type: ignore[misc]  # Authlib is not typed
    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    @property
    def data(self) -> dict[str, str]:
        return dict(self._pairs)

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in self._pairs:
            found[name].append(value)
        return found


class _Request(OAuth2Request):  # type: ignore[misc]
    def __init__(self, raw: Raw) -> None:
        # Authlib refuses plain http; this provider listens on loopback only.
        super().__init__(raw.method, f"https://localhost{raw.path}", headers=raw.headers)
        self._query, self._form = dict(parse_qsl(raw.query)), dict(parse_qsl(raw.form))
        self.payload = _Payload(parse_qsl(raw.query) + parse_qsl(raw.form))

    @property
    def args(self) -> dict[str, str]:
        return self._query

    @property
    def form(self) -> dict[str, str]:
        return self._form


@dataclass(frozen=True)
class Client:
    """The one client, with the methods that Authlib asks for."""

    client_id: str
    secret: str
    redirect_uris: tuple[str, ...]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(name for name in (scope or "").split() if name in SCOPE_CLAIMS)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic" or endpoint != "token"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


class Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server with our store behind it."""

    def __init__(self, store: Store, client: Client, lifetimes: Lifetimes, issuer: str) -> None:
        super().__init__()
        self.store = store
        self.client = client
        self.lifetimes = lifetimes
        self.issuer = issuer
        self.key = RSAKey.generate_key(2048, private=True)
        self.refreshes = 0
        """How many requests for a refresh were made; tests count them."""
        self.register_grant(_CodeGrant, [CodeChallenge(required=False)])
        self.register_grant(_RefreshGrant)
        self.register_token_generator("default", self._make_tokens)

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == self.client.client_id else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Called by Authlib once tokens are made; they are kept already."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Called by Authlib; nobody listens."""

    def validate_requested_scope(self, scope: str) -> None:
        """Let unknown scopes pass: they are dropped silently."""

    def create_oauth2_request(self, request: Raw) -> OAuth2Request:
        return request if isinstance(request, OAuth2Request) else _Request(request)

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        fields = dict(headers)
        if "Location" in fields:
            return RedirectResponse(fields["Location"], 302)
        return JSONResponse(body if isinstance(body, dict) else dict(body), status, fields)

    def handle_error_response(self, request: Any, error: OAuth2Error) -> Response:
        if isinstance(error, InvalidClientError):
            basic = "authorization" in {name.lower() for name in request.headers}
            return JSONResponse({"error": "invalid_client"}, 403 if basic else 401)
        return super().handle_error_response(request, error)

    def _make_tokens(self, *, user: Any, scope: str, include_refresh_token: bool = True, **_: Any) -> dict[str, Any]:
        """Return a token response for a new login (*user* is a Code) or a refresh (*user* is a Login)."""
        fresh = isinstance(user, Code)
        login = self._new_login(user) if isinstance(user, Code) else user
        person = self.store.people[login.person]
        rotated = not fresh and self.lifetimes.rotate
        if rotated:
            self._rotate(login)
        access = token()
        # After a refresh Unity's profile describes the client's own login, not the person's.
        claims = self.store.claims(person, scope, f"[{person.idp}.password]" if fresh else "[pwd]")
        known = AccessToken(login.refresh_token, time.monotonic() + self.lifetimes.access_s, claims)
        remember(self.store.access, access, known)
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.lifetimes.access_s, "scope": scope}
        answer["id_token"] = self._id_token(person, login)
        if include_refresh_token and (fresh or rotated):
            answer["refresh_token"] = login.refresh_token
        return answer

    def _new_login(self, code: Code) -> Login:
        login = Login(code.person, code.scope, token(), time.monotonic() + self.lifetimes.refresh_s, nonce=code.nonce)
        return remember(self.store.logins, login.refresh_token, login)

    def _rotate(self, login: Login) -> None:
        self.store.logins.pop(login.refresh_token, None)
        for name, known in list(self.store.access.items()):
            if known.login == login.refresh_token:
                del self.store.access[name]
        login.spent.add(login.refresh_token)
        login.refresh_token = token()
        remember(self.store.logins, login.refresh_token, login)

    def _id_token(self, person: Person, login: Login) -> str:
        now = int(time.time())
        claims = {"sub": person.subject, "aud": self.client.client_id, "iss": self.issuer, "iat": now, "exp": now + 60}
        if login.nonce:
            claims["nonce"] = login.nonce
        return jwt.encode({"alg": "RS256"}, claims, self.key)


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        asked = request.payload.data
        store: Store = self.server.store
        remember(
            store.codes,
            code,
            Code(
                code,
                request.client.client_id,
                asked.get("redirect_uri", ""),
                request.client.get_allowed_scope(asked.get("scope", "")),
                request.user.name,
                asked.get("nonce"),
                asked.get("code_challenge"),
                asked.get("code_challenge_method"),
            ),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        _ = client
        # Taken out at the first use, also a failed one: a code is good once.
        found: Code | None = self.server.store.codes.pop(code, None)
        return found if found and time.monotonic() - found.made < CODE_S else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        self.server.store.codes.pop(authorization_code.code, None)

    def authenticate_user(self, authorization_code: Code) -> Code:
        return authorization_code


class _RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def authenticate_refresh_token(self, refresh_token: str) -> Login:
        self.server.refreshes += 1
        store: Store = self.server.store
        login = store.logins.get(refresh_token)
        if login is None:
            for other in list(store.logins.values()):
                if refresh_token in other.spent:
                    store.end_login(other.refresh_token)
            raise _error(400, "invalid_request", "wrong refresh token")
        person = store.people[login.person]
        if time.monotonic() > login.ends:
            raise _error(400, "invalid_request", "wrong refresh token")
        if person.disabled:
            raise _error(500, "server_error", "The entity is disabled")
        if "/portal" not in person.groups:
            raise _error(403, "access_denied", "not a member of the users group")
        return login

    def authenticate_user(self, refresh_token: Login) -> Login:
        return refresh_token

    def revoke_old_credential(self, refresh_token: Login) -> None:
        """Called by Authlib after a refresh; rotation has done it."""


def _error(status: int, code: str, description: str) -> OAuth2Error:
    return OAuth2Error(description=description, status_code=status, error=code)


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return user and password of a Basic header, or None."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password
