# SPDX-License-Identifier: BSD-3-Clause
"""The demo's computing centre: every system of the configuration, with nodes on loopback addresses.

One source for both sides: :mod:`.world` runs these nodes, :mod:`.folder` writes their addresses into the
configuration.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import Partition, PartitionKind, System, SystemKind

K8SMGR = "k8smgr"
"""The manager of the demo's cluster. Systems of another K8sMgr are in clusters that the demo does not have."""
LOGIN_NODES = 2
COMPUTE_NODES = 4
_FIRST_NETWORK = 31
_CLOUD_NETWORK = 49
_WILDCARD = re.compile(r"(?:\[[^\]]*\]|\?)+\*?|\*")


@dataclass(frozen=True)
class Host:
    """A node of the demo: its name in the cluster and its loopback address."""

    name: str
    address: str


@dataclass(frozen=True)
class Queue:
    """A queue of the batch system: how many nodes, GPUs a node and minutes a job may take."""

    name: str
    nodes: int
    gpus: int
    minutes: int

    def united(self, other: "Queue") -> "Queue":
        """Return this queue with the larger limits of both."""
        return Queue(
            self.name, max(self.nodes, other.nodes), max(self.gpus, other.gpus), max(self.minutes, other.minutes)
        )


@dataclass(frozen=True)
class Site:
    """One HPC system as the demo runs it."""

    key: str
    login_nodes: tuple[Host, ...]
    """Nodes with SSH: the jump hosts."""
    special_nodes: tuple[Host, ...]
    """Nodes for interactive partitions with a pattern of their own, e.g. for visualisation."""
    compute_nodes: tuple[Host, ...]
    """What the batch system gives out."""
    queues: tuple[Queue, ...]
    account_keys: frozenset[str]
    reservations: frozenset[str]

    @property
    def name(self) -> str:
        """What UNICORE calls the site."""
        return self.key.upper()

    @property
    def nodes(self) -> tuple[Host, ...]:
        """All nodes."""
        return (*self.login_nodes, *self.special_nodes, *self.compute_nodes)


@dataclass(frozen=True)
class Cloud:
    """One system in the demo's Kubernetes cluster."""

    key: str
    namespace: str
    ssh: Host
    """The jump host, which also listens for the labs' way back to the hub."""

    @property
    def ports(self) -> tuple[str, str]:
        """Under which names the ports of its SSH service and of the way back are known."""
        return self.ssh.name, f"{self.key}-jhub"


def clouds(configuration: Configuration) -> dict[str, Cloud]:
    """Return what stands for each system in a cluster that the demo's K8sMgr serves."""
    systems = {
        key: system.kubernetes
        for key, system in configuration.systems.items()
        if system.kubernetes is not None and system.manager == K8SMGR
    }
    return {
        key: Cloud(key, cluster.namespace, Host(f"{key}-ssh", f"127.{_CLOUD_NETWORK}.0.{number}"))
        for number, (key, cluster) in enumerate(systems.items(), start=1)
    }


def sites(configuration: Configuration) -> dict[str, Site]:
    """Return a site for each system that is reached through UNICORE."""
    systems = {key: system for key, system in configuration.systems.items() if system.kind is SystemKind.UNICORE}
    return {
        key: _site(key, system, network, configuration)
        for network, (key, system) in enumerate(systems.items(), _FIRST_NETWORK)
    }


def addresses(
    tree: Mapping[str, Any],
    centre: Mapping[str, Site | Cloud],
    ports: Mapping[str, int],
    host_keys: Mapping[str, str],
) -> dict[str, Any]:
    """Return *tree*, the content of ``addresses.yaml``, with what the demo runs in place of what it names.

    Systems that stand there stay, with the names of their nodes; those that the demo has no site for lead nowhere.
    """
    local = {name: f"http://127.0.0.1:{ports[name]}" for name in ("unicoremgr", K8SMGR, "tunnelmgr")}
    managers = {name: {"url": local.get(name, _NOWHERE)} for name in tree.get("managers", {})}
    systems = {
        key: {**system, **(_reached(centre[key], ports, host_keys) if key in centre else _unreachable(system))}
        for key, system in tree.get("systems", {}).items()
    }
    return {**tree, "hub": "demo", "managers": managers, "tunnelmgr": {"url": local["tunnelmgr"]}, "systems": systems}


