# SPDX-License-Identifier: BSD-3-Clause
"""The demo's OpenID Connect provider, with the habits of Unity 3.13: a demo and test peer.

Run by :mod:`.world` and in tests. Here are the endpoints that programs call; people meet :mod:`.identity_pages`,
the protocol's core is :mod:`.identity_grants`, what is remembered :mod:`.identity_state` (``app.state.provider``), and
over a restart :mod:`.identity_memory`.
"""

import re
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError, InvalidScopeError, OAuth2Error
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from jupyter_jsc.demo.identity_claims import SCOPES
from jupyter_jsc.demo.identity_grants import ProtocolRequest, Server, form_request
from jupyter_jsc.demo.identity_memory import Memory
from jupyter_jsc.demo.identity_pages import LoginPages
from jupyter_jsc.demo.identity_state import AccessToken, IdentitySettings, Provider

__all__ = ["IdentitySettings", "Provider", "create_identity_provider"]

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_BASIC = ["client_secret_basic"]


def create_identity_provider(settings: IdentitySettings) -> FastAPI:
    """Return the provider's application; ``app.state.provider`` is its :class:`Provider`."""
    provider = Provider(settings)
    memory = Memory(provider, settings.memory)
    memory.recall()
    server = Server(provider)
    app = FastAPI(title="Identity provider of the demo", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.provider = provider

    def on_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, OAuth2Error)
        response: Response = server.handle_error_response(None, error)
        return response

    app.add_exception_handler(OAuth2Error, on_error)
    app.include_router(TokenRoutes(provider, server, memory).router)
    app.include_router(LoginPages(provider, server).router)
    return app


class TokenRoutes:
    """The endpoints below ``/oauth2``."""

    def __init__(self, provider: Provider, server: Server, memory: Memory) -> None:
        self._provider = provider
        self._memory = memory
        self._settings = provider.settings
        self._server = server
        self.router = APIRouter(prefix="/oauth2")
        add = self.router.add_api_route
        add("/.well-known/openid-configuration", self.metadata, methods=["GET"])
        add("/jwk", self.keys, methods=["GET"])
        add("/token", self.token, methods=["POST"])
        add("/userinfo", self.userinfo, methods=["GET", "POST"])
        add("/tokeninfo", self.tokeninfo, methods=["GET"])
        add("/introspect", self.introspect, methods=["POST"])
        add("/revoke", self.revoke, methods=["POST"])

    async def metadata(self) -> dict[str, Any]:
        """Return OpenID Connect's discovery document; it does not tell how clients authenticate."""
        base, issuer = self._settings.issuer_base, self._settings.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{base}/oauth2-as/oauth2-authz",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/jwk",
            "introspection_endpoint": f"{issuer}/introspect",
            "revocation_endpoint": f"{issuer}/revoke",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    async def keys(self) -> dict[str, Any]:
        """Return the one key, without ``kid``."""
        return {"keys": [self._provider.key.as_dict(private=False)]}

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token (RFC 6749 §4.1.3, §6)."""
        response: Response = self._server.create_token_response(await form_request(request, self._settings))
        await self._memory.keep()
        return response

    async def userinfo(self, request: Request) -> Response:
        """Return the claims of the time when the token was issued (OpenID Connect Core §5.3)."""
        found = self._bearer(request)
        if found is None:
            return _unknown_token()
        if "application/jwt" in request.headers.get("accept", ""):
            raise OAuth2Error("Signed answers are not supported.", status_code=400, error="server_error")
        return JSONResponse(found.claims, headers={"Cache-Control": "no-store"})

    async def tokeninfo(self, request: Request) -> Response:
        """Return what the token allows; ``scope`` is a list here."""
        found = self._bearer(request)
        return _unknown_token() if found is None else JSONResponse(self._about(found) | {"scope": found.scope.split()})

    async def introspect(self, request: Request) -> Response:
        """Tell whether a token is good (RFC 7662); what cannot be a token at all is an error."""
        form = await form_request(request, self._settings)
        self._server.authenticate_client(form, _BASIC)
        token = form.form.get("token", "")
        if not _TOKEN.fullmatch(token):
            raise InvalidRequestError("The token is malformed.")
        if found := self._provider.access_token(token):
            more = {"scope": found.scope, "iat": found.issued, "iss": self._settings.issuer, "token_type": "Bearer"}
            return JSONResponse({"active": True} | self._about(found) | more)
        if login := self._provider.login(token):
            more = {"scope": login.scope, "sub": self._provider.people[login.session.name].subject}
            return JSONResponse({"active": True, "client_id": self._settings.client_id} | more)
        return JSONResponse({"active": False})

    async def revoke(self, request: Request) -> Response:
        """End one token (RFC 7009); with ``logout=true`` also the browser's session, if the scope allows it."""
        form = await form_request(request, self._settings)
        token = self._revocable(form)
        found = self._provider.access_token(token)
        login = found.login if found else self._provider.login(token)
        if login is None:
            return Response()
        if form.form.get("logout") == "true":
            if "single-logout" not in login.scope.split():
                raise InvalidScopeError("The scope single-logout is needed.")
            self._provider.sessions.pop(login.session.id)
        if found:
            self._provider.access_tokens.pop(token)
        else:
            self._provider.logins.pop(token)
        await self._memory.keep()
        return Response()

    def _revocable(self, form: ProtocolRequest) -> str:
        """Return the token to revoke; the form has to name our client, Basic alone does not do."""
        if "authorization" in form.headers:
            self._server.authenticate_client(form, _BASIC)
        client_id, token = form.form.get("client_id"), form.form.get("token")
        if client_id is None or token is None:
            raise InvalidRequestError("client_id and token are needed in the form.")
        if client_id != self._settings.client_id:
            raise InvalidClientError("The token belongs to another client.", status_code=401)
        return token

    def _bearer(self, request: Request) -> AccessToken | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._provider.access_token(token.strip()) if scheme.lower() == "bearer" else None

    def _about(self, token: AccessToken) -> dict[str, Any]:
        client_id = self._settings.client_id
        return {"sub": token.claims["sub"], "client_id": client_id, "aud": client_id, "exp": token.expires}


def _unknown_token() -> Response:
    return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
