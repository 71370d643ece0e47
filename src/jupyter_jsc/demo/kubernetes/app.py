# SPDX-License-Identifier: BSD-3-Clause
"""Puts a cluster together: faults in front, then the API's routes; the controllers and the pods live beside them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware

from jupyter_jsc.demo.kubernetes import api, network
from jupyter_jsc.demo.kubernetes.access import Access
from jupyter_jsc.demo.kubernetes.controllers import Controllers
from jupyter_jsc.demo.kubernetes.events import Recorder
from jupyter_jsc.demo.kubernetes.faults import FaultLayer, Faults
from jupyter_jsc.demo.kubernetes.kubelet import Kubelet
from jupyter_jsc.demo.kubernetes.objects import ApiError
from jupyter_jsc.demo.kubernetes.scheduler import Scheduler
from jupyter_jsc.demo.kubernetes.settings import ClusterSettings
from jupyter_jsc.demo.kubernetes.store import Key, Store


class Cluster:
    """A running cluster: what tests and the demo reach besides the API."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self.faults = Faults()
        self.store = Store()
        self._events = Recorder(self.store)
        self._scheduler = Scheduler(settings.nodes, self.store, self.faults, self._events)
        self._kubelet = Kubelet(settings, self.store, self.faults, self._events)
        self._controllers = Controllers(self.store, self.faults, self._events, self._scheduler, self._kubelet)
        self._access = Access(settings.tokens, self.faults)
        self._api = api.Api(settings, self.store, self._access, self.faults, self._kubelet)
        for namespace in settings.namespaces:
            labels = {"pod-security.kubernetes.io/enforce": namespace.pod_security}
            tree = {"metadata": {"name": namespace.name, "labels": labels}, "status": {"phase": "Active"}}
            self.store.put(Key("namespaces", "", namespace.name), tree)
        self.app = Starlette(
            routes=self._api.routes(),
            exception_handlers={ApiError: api.refused, 404: api.no_page},
            middleware=[Middleware(FaultLayer, faults=self.faults)],
            lifespan=self._running,
        )
        self.app.state.cluster = self

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """How often each verb and resource was asked for."""
        return self._access.requests

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return self._api.watches.open

    def end_watches(self) -> None:
        """End all watches: the server stops."""
        self._api.watches.close()

    def target(self, host: str, port: int) -> str | None:
        """Return the address of the pod behind a service's name; None if there is none."""
        return network.target(self.store, host, port)

    def look_again(self) -> None:
        """Have the scheduler look at everything that waits, after a switch was set back."""
        self._controllers.look_again()

    def out_of_memory(self, namespace: str, name: str) -> None:
        """Kill the first container of a pod that runs, as the kernel does when it is over its limit."""
        self._kubelet.out_of_memory(namespace, name)

    def evict(self, namespace: str, name: str) -> None:
        """End a pod because its node is short of memory."""
        self._kubelet.evict(namespace, name)

    def lose_node(self, name: str) -> None:
        """Cut a node off: its pods run on, are marked for deletion, and nobody hears of them."""
        self._scheduler.lost.add(name)
        self._kubelet.lose(name)

    def regain_node(self, name: str) -> None:
        """Bring a node back."""
        self._scheduler.lost.discard(name)
        self._kubelet.regain(name)

    @contextlib.asynccontextmanager
    async def _running(self, _app: Starlette) -> AsyncIterator[None]:
        """Run controllers and pods; at the end, end all pods and wait until nothing of them is left."""
        async with asyncio.TaskGroup() as tasks:
            self._kubelet.open(tasks)
            controllers = tasks.create_task(self._controllers.run(self.settings.scheduling_retry_s))
            try:
                yield
            finally:
                controllers.cancel()
                self._kubelet.close()


def create_cluster(settings: ClusterSettings) -> Cluster:
    """Return a cluster; its ``app`` is what a server serves, with its lifespan."""
    return Cluster(settings)
