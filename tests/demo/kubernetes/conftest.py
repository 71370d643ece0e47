# SPDX-License-Identifier: BSD-3-Clause
"""A demo cluster on a loopback port in the test process, and the real client for it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from kubernetes_asyncio import client

from jupyter_jsc.demo.kubernetes import Cluster, ClusterSettings, Namespace, Node, User, create_cluster

TOKEN = "the-token"
SPACE = "labs"
IMAGE = "registry.example.org/labs/jupyterlab:4.6"
Tree = dict[str, Any]


@contextlib.asynccontextmanager
async def serve(cluster: Cluster) -> AsyncIterator[str]:
    """Serve the cluster's API until the block ends; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(cluster.app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1)
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(server.serve([listener]))
            while not server.started and not task.done():
                await asyncio.sleep(0.005)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                cluster.end_watches()
                server.should_exit = True


@dataclass
class Reach:
    """A cluster, and its API by the real client and by plain HTTP."""

    cluster: Cluster
    url: str
    api: client.CoreV1Api
    http: aiohttp.ClientSession

    async def apply(self, tree: Tree, *, force: bool = True, manager: str = "jupyter-jsc", **query: str) -> Tree:
        """Apply an object by server-side apply; the answer, or the Status."""
        plural = tree["kind"].lower() + "s"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        params = {"fieldManager": manager, "force": str(force).lower(), **query}
        url = f"{self.url}/api/v1/namespaces/{SPACE}/{plural}/{tree['metadata']['name']}"
        async with self.http.patch(url, json=tree, headers=headers, params=params) as answer:
            return await answer.json()

    async def pod(self, name: str = "lab") -> Tree | None:
        """A pod as the store has it."""
        from jupyter_jsc.demo.kubernetes.store import Key

        return self.cluster.store.get(Key("pods", SPACE, name))

    async def until(self, holds: Callable[[Tree], object], name: str = "lab") -> Tree:
        """Return the pod once *holds* of it."""
        async with asyncio.timeout(60):
            while not ((pod := await self.pod(name)) and holds(pod)):
                await self.cluster.store.wait(self.cluster.store.version)
        return pod

    async def gone(self, name: str = "lab") -> None:
        """Return once there is no such pod."""
        async with asyncio.timeout(60):
            while await self.pod(name):
                await self.cluster.store.wait(self.cluster.store.version)

    def events(self, name: str = "lab") -> list[tuple[str, str]]:
        """Reasons and messages of a pod's events, in the order of their first time."""
        found = [tree for tree in self.cluster.store.all("events", SPACE) if tree["involvedObject"]["name"] == name]
        found.sort(key=lambda tree: int(tree["metadata"]["resourceVersion"]))
        return [(tree["reason"], tree["message"]) for tree in found]


@pytest.fixture
def settings(tmp_path: Path) -> ClusterSettings:
    """Two nodes, pods in name only."""
    return ClusterSettings(
        scratch=tmp_path / "cluster",
        tokens={TOKEN: User("system:serviceaccount:k8smgr:k8smgr")},
        namespaces=(Namespace(SPACE, "privileged"), Namespace("strict", "restricted")),
        nodes=(
            Node("node1", {"cpu": "4", "memory": "8Gi", "pods": "110"}),
            Node("node2", {"cpu": "4", "memory": "8Gi", "pods": "110"}),
        ),
        processes=False,
        pull_back_off_s=0.05,
        restart_back_off_s=0.05,
        scheduling_retry_s=0.2,
        mount_retry_s=0.05,
    )


Make = Callable[..., contextlib.AbstractAsyncContextManager[Reach]]


@pytest.fixture
def make(settings: ClusterSettings) -> Make:
    """Makes a cluster with other settings."""

    @contextlib.asynccontextmanager
    async def made(**changes: Any) -> AsyncIterator[Reach]:
        cluster = create_cluster(replace(settings, **changes))
        configuration = client.Configuration()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with serve(cluster) as url, aiohttp.ClientSession(headers=headers) as http:
            configuration.host = url
            async with client.ApiClient(configuration) as api:
                api.set_default_header("Authorization", headers["Authorization"])
                yield Reach(cluster, url, client.CoreV1Api(api), http)

    return made


@pytest.fixture
async def reach(make: Make) -> AsyncIterator[Reach]:
    """A cluster whose pods run in name only."""
    async with make() as found:
        yield found


@pytest.fixture
async def real(make: Make) -> AsyncIterator[Reach]:
    """A cluster whose pods are processes."""
    async with make(processes=True) as found:
        yield found


def pod(name: str = "lab", *command: str, **spec: Any) -> Tree:
    """The manifest of a pod with one container."""
    container = {
        "name": "lab",
        "image": IMAGE,
        "command": list(command or ("sleep", "1000")),
        **spec.pop("container", {}),
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def secret(name: str = "lab", **data: str) -> Tree:
    """The manifest of a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def owned(tree: Tree, owner: Tree) -> Tree:
    """The manifest with an owner."""
    keys = {
        "apiVersion": "v1",
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**tree, "metadata": {**tree["metadata"], "ownerReferences": [keys]}}


def phase(wanted: str) -> Callable[[Tree], bool]:
    """Whether a pod is in that phase."""
    return lambda tree: tree["status"]["phase"] == wanted
