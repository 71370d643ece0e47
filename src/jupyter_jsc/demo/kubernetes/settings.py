# SPDX-License-Identifier: BSD-3-Clause
"""What one demo cluster has: nodes, namespaces, images, callers. Made by the demo's composition and by tests; frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Node:
    """A machine of the cluster; what it can hold, as quantities."""

    name: str
    capacity: Mapping[str, str] = field(default_factory=lambda: {"cpu": "16", "memory": "64Gi", "pods": "110"})
    address: str = "127.49.1.1"


@dataclass(frozen=True)
class User:
    """Who a bearer token is, and what that account may do in each namespace."""

    name: str
    rights: Mapping[str, frozenset[str]] | None = None
    """Verbs by resource (``pods``, ``pods/log``); None: everything."""


@dataclass(frozen=True)
class Namespace:
    """A namespace with its Pod Security level and quotas."""

    name: str
    pod_security: str = "restricted"
    """``privileged``, ``baseline`` or ``restricted``, enforced."""
    quotas: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """ResourceQuotas by name: the most of each resource, e.g. ``limits.memory``."""


@dataclass(frozen=True)
class ClusterSettings:
    """One cluster. Seconds everywhere; the defaults are those of a real cluster unless said otherwise."""

    scratch: Path
    """Where the pods' folders and the volumes lie."""
    tokens: Mapping[str, User]
    """The callers by bearer token."""
    namespaces: tuple[Namespace, ...] = (Namespace("userlabs"),)
    nodes: tuple[Node, ...] = (Node("node1"), Node("node2", address="127.49.1.2"))
    images: frozenset[str] | None = None
    """The images that the registry has; None: every one that is asked for."""
    present: frozenset[str] = frozenset()
    """The images that are on every node already."""
    processes: bool = True
    """Whether containers are processes of this machine; else they run in name only, as in kwok."""
    path: str = "/usr/local/bin:/usr/bin:/bin"
    """``PATH`` of the containers."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More of the containers' environment, as an image sets it."""
    pod_network: str = "127.50.0.0/16"
    """Where pods get their addresses."""
    pull_back_off_s: float = 1.0
    """The first pause after a failed pull, doubled each time; a real kubelet: 10."""
    restart_back_off_s: float = 1.0
    """The first pause before a container is run again, doubled each time; a real kubelet: 10."""
    scheduling_retry_s: float = 5.0
    """How often a pod that does not fit is looked at again, at the latest; a real scheduler: up to 300."""
    mount_retry_s: float = 1.0
    """Pause between attempts to mount a volume that is not there."""
    bookmark_s: float = 60.0
    """How often a watch that asks for it gets a bookmark."""
