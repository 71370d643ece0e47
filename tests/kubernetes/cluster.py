# SPDX-License-Identifier: BSD-3-Clause
"""The cluster under test, as its administrator sees it; a real one, in KUBECONFIG."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

from tools.kubernetes.places import KUBECONFIG

LABS = "labs"
RELEASE = "k8smgr"


def is_own() -> bool:
    """Whether the cluster is one of ``tools/kubernetes``, whose nodes and logs are in the test's hands."""
    return Path(os.environ.get("KUBECONFIG", "")) == KUBECONFIG


class Cluster:
    """Requests of the administrator."""

    def __init__(self, api: client.ApiClient) -> None:
        self.api = api
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls) -> AsyncIterator["Cluster"]:
        """The cluster in KUBECONFIG."""
        await config.load_kube_config(config_file=os.environ["KUBECONFIG"])
        async with client.ApiClient() as api:
            yield cls(api)

    async def without_namespace(self, name: str) -> None:
        """Leave no namespace of an earlier run."""
        with contextlib.suppress(ApiException):
            await self.core.delete_namespace(name)

        async def gone() -> bool:
            names = {one.metadata.name for one in (await self.core.list_namespace()).items}
            return name not in names

        await until(gone, f"namespace {name} does not go")

    async def restricted(self, name: str) -> None:
        """Make a namespace in which Pod Security "restricted" is enforced."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await self.core.create_namespace({"metadata": {"name": name, "labels": labels}})

    async def secret(self, name: str, content: Mapping[str, str], kind: str = "Opaque") -> None:
        """Make a Secret beside K8sMgr."""
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data=dict(content), type=kind)
        await self.core.create_namespaced_secret(RELEASE, body)

    async def address(self, service: str) -> str:
        """Return the address that the cluster's balancer gives a Service of K8sMgr, once it does."""
        found: list[str] = []

        async def given() -> bool:
            one = await self.core.read_namespaced_service(service, RELEASE)
            found.extend(entry.ip for entry in one.status.load_balancer.ingress or [])
            return bool(found)

        await until(given, f"Service {service} gets no address")
        return found[0]

    async def ready(self, deployment: str) -> None:
        """Return once all pods of a Deployment of K8sMgr are new and ready, and the old ones gone."""

        async def complete() -> bool:
            one = await self.apps.read_namespaced_deployment(deployment, RELEASE)
            wanted, now = one.spec.replicas, one.status
            return (
                (now.observed_generation or 0) >= one.metadata.generation
                and now.updated_replicas == now.ready_replicas == now.replicas == wanted
                and len(await self.pods(RELEASE, component=deployment)) == wanted
            )

        await until(complete, f"Deployment {deployment} is not ready", seconds=240)

    async def restart(self, deployment: str) -> None:
        """Replace the pods of a Deployment of K8sMgr, as ``kubectl rollout restart`` does."""
        stamp = {"kubectl.kubernetes.io/restartedAt": str(asyncio.get_running_loop().time())}
        body = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
        await self.apps.patch_namespaced_deployment(deployment, RELEASE, body)
        await self.ready(deployment)

    async def pods(self, namespace: str = LABS, *, component: str = "") -> list[Any]:
        """Return the pods of a namespace."""
        names = {"k8smgr": "manager"}
        selector = f"app.kubernetes.io/component={names.get(component, component)}" if component else ""
        return list((await self.core.list_namespaced_pod(namespace, label_selector=selector)).items)

    async def left(self, hub: str = "demo") -> dict[str, list[str]]:
        """Return the names of all objects of a hub's labs; homes are meant to stay and are not among them."""
        selector = f"jupyter-jsc/hub={hub}"
        lists = {
            "pods": self.core.list_namespaced_pod,
            "services": self.core.list_namespaced_service,
            "secrets": self.core.list_namespaced_secret,
        }
        found = {kind: (await ask(LABS, label_selector=selector)).items for kind, ask in lists.items()}
        return {kind: [one.metadata.name for one in items] for kind, items in found.items() if items}

    async def nothing_left(self, hub: str = "demo") -> None:
        """Return once no object of a lab is there: the garbage collector takes its time."""

        async def empty() -> bool:
            return not await self.left(hub)

        await until(empty, "objects of labs are left")

    async def cordon(self, node: str, *, off: bool) -> None:
        """Keep new pods off a node, or let them in again."""
        await self.core.patch_node(node, {"spec": {"unschedulable": off or None}})

    async def evict(self, pod: str) -> None:
        """Put a pod out as a drain does: by the eviction API."""
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod, namespace=LABS))
        await self.core.create_namespaced_pod_eviction(pod, LABS, eviction)


async def until(condition: Callable[[], Any], problem: str, *, seconds: float = 120) -> None:
    """Return once the coroutine function *condition* returns something true."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"{problem} after {seconds} s") from None
