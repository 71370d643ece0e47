# SPDX-License-Identifier: BSD-3-Clause
"""A browser and a portal in front of the demo's identity provider, over HTTP in this process. For its tests."""

import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from fastapi import FastAPI

from jupyter_jsc.demo.identity import IdentitySettings, Provider, create_identity_provider

BASE = "http://localhost:9000"
CALLBACK = "http://localhost:8000/hub/oauth_callback"
CLIENT = ("portal", "client-secret")
VERIFIER = "v" * 43
SCOPE = "openid profile username hpc_infos eduperson_entitlement authenticator"
AUTHORISE = "/oauth2-as/oauth2-authz"


def challenge(verifier: str = VERIFIER) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def new_app(**settings: Any) -> FastAPI:
    """Return a provider for the one client."""
    return create_identity_provider(IdentitySettings(BASE, *CLIENT, (CALLBACK,), **settings))


def query(**more: str | None) -> dict[str, str]:
    """Return an authorisation request; None leaves a parameter out."""
    sent = {
        "response_type": "code",
        "client_id": CLIENT[0],
        "redirect_uri": CALLBACK,
        "scope": SCOPE,
        "state": "a state",
        "nonce": "a-nonce",
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
        "uy_select_authn": "jsc.password",
    }
    return {name: value for name, value in (sent | more).items() if value is not None}


def callback(response: httpx.Response) -> dict[str, str]:
    """Return the parameters that the browser brings to the portal's callback."""
    assert response.status_code == 302
    address = response.headers["location"]
    assert address.startswith(CALLBACK + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


class Browser:
    """One browser with its cookies; it can also call as the portal does."""

    def __init__(self, http: httpx.AsyncClient, provider: Provider) -> None:
        self.http = http
        self.provider = provider

    async def open(self, **more: str | None) -> httpx.Response:
        """Open the address that the portal sends the browser to."""
        return await self.http.get(AUTHORISE, params=query(**more))

    async def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Send the form of *page*, with its hidden field unless *fields* say otherwise."""
        action = unescape(re.findall('action="([^"]+)"', page.text)[0])
        csrf = re.findall('name="csrf" value="([^"]+)"', page.text)[0]
        return await self.http.post(urljoin(str(page.url), action), data={"csrf": csrf} | fields)

    async def log_in(self, name: str = "alice", password: str | None = None, **more: str | None) -> httpx.Response:
        """Open the login page and send name and password."""
        page = await self.open(**more)
        return await self.submit(page, username=name, password=password or f"{name}-demo")

    async def code(self, name: str = "alice", **more: str | None) -> str:
        """Log in and return the code."""
        return callback(await self.log_in(name, **more))["code"]

    async def exchange(self, code: str, **more: str) -> httpx.Response:
        """Exchange a code for tokens as the portal does."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self.http.post("/oauth2/token", data=form | more, auth=CLIENT)

    async def tokens(self, name: str = "alice", **more: str | None) -> dict[str, Any]:
        """Log in and return the tokens."""
        return dict((await self.exchange(await self.code(name, **more))).json())

    async def refresh(self, token: str, **more: str) -> httpx.Response:
        """Refresh as the portal does."""
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await self.http.post("/oauth2/token", data=form | more, auth=CLIENT)

    async def userinfo(self, token: str) -> httpx.Response:
        """Ask who the user is."""
        return await self.http.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})

    async def claims(self, token: str) -> dict[str, Any]:
        """Return what userinfo tells."""
        response = await self.userinfo(token)
        assert response.status_code == 200
        return dict(response.json())

    async def revoke(self, token: str, **more: str) -> httpx.Response:
        """Revoke as the portal does: client_id in the form."""
        return await self.http.post("/oauth2/revoke", data={"client_id": CLIENT[0], "token": token} | more)

    async def introspect(self, token: str) -> httpx.Response:
        """Ask about a token."""
        return await self.http.post("/oauth2/introspect", data={"token": token}, auth=CLIENT)


@contextlib.asynccontextmanager
async def browsing(app: FastAPI) -> AsyncIterator[Browser]:
    """A new browser in front of *app*."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as http:
        yield Browser(http, app.state.provider)
