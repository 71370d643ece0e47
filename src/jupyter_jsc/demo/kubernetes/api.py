# SPDX-License-Identifier: BSD-3-Clause
"""The routes of the API server: get, list, watch, create, apply, delete of objects in namespaces, and the pods' logs.

Behind :mod:`.faults`; each request goes caller → right → admission → :mod:`.store`. The controllers see what it stored.
"""

import random
import secrets
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from jupyter_jsc.demo.kubernetes import admission, apply, deletion, requests
from jupyter_jsc.demo.kubernetes.access import Access
from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.objects import (
    KINDS,
    ApiError,
    Kind,
    Tree,
    already_exists,
    bad_request,
    invalid,
    modified,
    not_found,
)
from jupyter_jsc.demo.kubernetes.selectors import selector
from jupyter_jsc.demo.kubernetes.settings import ClusterSettings
from jupyter_jsc.demo.kubernetes.store import Key, Store
from jupyter_jsc.demo.kubernetes.watch import Watch, Watches

_APPLY = {"application/apply-patch+yaml"}
_WATCH_S = (1800, 3600)
_VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.4", "platform": "linux/amd64"}


class Logs(Protocol):
    """Where the output of containers is."""

    def read(self, pod: Tree, container: str) -> bytes:
        """Return what a container of the pod has written so far; raises 400 if it has not begun."""


