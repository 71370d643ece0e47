# SPDX-License-Identifier: BSD-3-Clause
"""What happens by itself in the cluster: owners' dependents go, claims are bound, pods are scheduled and run. One task."""

import asyncio

from jupyter_jsc.demo.kubernetes import deletion
from jupyter_jsc.demo.kubernetes.events import Recorder
from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.kubelet import Kubelet
from jupyter_jsc.demo.kubernetes.scheduler import Scheduler
from jupyter_jsc.demo.kubernetes.store import Change, Key, Store

_ENDED = {"Succeeded", "Failed"}
_WAITING = (
    "waiting for a volume to be created either by the external provisioner or manually by the system administrator"
)


class Controllers:
    """The loop over all changes of the store."""

    def __init__(self, store: Store, faults: Faults, events: Recorder, scheduler: Scheduler, kubelet: Kubelet) -> None:
        self._store, self._faults, self._events = store, faults, events
        self._scheduler, self._kubelet = scheduler, kubelet
        self._unbound: dict[Key, None] = {}

    async def run(self, retry_s: float) -> None:
        """Follow the changes until cancelled; look at what waits every *retry_s* at the latest."""
        while True:
            try:
                async with asyncio.timeout(retry_s):
                    change = await self._store.changes.get()
            except TimeoutError:
                self.look_again()
                continue
            self._saw(change)

    def look_again(self) -> None:
        """Look at everything that waits: claims without a volume, pods without a node."""
        for key in list(self._unbound):
            self._bind(key)
        self._scheduler.place()

    def _saw(self, change: Change) -> None:
        deletion.collect(self._store, change)
        if change.key.plural == "pods":
            self._saw_pod(change)
        elif change.key.plural == "persistentvolumeclaims":
            if change.type == "ADDED":
                self._bind(change.key)
                self._scheduler.place()
            elif change.type == "DELETED":
                self._kubelet.released(change.key)

    def _saw_pod(self, change: Change) -> None:
        if change.type == "ADDED":
            self._scheduler.wants(change.key)
            self._scheduler.place(change.key)
        elif change.type == "DELETED" or change.object["status"].get("phase") in _ENDED:
            self._scheduler.free(change.object["metadata"]["uid"])
            self._scheduler.place()
        self._kubelet.saw(change)

    def _bind(self, key: Key) -> None:
        claim = self._store.get(key)
        if claim is None or claim["status"]["phase"] == "Bound":
            self._unbound.pop(key, None)
            return
        if self._faults.unbound_volumes:
            self._unbound[key] = None
            self._events.normal(claim, "ExternalProvisioning", _WAITING, "persistentvolume-controller")
            return
        self._unbound.pop(key, None)
        size = claim["spec"].get("resources", {}).get("requests", {})
        spec = {**claim["spec"], "volumeName": f"pvc-{claim['metadata']['uid']}"}
        self._store.put(key, {**claim, "spec": spec, "status": {"phase": "Bound", "capacity": size}})
