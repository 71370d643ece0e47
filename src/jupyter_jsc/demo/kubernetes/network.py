# SPDX-License-Identifier: BSD-3-Clause
"""The pods' addresses on the loopback interface, each given out once and used again as late as possible; and service names.

Clusters of several processes on one machine share the network: each begins somewhere else, and an address where somebody
listens already is not given out.
"""

import ipaddress
import random
import socket
from collections.abc import Iterable

from jupyter_jsc.demo.kubernetes.store import Key, Store


class Network:
    """Who has which address."""

    def __init__(self, network: str) -> None:
        self._network = ipaddress.ip_network(network)
        self._next = random.randrange(1, self._network.num_addresses - 1)
        self._taken: set[str] = set()

    def take(self, ports: Iterable[int]) -> str:
        """Return an address that is free, also at *ports*; RuntimeError if there is none."""
        wanted = list(ports)
        for _ in range(self._network.num_addresses - 2):
            address = str(self._network[self._next])
            self._next = self._next % (self._network.num_addresses - 2) + 1
            if address not in self._taken and all(_free(address, port) for port in wanted):
                self._taken.add(address)
                return address
        raise RuntimeError(f"no address is left in {self._network}")

    def give_back(self, address: str) -> None:
        """Let the address be given out again."""
        self._taken.discard(address)


def target(store: Store, host: str, port: int) -> str | None:
    """Return the address of the pod behind a service's name, ``<service>.<namespace>.svc``; None if there is none."""
    name, _, rest = host.partition(".")
    namespace, _, suffix = rest.partition(".")
    service = store.get(Key("services", namespace, name)) if suffix == "svc" else None
    if service is None or port not in {one["port"] for one in service["spec"]["ports"]}:
        return None
    wanted = (service["spec"].get("selector") or {}).items()
    for pod in store.all("pods", namespace):
        labels = pod["metadata"].get("labels") or {}
        if pod["status"].get("phase") == "Running" and wanted and wanted <= labels.items():
            return str(pod["status"]["podIP"])
    return None


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
