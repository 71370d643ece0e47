# SPDX-License-Identifier: BSD-3-Clause
"""Gives pods a node that has room, and says of those that wait why. Called by :mod:`.controllers`."""

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

from jupyter_jsc.demo.kubernetes import quantities
from jupyter_jsc.demo.kubernetes.events import Recorder
from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.objects import Tree, now
from jupyter_jsc.demo.kubernetes.settings import Node
from jupyter_jsc.demo.kubernetes.store import Key, Store

_WHO = "default-scheduler"


class Scheduler:
    """Which pod runs where, and how much of each node is taken."""

    def __init__(self, nodes: tuple[Node, ...], store: Store, faults: Faults, events: Recorder) -> None:
        self._store, self._faults, self._events = store, faults, events
        self._capacity = {node.name: quantities.total([node.capacity]) for node in nodes}
        self._used: dict[str, dict[str, Fraction]] = {node.name: {} for node in nodes}
        self._taken: dict[str, tuple[str, Mapping[str, Fraction]]] = {}
        self._waiting: dict[Key, None] = {}
        self.lost: set[str] = set()
        """Nodes that nobody hears of: no new pod goes there."""

    def wants(self, key: Key) -> None:
        """Take a new pod in."""
        self._waiting[key] = None

    def free(self, uid: str) -> None:
        """Give back what a pod that has ended had."""
        node, need = self._taken.pop(uid, ("", {}))
        for what, amount in need.items():
            self._used[node][what] -= amount

    def place(self, *keys: Key) -> None:
        """Look at the pods of *keys*, or at every pod that waits."""
        if self._faults.unscheduled:
            return
        for key in keys or list(self._waiting):
            pod = self._store.get(key)
            if pod is None or "deletionTimestamp" in pod["metadata"] or self._placed(key, pod):
                self._waiting.pop(key, None)

    def _placed(self, key: Key, pod: Tree) -> bool:
        need = {**quantities.of_pod(pod, "requests"), "pods": Fraction(1)}
        if why := self._volumes(key, pod):
            self._waits(key, pod, f"{why}. {self._no_preemption('Preemption is not helpful for scheduling')}")
            return False
        lacks = {node: self._lacks(node, pod, need) for node in self._capacity}
        fitting = [node for node, reasons in lacks.items() if not reasons]
        if not fitting:
            reasons = Counter(reason for found in lacks.values() for reason in found)
            said = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            never = all(self._never(node, need) for node in self._capacity)
            why = (
                "Preemption is not helpful for scheduling" if never else "No preemption victims found for incoming pod"
            )
            self._waits(key, pod, f"{said}. {self._no_preemption(why)}")
            return False
        node = min(fitting, key=lambda name: self._used[name].get("pods", Fraction(0)))
        for what, amount in need.items():
            self._used[node][what] = self._used[node].get(what, Fraction(0)) + amount
        self._taken[pod["metadata"]["uid"]] = node, need
        pod = self._conditioned(pod, {"type": "PodScheduled", "status": "True"})
        pod = self._store.put(key, {**pod, "spec": {**pod["spec"], "nodeName": node}})
        where = f"{key.namespace}/{key.name}"
        self._events.normal(pod, "Scheduled", f"Successfully assigned {where} to {node}", _WHO)
        return True

    def _lacks(self, node: str, pod: Tree, need: Mapping[str, Fraction]) -> list[str]:
        if node in self.lost:
            return ["node(s) had untolerated taint {node.kubernetes.io/unreachable: }"]
        wanted = pod["spec"].get("nodeSelector") or {}
        if any((key, value) != ("kubernetes.io/hostname", node) for key, value in wanted.items()):
            return ["node(s) didn't match Pod's node affinity/selector"]
        have, used, none = self._capacity[node], self._used[node], Fraction(0)
        short = [what for what, amount in need.items() if used.get(what, none) + amount > have.get(what, none)]
        return ["Too many pods" if what == "pods" else f"Insufficient {what}" for what in short]

    def _never(self, node: str, need: Mapping[str, Fraction]) -> bool:
        return any(amount > self._capacity[node].get(what, Fraction(0)) for what, amount in need.items())

    def _volumes(self, key: Key, pod: Tree) -> str:
        for volume in pod["spec"].get("volumes") or []:
            if name := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                claim = self._store.get(Key("persistentvolumeclaims", key.namespace, name))
                if claim is None:
                    return f'persistentvolumeclaim "{name}" not found'
                if claim["status"]["phase"] != "Bound":
                    return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def _no_preemption(self, why: str) -> str:
        count = len(self._capacity)
        return f"preemption: 0/{count} nodes are available: {count} {why}."

    def _waits(self, key: Key, pod: Tree, why: str) -> None:
        message = f"0/{len(self._capacity)} nodes are available: {why}"
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        said = [one.get("message") for one in pod["status"].get("conditions", [])]
        if message not in said:
            pod = self._store.put(key, self._conditioned(pod, condition))
        self._events.warning(pod, "FailedScheduling", message, _WHO)

    @staticmethod
    def _conditioned(pod: Tree, condition: Tree) -> Tree:
        others = [one for one in pod["status"].get("conditions", []) if one["type"] != condition["type"]]
        condition = {"lastProbeTime": None, "lastTransitionTime": now(), **condition}
        return {**pod, "status": {**pod["status"], "conditions": [*others, condition]}}
