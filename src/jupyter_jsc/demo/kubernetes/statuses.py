# SPDX-License-Identifier: BSD-3-Clause
"""The status of a pod as its kubelet writes it. Pure; called by :mod:`.pods`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jupyter_jsc.demo.kubernetes.objects import Tree, now


@dataclass
class ContainerState:
    """How one container is."""

    name: str
    image: str
    state: Tree = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Tree = field(default_factory=dict)
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return "running" in self.state

    @property
    def ended(self) -> bool:
        """Whether it has ended and is not run again."""
        return "terminated" in self.state

    def waits(self, reason: str, message: str = "") -> None:
        """Note why it does not run yet."""
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def runs(self) -> None:
        """Note that it has begun."""
        self.state = {"running": {"startedAt": now()}}

    def ends(self, code: int, reason: str = "") -> None:
        """Note how it has ended."""
        reason = reason or ("Completed" if code == 0 else "Error")
        began = self.state.get("running", {}).get("startedAt", now())
        self.state = {"terminated": {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}}

    def tree(self) -> Tree:
        """Return it as it stands in ``containerStatuses``."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": self.image if self.running or self.ended else "",
            "ready": self.running,
            "started": self.running,
            "restartCount": self.restarts,
            "state": dict(self.state),
            "lastState": dict(self.last),
        }


def status(
    before: Tree, containers: Mapping[str, ContainerState], addresses: tuple[str, str], *, ended: Tree | None = None
) -> Tree:
    """Return the status after *before*; *addresses* are the node's and the pod's, *ended* says more of a pod that failed."""
    host, own = addresses
    states = list(containers.values())
    over = ended is not None or all(one.ended for one in states)
    ready = not over and all(one.running for one in states)
    if over:
        good = not ended and all(one.state["terminated"]["exitCode"] == 0 for one in states)
        phase = "Succeeded" if good else "Failed"
    else:
        begun = any(one.running or one.ended or one.last for one in states)
        phase = "Running" if begun else "Pending"
    why = "" if ready else "PodFailed" if phase == "Failed" else "PodCompleted" if over else "ContainersNotReady"
    tree = {
        **before,
        "phase": phase,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": before.get("startTime") or now(),
        "containerStatuses": [one.tree() for one in states],
        "conditions": _conditions(before, ready=ready, why=why, sandbox=bool(own) and not over),
        **(ended or {}),
    }
    return tree | ({"podIP": own, "podIPs": [{"ip": own}]} if own else {})


def _conditions(before: Tree, *, ready: bool, why: str, sandbox: bool) -> list[Tree]:
    wanted = {"PodReadyToStartContainers": sandbox, "Initialized": True, "Ready": ready, "ContainersReady": ready}
    there = {one["type"]: one for one in before.get("conditions", [])}
    found = []
    for name, good in wanted.items():
        text = "True" if good else "False"
        reason = {"reason": why} if why and name.endswith("Ready") else {}
        old = there.pop(name, {})
        since = old["lastTransitionTime"] if old.get("status") == text else now()
        found.append({"type": name, "status": text, "lastProbeTime": None, "lastTransitionTime": since, **reason})
    return [*there.values(), *found]
