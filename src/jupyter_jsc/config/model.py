# SPDX-License-Identifier: BSD-3-Clause
"""The configuration: what a centre has and offers. One frozen tree, made by :mod:`.load`.

Every field says meaning, unit and default. Unknown keys are mistakes.
"""

import fnmatch
import ipaddress
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

from jupyter_jsc.wire import HostName, Key


class Section(BaseModel):
    """Base of all parts of the configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IdentityProvider(Section):
    """A button of the login page."""

    label: str
    """What the button says after "Log in with"."""
    description: str = ""
    """One sentence under the button: who should take it."""
    preselect: dict[str, str] = {}
    """Parameters for the authorisation request that make the provider skip its own choice, e.g.
    ``{uy_select_authn: jsc.password}`` for Unity."""


class Resource(Section):
    """A number that the user chooses in a partition."""

    label: str
    minimum: int = Field(ge=0)
    maximum: int = Field(ge=0)
    default: int = Field(ge=0)
    step: int = Field(default=1, ge=1)
    unit: str = ""
    """What stands behind the number, e.g. ``min``."""
    unicore: str = ""
    """Name of the resource in the job description; empty for nodes, gpus and runtime, which are known."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is not between minimum {self.minimum} and maximum {self.maximum}")
        return self


_KNOWN = frozenset({"nodes", "gpus", "runtime"})


class PartitionKind(StrEnum):
    """``batch`` waits in a queue; ``interactive`` runs at once on a login node, without resources."""

    BATCH = "batch"
    INTERACTIVE = "interactive"


class Partition(Section):
    """A partition of a system."""

    label: str = ""
    description: str = ""
    kind: PartitionKind = PartitionKind.BATCH
    queue: str = ""
    """Name of the queue at the site; empty: the partition's key."""
    login_node: str = ""
    """Interactive only: pattern of login nodes for UNICORE's ``Login node``, e.g. ``login*``."""
    resources: dict[Key, Resource] = {}
    """By key; ``nodes``, ``gpus`` and ``runtime`` (minutes) are known, others need ``unicore``."""

    @model_validator(mode="after")
    def _resources_fit(self) -> Self:
        if self.kind is PartitionKind.INTERACTIVE and self.resources:
            raise ValueError(f"an interactive partition has no resources, not {sorted(self.resources)}")
        unknown = [key for key, resource in self.resources.items() if key not in _KNOWN and not resource.unicore]
        if unknown:
            raise ValueError(f"resources {unknown} need `unicore`, the name in the job description")
        return self


class JumpHost(Section):
    """An SSH server in front of the labs of a system."""

    host: HostName
    port: int = Field(default=22, ge=1, le=65535)
    user: str = "ljupyter"
    host_key: str
    """The pinned public key, ``ssh-ed25519 AAAA…``. Another key is refused."""


class SystemKind(StrEnum):
    """Which site driver serves the system."""

    UNICORE = "unicore"


class Unicore(Section):
    """How a system is reached through UNICORE."""

    url: HttpUrl
    """The REST base, ``https://host:port/SITE/rest/core``."""
    ca_file: str = ""
    """PEM file of the authority that signed the server's certificate; empty: the machine's own set."""
    notifications: bool = True
    """Register for the site's notifications. Off where the site cannot reach the manager."""
    hub_connect_url: str = ""
    """How labs of this system reach the hub, if not by its usual address."""


class System(Section):
    """A place where labs run."""

    label: str
    description: str = ""
    kind: SystemKind = SystemKind.UNICORE
    manager: Key
    """Which of ``managers`` serves it."""
    order: int = 0
    """Systems with smaller numbers stand first."""
    unicore: Unicore
    jump_hosts: dict[Key, JumpHost] = Field(min_length=1)
    lab_hosts: list[str] = Field(min_length=1)
    """Where labs may listen: host name patterns (``jwc*``) or networks (``10.1.0.0/16``)."""
    account_keys: dict[str, list[Key]]
    """The second field of a user's HPC account entries → the partitions that it opens."""
    partitions: dict[Key, Partition] = Field(min_length=1)

    def allows_host(self, host: str) -> bool:
        """Tell whether a lab of this system may listen on *host*; the second line behind the allocation."""
        return any(_matches(host, pattern) for pattern in self.lab_hosts)


class ServiceOption(Section):
    """Something that can be started: a JupyterLab version or another stack."""

    label: str
    description: str = ""
    systems: list[Key] | None = None
    """Where it exists; None: on every system."""
    python: str = "python3"
    """The interpreter that runs launcher and server, after ``setup``."""
    setup: list[str] = []
    """Shell lines before the launcher, e.g. ``module load Jupyter``."""
    default: bool = False


class Service(Section):
    """Another service of ours."""

    url: HttpUrl


class Configuration(Section):
    """The whole tree."""

    hub: Key
    """Name of this portal; part of every lab id, so it never changes."""
    support: str = "the support team"
    """Whom users should ask; a mail address or a name."""
    identity_providers: dict[Key, IdentityProvider] = Field(min_length=1)
    managers: dict[Key, Service]
    tunnelmgr: Service
    systems: dict[Key, System]
    options: Annotated[dict[Key, ServiceOption], Field(min_length=1)]

    @model_validator(mode="after")
    def _references(self) -> Self:
        mistakes = []
        for name, system in self.systems.items():
            if system.manager not in self.managers:
                mistakes.append(f"systems.{name}.manager: {system.manager!r} is none of {sorted(self.managers)}")
            mistakes += [
                f"systems.{name}.account_keys.{key}: {partition!r} is none of {sorted(system.partitions)}"
                for key, partitions in system.account_keys.items()
                for partition in partitions
                if partition not in system.partitions
            ]
        for name, option in self.options.items():
            mistakes += [
                f"options.{name}.systems: {system!r} is none of {sorted(self.systems)}"
                for system in option.systems or []
                if system not in self.systems
            ]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self


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