_NOWHERE = "http://127.0.0.1:9"
"""The discard port, where nobody listens."""


def _reached(site: Site | Cloud, ports: Mapping[str, int], host_keys: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(site, Cloud):
        return _cloud_reached(site, ports, host_keys)
    hosts = {
        node.name: {"host": node.address, "port": ports[f"{site.key}-{node.name}"], "host_key": host_keys[node.name]}
        for node in site.login_nodes
    }
    return {"unicore": {"url": f"http://127.0.0.1:{ports[site.key]}/{site.name}/rest/core"}, "jump_hosts": hosts}


def _cloud_reached(cloud: Cloud, ports: Mapping[str, int], host_keys: Mapping[str, str]) -> dict[str, Any]:
    ssh, back = cloud.ports
    host = {"host": cloud.ssh.address, "port": ports[ssh], "host_key": host_keys[ssh]}
    host |= {"hub_forward": {"listen_host": cloud.ssh.address, "listen_port": ports[back]}}
    return {"hub_urls": [f"http://{cloud.ssh.address}:{ports[back]}"], "jump_hosts": {ssh: host}}


def _unreachable(system: Mapping[str, Any]) -> dict[str, Any]:
    hosts = {
        key: {**host, "host": "127.0.0.1", "port": 9, "state": "closed"}
        for key, host in system.get("jump_hosts", {}).items()
    }
    return {"jump_hosts": hosts} if hosts else {}


def _site(key: str, system: System, network: int, configuration: Configuration) -> Site:
    patterns = dict.fromkeys(part.login_node for part in system.partitions.values() if part.login_node)
    first, *others = patterns or [f"{key}login*"]
    names = [pattern for pattern in system.lab_hosts if not _is_network(pattern)]
    return Site(
        key=key,
        login_nodes=_hosts([first] * LOGIN_NODES, f"127.{network}.0"),
        compute_nodes=_hosts([names[0] if names else f"{key}c*"] * COMPUTE_NODES, f"127.{network}.1"),
        special_nodes=_hosts(others, f"127.{network}.2"),
        queues=tuple(_queues(key, system, configuration)),
        account_keys=frozenset(system.account_keys),
        reservations=frozenset(name for name, one in configuration.reservations.items() if one.system == key),
    )


def _is_network(pattern: str) -> bool:
    try:
        ipaddress.ip_network(pattern)
    except ValueError:
        return False
    return True


def _hosts(patterns: Iterable[str], network: str) -> tuple[Host, ...]:
    return tuple(
        Host(fitting(pattern, number), f"{network}.{number}") for number, pattern in enumerate(patterns, start=1)
    )


def fitting(pattern: str, number: int) -> str:
    """Return a name that fits *pattern*, with *number* in the last of its wildcards: ``jwc[0-9]*`` → ``jwc01``."""
    places = list(_WILDCARD.finditer(pattern))
    name = pattern
    for place in reversed(places):
        digits = str(number if place is places[-1] else 0)
        wide = place[0].count("?") + place[0].count("[") if not place[0].endswith("*") else 2
        name = name[: place.start()] + digits.zfill(wide) + name[place.end() :]
    return name


def _queues(key: str, system: System, configuration: Configuration) -> Iterable[Queue]:
    """Yield the queues, each as large as the largest range that anybody has in it."""
    found: dict[str, Queue] = {}
    for name, partition in system.partitions.items():
        if partition.kind is PartitionKind.BATCH:
            queue = _queue(key, name, partition, configuration)
            found[queue.name] = queue.united(found.get(queue.name, queue))
    return found.values()


def _queue(key: str, name: str, partition: Partition, configuration: Configuration) -> Queue:
    ranges = [one for group in configuration.groups.values() for one in group.ranges]
    wider = [one for one in ranges if (one.system, one.partition) == (key, name)]

    def most(resource: str, otherwise: int) -> int:
        own = partition.resources.get(resource)
        return max([own.maximum if own else otherwise, *(one.maximum for one in wider if one.resource == resource)])

    return Queue(partition.queue or name, most("nodes", 1), most("gpus", 0), most("runtime", 1440))
