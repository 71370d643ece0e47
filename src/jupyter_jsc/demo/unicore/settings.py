# SPDX-License-Identifier: BSD-3-Clause
"""What one demo site has: nodes, partitions, delays. Made by the demo's composition and by tests; frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Node:
    """A machine of the site: its name in the cluster, and the loopback address that stands for it here."""

    name: str
    address: str


@dataclass(frozen=True)
class DemoPartition:
    """A batch partition. All nodes of the site belong to each partition."""

    name: str
    nodes: int
    """Most nodes of one job."""
    gpus: int = 0
    """Most GPUs of one node; 0: the resource ``GPUS`` does not exist here."""
    runtime_s: int = 86400
    """Longest wall time, seconds."""
    cpus: int = 4
    """Most CPUs of one node; checked, not enforced."""

    def ranges(self) -> Mapping[str, tuple[int, int]]:
        """Return the resources of the partition with their smallest and largest value."""
        known = {
            "Nodes": (1, self.nodes),
            "CPUsPerNode": (1, self.cpus),
            "Runtime": (1, self.runtime_s),
            "MemoryPerNode": (2**20, 2**36),
        }
        return known | {"GPUS": (0, self.gpus)} if self.gpus else known


@dataclass(frozen=True)
class Identity:
    """Who a credential is, as the identity provider or a site token says it."""

    dn: str
    projects: Mapping[str, tuple[str, ...]]
    """The projects by Unix account; empty: the user is not mapped here (anonymous)."""


class Authenticator(Protocol):
    """Asks who a bearer token is."""

    async def __call__(self, token: str, /) -> Identity | None:
        """Return the identity, None for a bad token; :class:`errors.Unavailable` if nobody answers."""


@dataclass(frozen=True)
class SiteSettings:
    """One site. Seconds everywhere; the defaults are those of a real site unless said otherwise."""

    name: str
    base_url: str
    """``http://127.0.0.1:port/NAME``; the REST base is this and ``/rest/core``."""
    scratch: Path
    """Where job directories, homes and the server's key lie."""
    nodes: tuple[Node, ...]
    login_nodes: tuple[Node, ...]
    partitions: tuple[DemoPartition, ...]
    userinfo_url: str = ""
    """The identity provider's userinfo; used unless ``authenticator`` is given."""
    authenticator: Authenticator | None = None
    account_keys: frozenset[str] = frozenset()
    """Which second fields of ``hpc_infos_attribute`` mean an account of this site."""
    queue_delay_s: float = 2.0
    """How long a batch job waits at least."""
    status_lag_s: float = 1.0
    """How often the server looks at batch system and processes; a real site: 10 to 30."""
    step_s: float = 0.05
    """How long a job rests between two steps of the server."""
    grace_s: float = 137.0
    """How long a job that left no exit code is still shown as RUNNING."""
    startup_404_s: float = 0.0
    """How long every URL answers 404 with HTML after a start; a real server: 1.0 to 1.4."""
    retry_s: float = 10.0
    """Pause between the three attempts to submit a job that the batch system refuses."""
    tsi_retry_s: float = 5.0
    """Pause between the three attempts to reach a TSI that is down."""
    controller_wait_s: float = 18.0
    """How long a command waits for a batch controller that is down."""
    kill_wait_s: float = 5.0
    """Time between SIGTERM and SIGKILL; Slurm's default is 30."""
    forget_s: float = 300.0
    """How long the batch system remembers an ended job (MinJobAge)."""
    notify_timeout_s: float = 30.0
    """Limit of the one attempt to deliver a notification."""
    lifetime_s: float = 30 * 86400.0
    """When a job is destroyed, from its submission."""
    token_lifetime_max_s: int = 30 * 86400
    """Longest life of a token that the site issues: the validity of its certificate."""
    path: str = "/usr/local/bin:/usr/bin:/bin"
    """``PATH`` of the jobs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More of the jobs' environment, as a site's own profile sets it."""
    reservations: frozenset[str] = frozenset()
    """Names of the reservations that the batch system accepts."""

    @property
    def core(self) -> str:
        """The REST base."""
        return self.base_url.rstrip("/") + "/rest/core"

    @property
    def prefix(self) -> str:
        """The path of the REST base."""
        return urlsplit(self.core).path

    def partition(self, name: str) -> DemoPartition | None:
        """Return the partition of that name."""
        return next((partition for partition in self.partitions if partition.name == name), None)