class Api:
    """The API server's routes over one store."""

    def __init__(self, settings: ClusterSettings, store: Store, access: Access, faults: Faults, logs: Logs) -> None:
        self._settings = settings
        self._namespaces = {namespace.name: namespace for namespace in settings.namespaces}
        self._store, self._access, self._faults, self._logs = store, access, faults, logs
        self.watches = Watches(store, faults)

    def routes(self) -> list[Route]:
        """Return the routes."""
        base = "/api/v1/namespaces/{namespace}"
        review = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        return [
            Route("/version", self._version),
            Route("/readyz", _ok),
            Route("/api", self._groups),
            Route("/apis", self._groups),
            Route("/api/v1", self._resources),
            Route(review, self._review, methods=["POST"]),
            Route(base, self._namespace),
            Route("/api/v1/{plural}", self._collection),
            Route(base + "/{plural}", self._collection, methods=["GET", "POST"]),
            Route(base + "/{plural}/{name}", self._object, methods=["GET", "PATCH", "DELETE"]),
            Route(base + "/pods/{name}/log", self._log),
        ]

    def _enter(self, request: Request, verb: str, resource: str, namespace: str | None, name: str) -> None:
        """Count a request; 401 or 403 if the caller may not do it."""
        user = self._access.user(request.headers)
        self._access.requests[verb, resource] += 1
        self._access.require(user, verb, resource, namespace, name)

    async def _version(self, _request: Request) -> Response:
        return JSONResponse(_VERSION)

    async def _groups(self, request: Request) -> Response:
        self._access.user(request.headers)
        if request.url.path == "/api":
            return JSONResponse({"kind": "APIVersions", "versions": ["v1"]})
        return JSONResponse({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})

    async def _resources(self, request: Request) -> Response:
        self._access.user(request.headers)
        verbs = ["create", "delete", "get", "list", "patch", "watch"]
        found = [
            {
                "name": kind.plural,
                "singularName": kind.name.lower(),
                "kind": kind.name,
                "namespaced": True,
                "verbs": verbs,
            }
            for kind in KINDS.values()
        ]
        return JSONResponse({"kind": "APIResourceList", "groupVersion": "v1", "resources": found})

    async def _review(self, request: Request) -> Response:
        """Tell what the caller may do in a namespace (SelfSubjectRulesReview)."""
        user = self._access.user(request.headers)
        tree = await requests.body(request)
        self._access.requests["create", "selfsubjectrulesreviews"] += 1
        status = {"resourceRules": self._access.rules(user), "nonResourceRules": [], "incomplete": False}
        return JSONResponse({**tree, "metadata": {}, "status": status}, 201)

    async def _namespace(self, request: Request) -> Response:
        name = request.path_params["namespace"]
        self._enter(request, "get", "namespaces", name, name)
        tree = self._store.get(Key("namespaces", "", name))
        if tree is None:
            raise not_found("namespaces", name)
        return JSONResponse(tree)

    async def _collection(self, request: Request) -> Response:
        kind, namespace = requests.kind(request), request.path_params.get("namespace")
        if request.method == "POST":
            self._enter(request, "create", kind.plural, namespace, "")
            return await self._create(request, kind, str(namespace))
        watching = request.query_params.get("watch", "") in {"true", "True", "1"}
        self._enter(request, "watch" if watching else "list", kind.plural, namespace, "")
        return self._watch(request, kind, namespace) if watching else self._list(request, kind, namespace)

    async def _object(self, request: Request) -> Response:
        kind = requests.kind(request)
        key = Key(kind.plural, request.path_params["namespace"], request.path_params["name"])
        verb = request.method.lower() if request.method != "HEAD" else "get"
        self._enter(request, verb, key.plural, key.namespace, key.name)
        if request.method == "PATCH":
            return await self._apply(request, key)
        tree = self._store.get(key)
        if tree is None:
            raise not_found(key.plural, key.name)
        if request.method == "DELETE":
            return await self._delete(request, kind, key, tree)
        if "as=PartialObjectMetadata" in request.headers.get("accept", ""):
            tree = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": tree["metadata"]}
        return JSONResponse(tree)

    def _list(self, request: Request, kind: Kind, namespace: str | None) -> Response:
        query = request.query_params
        wanted = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        found = [tree for tree in self._store.all(kind.plural, namespace) if wanted(tree)]
        limit, version = requests.number(query, "limit") or len(found), self._store.version
        if token := query.get("continue"):
            version, after = requests.continued(token)
            self._store.since(version)
            found = [tree for tree in found if requests.place(tree) > after]
        metadata: Tree = {"resourceVersion": str(version)}
        items = found[:limit]
        if left := len(found) - len(items):
            metadata |= {"continue": requests.token(version, requests.place(items[-1])), "remainingItemCount": left}
        # Items of a list come without kind and version, as of the real server.
        bare = [{name: value for name, value in item.items() if name not in {"kind", "apiVersion"}} for item in items]
        return JSONResponse({"kind": f"{kind.name}List", "apiVersion": "v1", "metadata": metadata, "items": bare})

    def _watch(self, request: Request, kind: Kind, namespace: str | None) -> Response:
        query = request.query_params
        version = query.get("resourceVersion", "")
        if version and not version.isdecimal():
            raise bad_request(f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax')
        watch = Watch(
            kind,
            namespace,
            selector(query.get("labelSelector", ""), query.get("fieldSelector", "")),
            int(version) if version not in {"", "0"} else None,
            requests.number(query, "timeoutSeconds") or random.uniform(*_WATCH_S),
            self._settings.bookmark_s if query.get("allowWatchBookmarks", "") in {"true", "True", "1"} else None,
        )
        return StreamingResponse(self.watches.lines(watch), media_type="application/json")

    async def _create(self, request: Request, kind: Kind, namespace: str) -> Response:
        tree = await requests.body(request)
        metadata = dict(tree.get("metadata") or {})
        if not metadata.get("name") and (stem := metadata.get("generateName")):
            metadata["name"] = stem + secrets.token_hex(3)[:5]
        key = requests.named({**tree, "metadata": metadata}, kind, namespace, "")
        if self._store.get(key):
            raise already_exists(key.plural, key.name)
        manager = request.query_params.get("fieldManager") or request.headers.get("user-agent", "").partition("/")[0]
        tree = admission.prepared(key, {**tree, "metadata": metadata | {"namespace": namespace}})
        return self._add(request, key, tree, manager or "unknown", "Update")

    async def _apply(self, request: Request, key: Key) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] not in _APPLY:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise ApiError(415, "UnsupportedMediaType", message + ", ".join(_APPLY))
        manager = request.query_params.get("fieldManager", "")
        if not manager:
            what = "Required value: is required for apply patch"
            raise invalid("PatchOptions.meta.k8s.io", "", [("fieldManager", what)])
        config = await requests.body(request)
        requests.named(config, KINDS[key.plural], key.namespace, key.name)
        config = admission.prepared(key, config)
        if (config.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        live = self._store.get(key)
        if live is None:
            self._access.require(self._access.user(request.headers), "create", key.plural, key.namespace, key.name)
            metadata = {**(config.get("metadata") or {}), "namespace": key.namespace}
            return self._add(request, key, {**config, "metadata": metadata}, manager, "Apply")
        wanted = (config["metadata"].get("resourceVersion"), config["metadata"].get("uid"))
        if wanted[0] not in {None, live["metadata"]["resourceVersion"]} or wanted[1] not in {
            None,
            live["metadata"]["uid"],
        }:
            raise modified(key.plural, key.name)
        tree = apply.applied(live, config, manager, force=request.query_params.get("force", "") in {"true", "True"})
        if tree is not live:
            tree = admission.completed(key, tree)
            admission.check(key, tree)
            admission.check_update(key, live, tree)
            tree = tree if request.query_params.get("dryRun") else self._store.put(key, tree)
        return JSONResponse(tree)

    def _add(self, request: Request, key: Key, tree: Tree, manager: str, operation: str) -> Response:
        namespace = self._namespaces.get(key.namespace)
        if namespace is None:
            raise not_found("namespaces", key.namespace)
        tree = admission.completed(key, apply.created(tree, manager, operation))
        admission.check(key, tree)
        if key.plural == "pods" and self._faults.webhook:
            why = f'admission webhook "images.policy.example.org" denied the request: {self._faults.webhook}'
            raise ApiError(403, "Forbidden", why)
        admission.admit(key, tree, namespace, lambda plural: self._store.all(plural, key.namespace))
        stored = tree if request.query_params.get("dryRun") else self._store.put(key, tree)
        return JSONResponse(stored, 201)

    async def _delete(self, request: Request, kind: Kind, key: Key, tree: Tree) -> Response:
        options = {**await requests.body(request, empty=True)}
        for name in ("gracePeriodSeconds", "propagationPolicy"):
            if (value := request.query_params.get(name)) is not None:
                options[name] = int(value) if value.lstrip("-").isdecimal() else value
        for name, wanted in (options.get("preconditions") or {}).items():
            if wanted not in {None, tree["metadata"][name]}:
                have = tree["metadata"][name]
                why = f"the {name} in the precondition ({wanted}) does not match the {name} in record ({have})"
                raise modified(key.plural, key.name, f"Precondition failed: {why}")
        left = tree if request.query_params.get("dryRun") else deletion.delete(self._store, key, options)
        if kind.returns_deleted:
            return JSONResponse(left)
        details = {"name": key.name, "kind": key.plural, "uid": tree["metadata"]["uid"]}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return JSONResponse(status)

    async def _log(self, request: Request) -> Response:
        key = Key("pods", request.path_params["namespace"], request.path_params["name"])
        self._enter(request, "get", "pods/log", key.namespace, key.name)
        pod, query = self._store.get(key), request.query_params
        if pod is None:
            raise not_found("pods", key.name)
        names = [container["name"] for container in pod["spec"]["containers"]]
        name = query.get("container") or names[0]
        if name not in names:
            raise bad_request(f"container {name} is not valid for pod {key.name}")
        text = self._logs.read(pod, name)
        if (lines := requests.number(query, "tailLines")) is not None:
            text = b"".join(text.splitlines(keepends=True)[-lines:]) if lines else b""
        if (most := requests.number(query, "limitBytes")) is not None:
            text = text[:most]
        return PlainTextResponse(text)


async def refused(_request: Request, error: Exception) -> Response:
    """Return the answer that says *error*."""
    assert isinstance(error, ApiError)
    return JSONResponse(error.tree(), error.code)


async def no_page(_request: Request, _error: Exception) -> Response:
    """Return the answer for a path that does not exist."""
    return PlainTextResponse("404 page not found\n", 404)


async def _ok(_request: Request) -> Response:
    return PlainTextResponse("ok")
