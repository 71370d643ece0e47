# SPDX-License-Identifier: BSD-3-Clause
"""Kubernetes clusters as systems, and what labs are made of there."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from jupyter_jsc.config.base import Section, Text
from jupyter_jsc.wire import Key

LAB_PORT = 8443
"""Where a lab in a cluster listens, and the port of its Service."""


class Privilege(StrEnum):
    """What manifests may not ask for unless the site allows it."""

    HOST_NETWORK = "host_network"
    HOST_PATH = "host_path"
    HOST_PID = "host_pid"
    HOST_IPC = "host_ipc"
    HOST_PORT = "host_port"
    PRIVILEGED = "privileged"
    CAPABILITIES = "capabilities"
    ROOT = "root"
    SERVICE_ACCOUNT = "service_account"


class Cluster(Section):
    """How labs run in a Kubernetes cluster."""

    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)] = "userlabs"
    """The namespace that holds the labs, and nothing else."""
    allow: list[Privilege] = []
    """What manifests of options may ask for here although it weakens the border between a lab and its node."""


class Image(Section):
    """A container image that users choose."""

    label: str
    """Its name for people."""
    description: Text = Text(en="")
    """One sentence: what is in it."""
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=500)]
    """Its full reference, with a tag or a digest, e.g. ``registry.example.org/labs/jupyterlab:4.6``."""


class Container(Section):
    """A service option as it runs in a cluster."""

    images: dict[Key, Image] = Field(min_length=1)
    """What users choose from; the first is chosen for a new lab."""
    manifests: list[dict[str, Any]] = []
    """What a lab is made of: one Pod, one Service, one Secret, and any number of PersistentVolumeClaims, as Kubernetes
    writes them. ``${image}``, ``${memory}`` and the like stand for what the user chose, always as the whole value of an
    entry; empty: the portal's own template."""
