# SPDX-License-Identifier: BSD-3-Clause
"""HTTP to a UNICORE/X server: pyunicore's aio transport, with its gaps closed.

pyunicore 2.0.2 does not verify TLS by default, loses the HTTP status of errors and has no total time limit; several
of its resource classes are broken. So only ``Transport`` is used, and every answer passes through one function.
"""

import asyncio
import hashlib
import ssl
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from pyunicore.aio.client import Transport
from pyunicore.credentials import Anonymous, OIDCToken

from jupyter_jsc.errors import CredentialRefused, InvalidRequest, NotFound, SiteRefused, SiteUnavailable

CALL_S = 30.0
"""Time limit of one call, all of it."""
_IDENTITIES = 2000
_LARGEST_ANSWER = 8 * 1024 * 1024


class Refused(SiteRefused):
    """The site answered 403: for the token, for a preference, or for what was asked; who asks must find out."""

    title = "Refused by UNICORE"


class NotAnswering(SiteUnavailable):
    """The site gave no answer that says anything."""


class Connection:
    """One site's HTTP client, shared by all users; one transport (security session) per identity and preferences."""

    def __init__(self, label: str, url: str, ca_file: str) -> None:
        self.label = label
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            verify=_verify(self.url, ca_file),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
            follow_redirects=False,
            trust_env=False,
        )
        self._transports: OrderedDict[str, Transport] = OrderedDict()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def as_user(self, credential: SecretStr | None, account: str | None, project: str | None) -> "Caller":
        """Return a caller with this identity and these user preferences.

        An empty token would silently be an anonymous caller, so it is refused here.
        """
        if credential is None or not credential.get_secret_value().strip():
            raise CredentialRefused("There is no valid login for this system. Please log in again.")
        wanted = {"uid": account, "group": project}
        preferences = ",".join(f"{name}:{value}" for name, value in wanted.items() if value)
        key = hashlib.sha256(f"{preferences}\0{credential.get_secret_value()}".encode()).hexdigest()
        transport = self._transports.pop(key, None)
        if transport is None:
            transport = self._transport(OIDCToken(credential.get_secret_value()))
            transport.preferences = preferences or None
        self._transports[key] = transport
        while len(self._transports) > _IDENTITIES:
            self._transports.popitem(last=False)
        return Caller(self, transport)

    def anonymous(self) -> "Caller":
        """Return a caller without any credential, for the site's health and certificate."""
        return Caller(self, self._transport(Anonymous()))

    def _transport(self, credential: Any) -> Transport:
        transport = _CheckedTransport(credential, verify=True, timeout=CALL_S, client=self._http)
        transport.label = self.label
        return transport


class _CheckedTransport(Transport):  # type: ignore[misc]  # pyunicore is not typed
    """pyunicore's transport whose errors are ours."""

    label = ""

    def _check_error(self, res: httpx.Response) -> None:
        """Called by ``run_method`` for every answer."""
        if res.status_code >= 400:
            raise _error(self.label, res)
        if res.status_code >= 300:
            raise NotAnswering(f"{self.label} answered with a redirection.", status=res.status_code)


class Caller:
    """Calls to one site as one identity."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the JSON object at *path* below the REST base."""
        response = await self._call(self._transport.get, path, to_json=False, params=params)
        return self._object(response)

    async def text(self, path: str, headers: dict[str, str], **params: Any) -> bytes:
        """Return the bytes at *path*, at most 8 MiB."""
        response: httpx.Response = await self._call(
            self._transport.get, path, to_json=False, params=params, headers=headers
        )
        if len(response.content) > _LARGEST_ANSWER:
            raise NotAnswering(f"{self._connection.label} sent more than fits.")
        return bytes(response.content)

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """POST *body* as JSON."""
        response: httpx.Response = await self._call(self._transport.post, path, json=body)
        return response

    async def delete(self, path: str) -> None:
        """DELETE *path*."""
        await self._call(self._transport.delete, path)

    async def _call(self, method: Any, path: str, **options: Any) -> Any:
        label = self._connection.label
        try:
            async with asyncio.timeout(CALL_S):
                return await method(url=self._connection.url + path, **options)
        except TimeoutError as error:
            raise NotAnswering(f"{label} does not answer in time.", path=path, after_s=CALL_S) from error
        except httpx.HTTPError as error:
            raise NotAnswering(f"{label} does not answer at the moment.", cause=type(error).__name__) from error

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError as error:
            raise NotAnswering(f"{self._connection.label} answers with something that is no JSON.") from error
        if not isinstance(document, dict):
            raise NotAnswering(f"{self._connection.label} answers with something unexpected.")
        return document


def _error(label: str, response: httpx.Response) -> Exception:
    """Return the error that an answer of 400 and above means.

    "Not there" is a 404 with neither body nor content type: during its start the server answers every URL with 404
    and HTML.
    """
    status = response.status_code
    if status == 404 and not response.content and "content-type" not in response.headers:
        return NotFound(f"{label} does not know this job.")
    if status in {401, 403}:
        return Refused(f"{label} refuses this.", status=status)
    said = _message(response)
    if status == 400:
        return SiteRefused(f"{label} refuses the request.", said=said)
    return NotAnswering(f"{label} does not answer properly at the moment.", status=status, said=said)


def _message(response: httpx.Response) -> str:
    """Return the server's error message, cut at 256 characters; never another body, which may hold anything."""
    try:
        document = response.json()
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    return str(document.get("errorMessage") or document.get("message") or "")[:256]


def _verify(url: str, ca_file: str) -> ssl.SSLContext | bool:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return ssl.create_default_context(cafile=ca_file or None)
    if parts.hostname in {"127.0.0.1", "::1", "localhost"}:
        return True
    raise InvalidRequest(
        f"unicore.url: {url!r} is not possible. Allowed: https, or plain http on this machine.", field="unicore.url"
    )
