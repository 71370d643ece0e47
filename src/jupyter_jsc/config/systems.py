# SPDX-License-Identifier: BSD-3-Clause
"""Systems: where labs run, in which partitions, and how each is reached."""

import fnmatch
import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, HttpUrl, model_validator

from jupyter_jsc.config.base import Reference, Section, Text
from jupyter_jsc.config.clusters import Cluster
from jupyter_jsc.wire import HostName, JumpHostState, Key

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
HubUrl = Annotated[str, Field(pattern=r"^(direct|https?://[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*/?)$", max_length=300)]
KNOWN_RESOURCES = frozenset({"nodes", "gpus", "runtime"})
KNOWN_TO_CLUSTERS = frozenset({"cpus", "memory", "gpus", "home", "runtime"})


class Checkbox(Section):
    """A switch in front of a resource: the resource is asked for only while it is on."""

    label: Text
    """What stands beside the box, e.g. ``Start an X server``."""
    default: bool = False
    """Whether the box of a new lab is ticked."""


class Resource(Section):
    """A number that the user chooses in a partition."""

    label: Text
    """What the number is, e.g. ``Nodes``. ``{minimum}`` and ``{maximum}`` in it stand for the limits."""
    minimum: int = Field(ge=0)
    """Smallest value."""
    maximum: int = Field(ge=0)
    """Largest value."""
    default: int = Field(ge=0)
    """Value of a new lab; lies between the limits."""
    step: int = Field(default=1, ge=1)
    """Values are the minimum and whole steps above it."""
    unit: str = ""
    """What stands behind the number, e.g. ``min``."""
    checkbox: Checkbox | None = None
    """Makes the resource optional; none: it is always asked for."""
    unicore: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    """HPC systems only: name of the resource in the job description; empty for nodes, gpus and runtime, which are known."""
    environment: VariableName | None = None
    """Variable of the lab's environment that carries the value, e.g. ``JSC_XSERVER_GPU``."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is not between minimum {self.minimum} and maximum {self.maximum}")
        if (self.default - self.minimum) % self.step:
            raise ValueError(f"default {self.default} is not minimum {self.minimum} plus whole steps of {self.step}")
        return self


class PartitionKind(StrEnum):
    """``batch`` waits in a queue; ``interactive`` runs at once: on a login node, or in a cluster."""

    BATCH = "batch"
    INTERACTIVE = "interactive"


class Partition(Section):
    """A partition of a system."""

    label: str = ""
    """Its name for people; empty: its key."""
    description: Text = Text(en="")
    """One sentence: what it is good for."""
    kind: PartitionKind = PartitionKind.BATCH
    """Whether labs wait in a queue."""
    queue: str = ""
    """Batch only: name of the queue at the site; empty: the partition's key."""
    login_node: str = ""
    """Interactive partitions of HPC systems only: pattern of login nodes for UNICORE's ``Login node``, e.g. ``login*``."""
    resources: dict[Key, Resource] = {}
    """By key. Known are ``nodes``, ``gpus`` and ``runtime`` (minutes) in batch partitions; in clusters ``cpus``, ``memory``
    (GiB), ``gpus``, ``home`` (GiB) and ``runtime`` (minutes). Others need ``unicore`` (batch only) or ``environment``, or in
    clusters a manifest that refers to them."""


class HubForward(Section):
    """A way from a jump host back to the hub, for labs that have no route of their own."""

    listen_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$", max_length=253)] = "0.0.0.0"
    """The address of the jump host to listen at; sshd needs ``GatewayPorts clientspecified`` for any but loopback."""
    listen_port: int = Field(default=8081, ge=1024, le=65535)
    """The port there; sshd should permit just this one (``PermitListen``)."""


class JumpHost(Section):
    """An SSH server in front of the labs of a system."""

    host: HostName
    """Its name or address."""
    port: int = Field(default=22, ge=1, le=65535)
    """Its port."""
    user: str = "ljupyter"
    """The account that forwards."""
    host_key: str
    """The pinned public key, ``ssh-ed25519 AAAA…``. Another key is refused."""
    weight: int = Field(default=1, ge=1, le=100)
    """How many tunnels it gets compared with the others: twice the weight, twice the tunnels."""
    state: JumpHostState = JumpHostState.OPEN
    """``draining`` gets no new tunnels, ``closed`` has none. An operator's switch can be stricter, never laxer."""
    hub_forward: HubForward | None = None
    """Keeps a way back to the hub open there, and to nothing else; none: there is no such way. TunnelMgr's own settings
    say where the hub is."""


