# SPDX-License-Identifier: BSD-3-Clause
"""Calls to a Kubernetes API server, over kubernetes_asyncio; the one module that imports it.

Only its configuration, credentials and connections are used: objects stay plain trees of JSON, so nothing is lost that the
library's models do not know. Every call has a time limit, every failure is one of our errors (:mod:`.refusals`).
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes_asyncio import client, config

from jupyter_jsc.errors import InvalidRequest, JSCError, SiteUnavailable
from jupyter_jsc.sites.kubernetes import refusals
from jupyter_jsc.sites.kubernetes.objects import Tree

MANAGER = "jupyter-jsc"
"""Our name as a manager of fields."""
CALL_S = 15.0
"""Time limit of one call, all of it."""
PAGE = 500
"""So many objects are listed at once: what is parsed in one go stays small."""
_AT_ONCE = 24
"""So many calls are under way; what waits for its turn does not use up its time."""
_WATCH_GRACE_S = 15.0
_LONGEST_LINE = 2 * 1024 * 1024
"""Of a watch; an object has at most 1.5 MiB."""
_LARGEST_ANSWER = 64 * 1024 * 1024
_BUSY_TRIES = 4
_LONGEST_BUSY_S = 5.0
_JSON = "application/json"
_ONLY_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

Access = client.Configuration
"""How the API is reached and who we are there."""
Pause = Callable[[float], Awaitable[None]]

# The library logs whole answers as DEBUG, and what is answered to a Secret is that Secret.
logging.getLogger("kubernetes_asyncio.client.rest").setLevel(logging.WARNING)


async def access(kubeconfig: Path | None) -> Access:
    """Return what a kubeconfig says, or inside a pod its service account, whose token is read again as it is renewed.

    Raises :class:`InvalidRequest` if there is neither.
    """
    found = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(found)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(str(kubeconfig), client_configuration=found, persist_config=False)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        where = "of the pod's service account" if kubeconfig is None else str(kubeconfig)
        raise InvalidRequest(
            f"kubeconfig: the access to the cluster {where} can't be used ({type(error).__name__}). "
            "Allowed: a kubeconfig file, or none inside a pod of the cluster.",
            field="kubeconfig",
        ) from error
    if not found.verify_ssl:
        raise InvalidRequest(
            "kubeconfig: insecure-skip-tls-verify is not possible. Name the authority of the API's certificate instead.",
            field="kubeconfig",
        )
    return found


class Api:
    """One namespace of a cluster. An async context manager."""

    def __init__(self, label: str, access: Access, namespace: str, *, pause: Pause = asyncio.sleep) -> None:
        self.label = label
        self.namespace = namespace
        self._access = access
        self._pause = pause
        self._client: client.ApiClient | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def open(self) -> None:
        """Make connections possible; none is made yet."""
        self._client = client.ApiClient(self._access)
        rest = self._client.rest_client
        connector = rest.pool_manager.connector
        rest.pool_manager.detach()
        rest.pool_manager = _Straight(connector)  # type: ignore[assignment]  # the two methods that the library uses

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def create(self, kind: str, tree: Tree, *, only_check: bool = False) -> Tree:
        """Create an object, or only find out whether it would be; :class:`~jupyter_jsc.errors.Conflict` if its name is taken."""
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if only_check else {})}
        return await self._json("POST", self._path(kind), query, tree)

    async def apply(self, kind: str, tree: Tree) -> Tree:
        """Make an object be as *tree* says, whether it was there or not; nothing changes if it is so already."""
        query = {"fieldManager": MANAGER, "force": "true"}
        path = self._path(kind, tree["metadata"]["name"])
        return await self._json("PATCH", path, query, tree, {"Content-Type": "application/apply-patch+yaml"})

    async def get(self, kind: str, name: str) -> Tree:
        """Return an object, or raise :class:`~jupyter_jsc.errors.NotFound`."""
        return await self._json("GET", self._path(kind, name))

    async def metadata(self, kind: str, name: str) -> Tree:
        """Return an object without what is in it."""
        return await self._json("GET", self._path(kind, name), accept=_ONLY_METADATA)

    async def delete(self, kind: str, name: str, uid: str) -> None:
        """Have the object of this name and uid deleted, and what it owns after it.

        Raises :class:`~jupyter_jsc.errors.NotFound`, and :class:`~jupyter_jsc.errors.Conflict` if another one has the name.
        """
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._json("DELETE", self._path(kind, name), {}, {"apiVersion": "v1", "kind": "DeleteOptions", **body})

    async def list_all(self, kind: str, selector: Mapping[str, str]) -> tuple[list[Tree], str]:
        """Return all objects of a kind that *selector* finds, as they are now, and the version to follow them from."""
        items: list[Tree] = []
        query = {**selector, "limit": str(PAGE)}
        while True:
            page = await self._json("GET", self._path(kind), query)
            items += page.get("items") or []
            about = page.get("metadata") or {}
            if not about.get("continue"):
                return items, str(about.get("resourceVersion", ""))
            query["continue"] = about["continue"]

    async def watch(
        self, kind: str, selector: Mapping[str, str], version: str, seconds: float
    ) -> AsyncGenerator[Tree, None]:
        """Yield changes after *version* as they come, for about so many *seconds*; :class:`Expired` if it is too old.

        A server that ends earlier, or says nothing beyond its time, ends it too.
        """
        query = {**selector, "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        query["timeoutSeconds"] = str(int(seconds))
        limits = aiohttp.ClientTimeout(total=seconds + _WATCH_GRACE_S, connect=CALL_S, sock_connect=CALL_S)
        with self._translated():
            async with await self._send("GET", self._path(kind), query, None, {"Accept": _JSON}, limits) as answer:
                if answer.status != 200:
                    raise await self._refusal(answer)
                async for line in answer.content:
                    yield self._change(line)

    async def log(self, pod: str, container: str, size: int, *, previous: bool = False) -> str:
        """Return the last *size* bytes of what a container wrote, as whole lines of text."""
        query = {"container": container, "tailLines": "200", "previous": str(previous).lower()}
        body = await self._bytes("GET", f"{self._path('pods', pod)}/log", query)
        return body[-size:].decode("utf-8", "replace")

    async def place(self) -> Tree:
        """Return the namespace itself, or raise :class:`~jupyter_jsc.errors.NotFound`."""
        return await self._json("GET", f"/api/v1/namespaces/{self.namespace}")

    async def rights(self) -> list[Tree]:
        """Return the rules of what we may do in the namespace (SelfSubjectRulesReview)."""
        tree = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": self.namespace},
        }
        answer = await self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {}, tree)
        rules: list[Tree] = (answer.get("status") or {}).get("resourceRules") or []
        return rules

    def _path(self, kind: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def _change(self, line: bytes) -> Tree:
        change = _object(self.label, line)
        if change.get("type") == "ERROR":
            said = change.get("object") or {}
            code = said.get("code") if isinstance(said, dict) else None
            raise refusals.refusal(self.label, code if isinstance(code, int) else 500, json.dumps(said).encode())
        return change

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Tree | None = None,
        headers: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> Tree:
        return _object(self.label, await self._bytes(method, path, query, body, {"Accept": accept, **(headers or {})}))

    async def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Tree | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the body of a successful answer; where the server is busy, ask again when it says so."""
        for tries_left in reversed(range(_BUSY_TRIES)):
            try:
                async with self._turns:
                    return await self._sure(method, path, query or {}, body, headers or {})
            except SiteUnavailable as error:
                wait_s = error.retry_after_s
                if error.detail.get("status") != 429 or wait_s is None or wait_s > _LONGEST_BUSY_S or not tries_left:
                    raise
            await self._pause(wait_s)
        raise AssertionError

    async def _sure(
        self, method: str, path: str, query: Mapping[str, str], body: Tree | None, headers: Mapping[str, str]
    ) -> bytes:
        """Call again once if an idle connection turns out to be closed; every call of ours may be repeated."""
        try:
            return await self._once(method, path, query, body, headers)
        except SiteUnavailable as error:
            lost = isinstance(error.__cause__, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
            if not lost or isinstance(error.__cause__, aiohttp.ClientConnectorError):
                raise
        return await self._once(method, path, query, body, headers)

    async def _once(
        self, method: str, path: str, query: Mapping[str, str], body: Tree | None, headers: Mapping[str, str]
    ) -> bytes:
        limits = aiohttp.ClientTimeout(total=CALL_S)
        with self._translated():
            async with await self._send(method, path, query, body, headers, limits) as answer:
                if not 200 <= answer.status < 300:
                    raise await self._refusal(answer)
                return await self._read(answer)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Tree | None,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if self._client is None:
            raise SiteUnavailable(f"{self.label} is not connected.")
        # Below the library's generated calls: these copy each body and parse each answer into models.
        credential = (await self._access.auth_settings()).get("BearerToken") or {}
        sent = {"User-Agent": MANAGER, "Content-Type": _JSON, **headers}
        if credential.get("value"):
            sent["Authorization"] = credential["value"]
        answer: aiohttp.ClientResponse = await self._client.rest_client.request(
            method,
            f"{self._access.host}{path}",
            query_params=dict(query),
            headers=sent,
            body=body,
            _preload_content=False,
            _request_timeout=limits,
        )
        return answer

    async def _refusal(self, answer: aiohttp.ClientResponse) -> JSCError:
        body = await answer.content.read(16 * 1024)
        return refusals.refusal(self.label, answer.status, body, answer.headers.get("Retry-After"))

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        """Return the whole body if it is one that fits."""
        body = bytearray()
        async for part in answer.content.iter_chunked(256 * 1024):
            body += part
            if len(body) > _LARGEST_ANSWER:
                raise SiteUnavailable(f"{self.label} sent more than fits.")
        return bytes(body)

    @contextlib.contextmanager
    def _translated(self) -> Any:
        """Turn what the HTTP client raises into our errors."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise refusals.no_answer(self.label, error) from error
        except ValueError as error:
            # A line beyond the client's buffer, or a header that it can't read.
            raise SiteUnavailable(f"{self.label} answers with something that is no answer.") from error


class _Straight:
    """A session as the library uses it, without redirections: a Secret goes to the API server or nowhere.

    Nor does it look into the environment for proxies and into ``~/.netrc`` for credentials with each request.
    """

    def __init__(self, connector: aiohttp.BaseConnector | None) -> None:
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_LONGEST_LINE)

    async def request(self, **arguments: Any) -> aiohttp.ClientResponse:
        """Send one request."""
        return await self._session.request(**arguments, allow_redirects=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _object(label: str, body: bytes) -> Tree:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SiteUnavailable(f"{label} answers with something that is no JSON.") from error
    if not isinstance(document, dict):
        raise SiteUnavailable(f"{label} answers with something unexpected.")
    return document
