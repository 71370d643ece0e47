# SPDX-License-Identifier: BSD-3-Clause
"""Clients of our services: one method per route, over one aiohttp wrapper with limits, retries and a request id.

The hub calls managers and TunnelMgr, a manager calls the hub, the dashboard all of them. Every method raises the error class that the
other side raised; what never came back as an answer is :class:`errors.Unavailable`.
"""

import asyncio
import ssl
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import stamina
import structlog
from pydantic import SecretStr, TypeAdapter, ValidationError

from jupyter_jsc import errors, operators, wire

Answer = TypeVar("Answer")

_NONE: Mapping[str, str] = {}


class Service:
    """One REST service: base address, token, whom to trust, time limits. An async context manager.

    *ca_file* is the PEM file of the authority that signed its certificate; empty: the machine's own set.
    """

    def __init__(self, base_url: str, token_file: Path, *, ca_file: str = "", timeout_s: float = 20.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._token_file = token_file
        self._ca_file = ca_file
        self._trust: ssl.SSLContext | bool = True
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=5.0)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] = _NONE,
        headers: Mapping[str, str] = _NONE,
        attempts: int = 3,
        timeout_s: float | None = None,
    ) -> Any:
        """Return the JSON of the answer (None for 204). Unavailable is tried *attempts* times with back-off.

        Every route of ours may be repeated, so a lost answer is no reason not to ask again.
        """
        async for attempt in stamina.retry_context(
            on=errors.Unavailable, attempts=attempts, timeout=None, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                return await self._once(method, path, timeout_s, json=body, params=params, headers=headers)
        raise AssertionError("retry_context ends by returning or raising")

    async def version(self) -> str:
        """Return the version of the configuration that the service has in force; empty if it does not tell."""
        document = await self.request("GET", "/health/live", attempts=1)
        details = document.get("details") if isinstance(document, dict) else None
        return str(details.get("configuration", ""))[:64] if isinstance(details, dict) else ""

    async def _once(
        self, method: str, path: str, timeout_s: float | None, *, headers: Mapping[str, str], **content: Any
    ) -> Any:
        if self._session is None:
            raise RuntimeError("use the client as an async context manager")
        request_id = structlog.contextvars.get_contextvars().get("request_id") or uuid.uuid4().hex[:16]
        token = self._token_file.read_text("utf-8").strip()
        trust = self._trusted()
        sent = {"Authorization": f"Bearer {token}", "X-Request-Id": request_id, **headers}
        limit = self._timeout if timeout_s is None else aiohttp.ClientTimeout(total=timeout_s, connect=5.0)
        try:
            async with self._session.request(
                method, self._base_url + path, headers=sent, timeout=limit, ssl=trust, allow_redirects=False, **content
            ) as response:
                if response.status == 204:
                    return None
                document = await _json(response)
                if response.status >= 300:
                    raise errors.from_problem(document, response.status)
                return document
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise errors.Unavailable(
                "A service of the portal does not answer at the moment.", cause=type(error).__name__, path=path
            ) from error

    def _trusted(self) -> ssl.SSLContext | bool:
        if self._ca_file and self._trust is True:
            try:
                self._trust = ssl.create_default_context(cafile=self._ca_file)
            except OSError as error:
                raise errors.Unavailable(
                    "The file of a service's certificate authority cannot be read.", ca_file=self._ca_file
                ) from error
        return self._trust


async def _json(response: aiohttp.ClientResponse) -> Any:
    try:
        return await response.json(content_type=None)
    except (ValueError, UnicodeDecodeError) as error:
        if response.status >= 400:
            return None
        raise errors.Unavailable("A service of the portal answered with something that is not JSON.") from error


def _checked(kind: type[Answer], document: Any) -> Answer:
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        raise errors.Unavailable("A service of the portal answered with something unexpected.") from error


class ManagerClient(Service):
    """A manager, as the hub sees it."""

    async def start(self, lab: wire.StartLab, credential: SecretStr | None) -> wire.StartAnswer:
        """Submit the lab, or find what an earlier request with this start id submitted."""
        body = lab.model_dump(mode="json") | {
            "secrets": {name: value.get_secret_value() for name, value in lab.secrets.items()}
        }
        path = f"/v1/labs/{lab.lab_id}/starts/{lab.start_id}"
        return _checked(
            wire.StartAnswer,
            await self.request("PUT", path, body=body, headers=_credential(credential), timeout_s=90.0),
        )

    async def poll(self, labs: Sequence[wire.LabRef]) -> dict[str, wire.LabState]:
        """Return the states of many labs by start id."""
        body = {"labs": [_lab_ref_body(lab) for lab in labs]}
        answer = _checked(
            wire.PollAnswer, await self.request("POST", "/v1/labs/poll", body=body, attempts=1, timeout_s=60.0)
        )
        return answer.states

    async def stop(self, lab: wire.LabRef) -> None:
        """End the lab at its site; done when it is proven or was gone already. Works without a handle."""
        await self._about("DELETE", lab, "", timeout_s=60.0)

    async def log(self, lab: wire.LabRef) -> str:
        """Return the tail of the lab's output."""
        document = await self._about("GET", lab, "/log", attempts=1)
        return str(document.get("text", "")) if isinstance(document, dict) else ""

    async def _about(self, method: str, lab: wire.LabRef, suffix: str, **options: Any) -> Any:
        path = f"/v1/labs/{lab.lab_id}/starts/{lab.start_id}{suffix}"
        query = {
            "system": lab.system,
            "handle": lab.handle.url if lab.handle else None,
            "account": lab.account,
            "project": lab.project,
            "configuration": lab.configuration or None,
        }
        params = {name: value for name, value in query.items() if value is not None}
        return await self.request(method, path, params=params, headers=_credential(lab.credential), **options)

    async def systems(self) -> dict[str, wire.SystemHealth]:
        """Return the health of this manager's systems."""
        return _checked(dict[str, wire.SystemHealth], await self.request("GET", "/v1/systems", attempts=1))


class TunnelClient(Service):
    """TunnelMgr, as the hub sees it."""

    async def open(self, lab_id: str, wanted: wire.OpenTunnel) -> wire.Tunnel:
        """Return the tunnel to the lab, made if it is not there yet."""
        body = wanted.model_dump(mode="json")
        return _checked(wire.Tunnel, await self.request("PUT", f"/v1/tunnels/{lab_id}", body=body))

    async def close(self, lab_id: str, start_id: str) -> None:
        """Close the tunnel of that start, if it is there; another start's tunnel stays."""
        await self.request("DELETE", f"/v1/tunnels/{lab_id}", params={"start_id": start_id})

    async def all(self) -> list[wire.Tunnel]:
        """Return all tunnels."""
        return _checked(list[wire.Tunnel], await self.request("GET", "/v1/tunnels", attempts=1))

    async def jump_hosts(self) -> list[wire.JumpHostInfo]:
        """Return all jump hosts as TunnelMgr sees them."""
        return _checked(list[wire.JumpHostInfo], await self.request("GET", "/v1/jump-hosts", attempts=1))


class HubClient(Service):
    """The hub, as a manager sees it."""

    async def notice(self, start_id: str, notice: wire.SiteNotice) -> None:
        """Tell the hub that the site spoke of this start."""
        await self.request("POST", f"/jsc/starts/{start_id}/notice", body=notice.model_dump(mode="json"))


class OperatorClient(Service):
    """The hub, as the dashboard sees it: read-only."""

    async def overview(self) -> operators.Overview:
        """Return how the portal is."""
        return await self._tell(operators.Overview, "overview")

    async def labs(self, **wanted: str) -> operators.LabPage:
        """Return a page of labs; *wanted* are ``search``, ``system``, ``state``, ``offset`` and ``limit``."""
        return await self._tell(operators.LabPage, "labs", **wanted)

    async def failures(self, hours: int) -> operators.Failures:
        """Return what failed in the last *hours*."""
        return await self._tell(operators.Failures, "failures", hours=str(hours))

    async def open_starts(self) -> operators.OpenStarts:
        """Return the starts that may have a tunnel."""
        return await self._tell(operators.OpenStarts, "open")

    async def story(self, start_id: str) -> operators.Story:
        """Return a start with all its events, or raise :class:`errors.NotFound`."""
        return await self._tell(operators.Story, f"starts/{start_id}")

    async def _tell(self, kind: type[Answer], path: str, **params: str) -> Answer:
        return _checked(kind, await self.request("GET", f"/jsc/operators/{path}", params=params, attempts=1))


def _credential(credential: SecretStr | None) -> dict[str, str]:
    return {wire.CREDENTIAL_HEADER: credential.get_secret_value()} if credential else {}


def _lab_ref_body(lab: wire.LabRef) -> dict[str, Any]:
    body: dict[str, Any] = lab.model_dump(mode="json")
    if lab.credential is not None:
        body["credential"] = lab.credential.get_secret_value()
    return body
