# SPDX-License-Identifier: BSD-3-Clause
"""The demo's computing centre: two HPC systems with login and compute nodes on loopback addresses.

One source for both sides: :mod:`.world` runs these nodes, :mod:`.folder` writes the configuration that
offers them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Host:
    """A node of the demo: its name in the cluster and its loopback address."""

    name: str
    address: str


@dataclass(frozen=True)
class Queue:
    """A batch partition: how many nodes, GPUs a node and minutes a job may take."""

    name: str
    description: str
    nodes: int
    gpus: int
    minutes: int


@dataclass(frozen=True)
class Centre:
    """One HPC system."""

    label: str
    description: str
    order: int
    prefix: str
    network: int
    queues: tuple[Queue, ...]
    account_keys: Mapping[str, tuple[str, ...]]
    notifications: bool = True
    """Whether the site tells the manager of changes; without it the manager's own look must do."""

    @property
    def login_nodes(self) -> tuple[Host, ...]:
        """Two nodes with SSH."""
        return tuple(Host(f"{self.prefix}l{n:02}", f"127.{self.network}.0.{n}") for n in (1, 2))

    @property
    def compute_nodes(self) -> tuple[Host, ...]:
        """Four nodes that the batch system gives out."""
        return tuple(Host(f"{self.prefix}c{n:02}", f"127.{self.network}.1.{n}") for n in (1, 2, 3, 4))

    def system(self, unicore_url: str, ports: Mapping[str, int], host_keys: Mapping[str, str]) -> dict[str, Any]:
        """Return this system for the portal's configuration."""
        return {
            "label": self.label,
            "description": self.description,
            "order": self.order,
            "manager": "unicoremgr",
            "unicore": {"url": unicore_url, "notifications": self.notifications},
            "jump_hosts": {
                node.name: {"host": node.address, "port": ports[node.name], "host_key": host_keys[node.name]}
                for node in self.login_nodes
            },
            "lab_hosts": [f"{self.prefix}c[0-9]*", f"{self.prefix}l[0-9]*"],
            "account_keys": {key: list(partitions) for key, partitions in self.account_keys.items()},
            "partitions": {
                "login": {
                    "label": "Login node",
                    "description": "Starts at once, shared with others; for light work.",
                    "kind": "interactive",
                    "login_node": f"{self.prefix}l*",
                },
                **{queue.name: _partition(queue) for queue in self.queues},
            },
        }


SITES: Mapping[str, Centre] = {
    "juwels": Centre(
        label="JUWELS",
        description="General purpose, large jobs",
        order=1,
        prefix="jw",
        network=31,
        queues=(
            Queue("batch", "Standard compute nodes.", nodes=4, gpus=0, minutes=1440),
            Queue("devel", "Short jobs that start soon.", nodes=2, gpus=0, minutes=120),
        ),
        account_keys={"juwels": ("login", "batch", "devel")},
    ),
    "jureca": Centre(
        label="JURECA",
        description="Data-centric, CPU and GPU nodes",
        order=2,
        prefix="jr",
        network=32,
        queues=(
            Queue("dc-cpu", "Nodes with 128 cores.", nodes=4, gpus=0, minutes=1440),
            Queue("dc-gpu", "Nodes with 4 GPUs.", nodes=2, gpus=4, minutes=1440),
        ),
        account_keys={"jureca": ("login", "dc-cpu"), "jureca_gpu": ("dc-gpu",)},
        notifications=False,
    ),
}


def portal(unicoremgr_url: str, tunnelmgr_url: str, python: str) -> dict[str, Any]:
    """Return the part of the configuration that is not about systems."""
    return {
        "hub": "demo",
        "support": "the demo's support team (support@example.org)",
        "identity_providers": {
            "jsc": {
                "label": "JSC account",
                "description": "For users of the supercomputers in Jülich.",
                "preselect": {"uy_select_authn": "jsc.password"},
            },
            "aai": {
                "label": "Helmholtz AAI",
                "description": "For members of Helmholtz centres and their guests.",
                "preselect": {"uy_select_authn": "aai.password"},
            },
        },
        "managers": {"unicoremgr": {"url": unicoremgr_url}},
        "tunnelmgr": {"url": tunnelmgr_url},
        "options": {
            "jupyterlab-4.6": {
                "label": "JupyterLab 4.6",
                "description": "Python 3, terminals, file browser.",
                "python": python,
                "default": True,
            },
        },
    }


def _partition(queue: Queue) -> dict[str, Any]:
    resources: dict[str, Any] = {
        "nodes": {"label": "Nodes", "minimum": 1, "maximum": queue.nodes, "default": 1},
        "runtime": {
            "label": "Runtime",
            "minimum": 10,
            "maximum": queue.minutes,
            "default": 60,
            "step": 5,
            "unit": "min",
        },
    }
    if queue.gpus:
        resources["gpus"] = {"label": "GPUs per node", "minimum": 1, "maximum": queue.gpus, "default": queue.gpus}
    return {"label": queue.name, "description": queue.description, "resources": resources}
