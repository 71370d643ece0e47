# SPDX-License-Identifier: BSD-3-Clause
"""The nodes' kubelets in one: runs every pod that is bound to a node, ends those that are marked, removes what has ended.

Fed by :mod:`.controllers`; read by :mod:`.api` for logs.
"""

import asyncio
import shutil

from jupyter_jsc.demo.kubernetes import deletion
from jupyter_jsc.demo.kubernetes.events import Recorder
from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.files import Files, claimed
from jupyter_jsc.demo.kubernetes.images import Images
from jupyter_jsc.demo.kubernetes.network import Network
from jupyter_jsc.demo.kubernetes.objects import Tree, bad_request, now
from jupyter_jsc.demo.kubernetes.pods import Ending, Machine, Pod
from jupyter_jsc.demo.kubernetes.settings import ClusterSettings
from jupyter_jsc.demo.kubernetes.store import Change, Key, Store

_PRESSURE = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. "


class Kubelet:
    """All pods that run."""

    def __init__(self, settings: ClusterSettings, store: Store, faults: Faults, events: Recorder) -> None:
        self._settings, self._store, self._events = settings, store, events
        network = Network(settings.pod_network)
        self._machines = {
            node.name: Machine(node, settings, store, events, Images(settings, faults), network)
            for node in settings.nodes
        }
        self._pods: dict[str, Pod] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._regained = asyncio.Event()
        self.lost: set[str] = set()
        """Nodes that are cut off: their pods run on, and nobody hears of it."""

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Run pods as children of *tasks*."""
        self._tasks = tasks

    def close(self) -> None:
        """End all pods at once."""
        for pod in self._pods.values():
            pod.end(Ending(0, event=False))
        self.lost.clear()
        self._regained.set()

    def saw(self, change: Change) -> None:
        """Do what a change of a pod asks for."""
        pod, metadata = change.object, change.object["metadata"]
        running = self._pods.get(metadata["uid"])
        if change.type == "DELETED":
            if running:
                running.end(Ending(0, event=False))
            else:
                Files(self._settings.scratch, pod).remove()
        elif "deletionTimestamp" in metadata:
            if running:
                running.end(Ending(metadata["deletionGracePeriodSeconds"]))
            elif pod["status"].get("phase") in {"Succeeded", "Failed"} and self._store.get(change.key) is pod:
                self._store.remove(change.key)
        elif pod["spec"].get("nodeName") and not running and pod["status"]["phase"] == "Pending":
            self._run(pod)

    def released(self, claim: Key) -> None:
        """Remove the folder of a volume whose claim is gone."""
        shutil.rmtree(claimed(self._settings.scratch, claim.namespace, claim.name), ignore_errors=True)

    def read(self, pod: Tree, container: str) -> bytes:
        """Return what a container of the pod has written so far; raises 400 if it has not begun."""
        for state in pod["status"].get("containerStatuses", []):
            if state["name"] == container and ("waiting" not in state["state"] or state["restartCount"]):
                log = Files(self._settings.scratch, pod).log(container)
                return log.read_bytes() if log.exists() else b""
        why = "ContainerCreating"
        raise bad_request(f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: {why}')

    def out_of_memory(self, namespace: str, name: str) -> None:
        """Kill the first container of a pod that runs, as the kernel does when it is over its limit."""
        pod = self._found(namespace, name)
        found = self._store.get(pod.key)
        assert found is not None
        pod.kill(found["spec"]["containers"][0]["name"], "OOMKilled")

    def evict(self, namespace: str, name: str) -> None:
        """End a pod because its node is short of memory."""
        pod = self._found(namespace, name)
        tree = self._store.get(pod.key)
        assert tree is not None
        container = tree["spec"]["containers"][0]["name"]
        message = (
            _PRESSURE + f"Container {container} was using 900Mi, request is 512Mi, has larger consumption of memory. "
        )
        self._events.warning(tree, "Evicted", message, "kubelet", tree["spec"]["nodeName"])
        pod.end(Ending(0.5, {"reason": "Evicted", "message": message}))

    def lose(self, node: str) -> None:
        """Cut a node off: its pods are not ready, and marked for deletion without waiting for their tolerations."""
        self.lost.add(node)
        for tree in self._store.all("pods"):
            if tree["spec"].get("nodeName") != node or tree["status"]["phase"] in {"Succeeded", "Failed"}:
                continue
            key = Key("pods", tree["metadata"]["namespace"], tree["metadata"]["name"])
            self._events.warning(tree, "NodeNotReady", "Node is not ready", "node-controller")
            where = f"{key.namespace}/{key.name}"
            self._events.normal(
                tree, "TaintManagerEviction", f"Marking for deletion Pod {where}", "taint-eviction-controller"
            )
            self._store.put(key, {**tree, "status": _lost(tree["status"])})
            deletion.delete(self._store, key, {})

    def regain(self, node: str) -> None:
        """Bring a node back; its pods that were deleted meanwhile are ended."""
        self.lost.discard(node)
        self._regained.set()
        self._regained = asyncio.Event()

    def _found(self, namespace: str, name: str) -> Pod:
        return next(pod for pod in self._pods.values() if pod.key == Key("pods", namespace, name))

    def _run(self, tree: Tree) -> None:
        assert self._tasks is not None
        node = tree["spec"]["nodeName"]
        pod = Pod(self._machines[node], tree, lambda: node not in self.lost)
        self._pods[tree["metadata"]["uid"]] = pod
        self._tasks.create_task(self._whole(pod, tree["metadata"]["uid"], node))

    async def _whole(self, pod: Pod, uid: str, node: str) -> None:
        """Run a pod, and remove the object if it is marked."""
        try:
            await pod.run()
        finally:
            del self._pods[uid]
        while node in self.lost:
            await self._regained.wait()
        tree = self._store.get(pod.key)
        if tree is None or tree["metadata"]["uid"] != uid:
            pod.files.remove()
        elif "deletionTimestamp" in tree["metadata"]:
            self._store.remove(pod.key)


def _lost(status: Tree) -> Tree:
    gone = {"status": "False", "reason": "NodeNotReady", "lastTransitionTime": now()}
    conditions = [one | (gone if one["type"] == "Ready" else {}) for one in status.get("conditions", [])]
    why = {"reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint"}
    return {**status, "conditions": [*conditions, {"type": "DisruptionTarget", "status": "True", **why}]}
