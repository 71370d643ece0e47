# SPDX-License-Identifier: BSD-3-Clause
"""One pod on its node: volumes, images, containers, and how it ends. Run by :mod:`.kubelet`, one task a pod."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_jsc.demo.kubernetes import containers, statuses
from jupyter_jsc.demo.kubernetes.events import Recorder
from jupyter_jsc.demo.kubernetes.files import Files, MountError
from jupyter_jsc.demo.kubernetes.images import Images
from jupyter_jsc.demo.kubernetes.network import Network
from jupyter_jsc.demo.kubernetes.objects import Tree
from jupyter_jsc.demo.kubernetes.settings import ClusterSettings, Node
from jupyter_jsc.demo.kubernetes.statuses import ContainerState
from jupyter_jsc.demo.kubernetes.store import Key, Store

_DEADLINE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True)
class Machine:
    """What a node gives to its pods."""

    node: Node
    settings: ClusterSettings
    store: Store
    events: Recorder
    images: Images
    network: Network


@dataclass(frozen=True)
class Ending:
    """Why a pod is ended although its containers run."""

    grace_s: float
    status: Tree | None = None
    """What its status says more, for a pod that stays as failed."""
    event: bool = True
    """Whether ``Killing`` is said."""


class Pod:
    """A pod from its binding to the end of its processes."""

    def __init__(self, machine: Machine, pod: Tree, reachable: Callable[[], bool]) -> None:
        self._machine, self._pod, self._reachable = machine, pod, reachable
        self.key = Key("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.files = Files(machine.settings.scratch, pod)
        self._states = {one["name"]: ContainerState(one["name"], one["image"]) for one in pod["spec"]["containers"]}
        self._running: dict[str, containers.Container] = {}
        self._reasons: dict[str, str] = {}
        self._address = ""
        self._ending: Ending | None = None
        self._told = asyncio.Event()

    def end(self, ending: Ending) -> None:
        """End the pod; an ending that is in more haste than an earlier one counts."""
        if self._ending is None or ending.grace_s < self._ending.grace_s:
            self._ending = ending
            self._told.set()

    def kill(self, name: str, reason: str) -> None:
        """Kill a container for a reason of the system's, e.g. ``OOMKilled``."""
        if name in self._running:
            self._reasons[name] = reason
            self._running[name].kill()

    async def run(self) -> None:
        """Run the pod until it has ended; nothing of it is left then but its status, its log and claimed volumes."""
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        try:
            async with asyncio.TaskGroup() as tasks:
                life = tasks.create_task(self._live())
                told = tasks.create_task(self._told.wait())
                await asyncio.wait({life, told}, timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
                if not life.done():
                    if not told.done():
                        self._event("DeadlineExceeded", _DEADLINE, True)
                        self.end(Ending(self._grace, {"reason": "DeadlineExceeded", "message": _DEADLINE}))
                    await self._end_containers()
                life.cancel()
                told.cancel()
        finally:
            for container in self._running.values():
                container.kill()
            await asyncio.shield(self._gone())
            if self._address:
                self._machine.network.give_back(self._address)
        if self._ending and self._ending.status is not None:
            self._publish(self._ending.status)

    @property
    def _grace(self) -> float:
        return float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _live(self) -> None:
        self._publish()
        await self._mounted()
        spec = self._pod["spec"]
        ports = [port["containerPort"] for one in spec["containers"] for port in one.get("ports") or []]
        self._address = self._machine.network.take(ports if self._machine.settings.processes else ())
        async with asyncio.TaskGroup() as tasks:
            for container in spec["containers"]:
                tasks.create_task(self._contain(container))

    async def _mounted(self) -> None:
        while True:
            try:
                self.files.mount(self._machine.store)
                return
            except MountError as error:
                self._event("FailedMount", str(error), True)
                await asyncio.sleep(self._machine.settings.mount_retry_s)

    async def _contain(self, container: Tree) -> None:
        """Run a container, again and again if the pod wants that."""
        name, state, pause = (
            container["name"],
            self._states[container["name"]],
            self._machine.settings.restart_back_off_s,
        )
        again = self._pod["spec"]["restartPolicy"]
        while True:
            await self._machine.images.pull(container, state, self._event, self._publish)
            self._event("Created", f"Created container: {name}", False)
            self._running[name] = await self._started(container)
            state.runs()
            self._event("Started", f"Started container {name}", False)
            self._publish()
            code = await self._running[name].wait()
            del self._running[name]
            state.ends(code, self._reasons.pop(name, ""))
            if self._ending is not None and self._ending.status is not None:
                return  # what is said then is the reason of the end
            self._publish()
            if self._ending or again == "Never" or (again == "OnFailure" and code == 0):
                return
            state.last, state.restarts = state.state, state.restarts + 1
            where = f"{name} in pod {self.key.name}_{self.key.namespace}({self._pod['metadata']['uid']})"
            state.waits("CrashLoopBackOff", f"back-off {pause:.0f}s restarting failed container={where}")
            self._publish()
            self._event("BackOff", f"Back-off restarting failed container {where}", True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 300)

    async def _started(self, container: Tree) -> containers.Container:
        if not self._machine.settings.processes:
            return containers.Hollow()
        here = self.files.here
        argv = [here(container, part) for part in [*(container.get("command") or []), *(container.get("args") or [])]]
        directory, log = self.files.directory(container), self.files.log(container["name"])
        return await containers.start(containers.Launch(argv, directory, log, self._environment(container)))

    def _environment(self, container: Tree) -> Mapping[str, str]:
        settings, root = self._machine.settings, self.files.folder / "root"
        temporary = self.files.temporary(container)
        base = {
            "PATH": settings.path,
            "HOME": str(root),
            "TMPDIR": temporary,
            "HOSTNAME": self.key.name,
            "LANG": "C.UTF-8",
        }
        own = {one["name"]: self._variable(one) for one in container.get("env") or []}
        return (
            base | dict(settings.environment) | {name: self.files.here(container, text) for name, text in own.items()}
        )

    def _variable(self, variable: Tree) -> str:
        if source := variable.get("valueFrom"):
            values: Mapping[str, Any] = {
                "status.podIP": self._address,
                "status.hostIP": self._machine.node.address,
                "spec.nodeName": self._machine.node.name,
                **{f"metadata.{name}": self._pod["metadata"][name] for name in ("name", "namespace", "uid")},
            }
            return str(values.get((source.get("fieldRef") or {}).get("fieldPath", ""), ""))
        return str(variable.get("value", ""))

    async def _end_containers(self) -> None:
        """End what runs: SIGTERM, and SIGKILL when the grace is over, which a later order may shorten."""
        began = asyncio.get_running_loop().time()
        for name, container in self._running.items():
            if self._ending and self._ending.event:
                self._event("Killing", f"Stopping container {name}", False)
            container.terminate()
        gone = asyncio.ensure_future(self._gone())
        while not gone.done() and self._ending:
            self._told.clear()
            left = began + self._ending.grace_s - asyncio.get_running_loop().time()
            if left <= 0:
                break
            told = asyncio.ensure_future(self._told.wait())
            await asyncio.wait({gone, told}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
        for container in self._running.values():
            container.kill()
        await gone

    async def _gone(self) -> None:
        for container in list(self._running.values()):
            await container.wait()

    def _event(self, reason: str, message: str, warning: bool) -> None:
        if self._reachable():
            record = self._machine.events.warning if warning else self._machine.events.normal
            record(self._pod, reason, message, "kubelet", self._machine.node.name)

    def _publish(self, ended: Tree | None = None) -> None:
        pod = self._machine.store.get(self.key)
        if pod is None or pod["metadata"]["uid"] != self._pod["metadata"]["uid"] or not self._reachable():
            return
        if ended is not None:
            for state in self._states.values():
                if not state.ended:
                    state.ends(137, "ContainerStatusUnknown")
        addresses = (self._machine.node.address, self._address)
        after = statuses.status(pod["status"], self._states, addresses, ended=ended)
        if after != pod["status"]:
            self._pod = self._machine.store.put(self.key, {**pod, "status": after})