class SystemKind(StrEnum):
    """Which site driver serves the system."""

    UNICORE = "unicore"
    KUBERNETES = "kubernetes"


class SiteMessage(Section):
    """What the portal says instead of a message of the site."""

    contains: str = Field(min_length=3)
    """Part of the site's message, e.g. ``Invalid account``."""
    text: Text
    """What users read instead: what happened and what to do."""


class Unicore(Section):
    """How a system is reached through UNICORE."""

    url: HttpUrl
    """The REST base, ``https://host:port/SITE/rest/core``."""
    ca_file: str = ""
    """PEM file of the authority that signed the server's certificate; empty: the machine's own set."""
    notifications: bool = True
    """Register for the site's notifications. Off where the site cannot reach the manager."""
    messages: list[SiteMessage] = []
    """Plainer words for what the site says of a job that failed; the first that fits counts."""


class System(Section):
    """A place where labs run."""

    label: str
    """Its name for people."""
    description: Text = Text(en="")
    """One sentence: what it is good for."""
    kind: SystemKind = SystemKind.UNICORE
    """Which site driver serves it."""
    manager: Annotated[Key, Reference("managers")]
    """Which of ``managers`` serves it."""
    order: int = 0
    """Systems with smaller numbers stand first."""
    unicore: Unicore | None = None
    """How it is reached; needed by the kind ``unicore``, and only there."""
    kubernetes: Cluster | None = None
    """How labs run there; needed by the kind ``kubernetes``, and only there."""
    hub_urls: list[HubUrl] = []
    """How its labs reach the hub, tried in this order, e.g. ``http://jhub.k8smgr.svc:8081``; ``direct`` stands for the
    hub's usual address, which is the only one if the list is empty."""
    jump_hosts: dict[Key, JumpHost] = Field(min_length=1)
    """The SSH servers in front of its labs; new tunnels go to the least loaded healthy one. Keys differ over all systems."""
    lab_hosts: list[str] = Field(min_length=1)
    """Where labs may listen: host name patterns (``jwc*``) or networks (``10.1.0.0/16``)."""
    account_keys: dict[str, list[Annotated[Key, Reference("./partitions")]]] = {}
    """The second field of a user's HPC account entries → the partitions that it opens here. The same key may stand at
    several systems."""
    default_partitions: list[Annotated[Key, Reference("./partitions")]] = []
    """Partitions that every account of this system opens, whatever its key."""
    partitions: dict[Key, Partition] = Field(min_length=1)
    """Its partitions, in the order of the form."""
    max_labs_per_user: int | None = Field(default=None, ge=0)
    """How many labs of one user may be in use here at once; none: no limit."""
    launcher_python: str = "python3"
    """The interpreter (3.9 or newer, nothing installed) that runs the launcher before any software is loaded."""
    project_folder: str = ""
    """Folder with a project's own kernels and settings, e.g. ``/p/project/{project}/jupyter``; empty: there is none."""

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        for kind, section in ((SystemKind.UNICORE, self.unicore), (SystemKind.KUBERNETES, self.kubernetes)):
            if (self.kind is kind) != (section is not None):
                raise ValueError(
                    f"kind {self.kind.value} and `{kind.value}` do not go together: it is needed by `{kind.value}` alone"
                )
        if self.kind is SystemKind.UNICORE and not self.account_keys:
            raise ValueError("`account_keys` is empty, so no account belongs to this system and nobody could use it")
        return self

    @property
    def needs_account(self) -> bool:
        """Whether labs run under a Unix account and a project; a cluster has neither and is open to everybody."""
        return self.kind is SystemKind.UNICORE

    def allows_host(self, host: str) -> bool:
        """Tell whether a lab of this system may listen on *host*; the second line behind the allocation."""
        return allows(self.lab_hosts, host)


def allows(lab_hosts: Iterable[str], host: str) -> bool:
    """Tell whether one of *lab_hosts*, names or networks as in :attr:`System.lab_hosts`, fits *host*."""
    return any(_matches(host, pattern) for pattern in lab_hosts)


def _matches(host: str, pattern: str) -> bool:
    try:
        network = ipaddress.ip_network(pattern)
    except ValueError:
        # Label by label: a "*" of "jwc*" must not reach into another domain.
        labels, wanted = host.lower().split("."), pattern.lower().split(".")
        return len(labels) == len(wanted) and all(map(fnmatch.fnmatchcase, labels, wanted))
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
