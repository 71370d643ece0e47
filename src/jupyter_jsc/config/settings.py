# SPDX-License-Identifier: BSD-3-Clause
"""Settings of one deployed process: where it listens, whom it trusts, where its secrets lie.

Read from one YAML file at start by ``cli``. What a centre offers stands in :mod:`.model` instead.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, HttpUrl, model_validator

from jupyter_jsc.config.base import Section
from jupyter_jsc.wire import Key


class Listening(Section):
    """What every process of ours needs that answers over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    configuration: Path
    """Folder of the configuration."""
    certificate_file: Path | None = None
    """PEM file of its own certificate and those between it and the authority. None: plain HTTP, for loopback or behind
    something that speaks TLS."""
    key_file: Path | None = None
    """PEM file of the certificate's private key."""

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together: give both or neither")
        return self


class ServiceSettings(Listening):
    """What every REST service of ours needs."""

    callers_file: Path
    """YAML: name of the calling service → SHA-256 of its token, hexadecimal. Read again when it changes."""


class HubPeer(Section):
    """A hub that a manager reports to."""

    api_url: str
    """E.g. ``https://portal/hub/api``."""
    token_file: Path
    """The token that the hub knows this manager by."""


class ManagerSettings(ServiceSettings):
    """UnicoreMgr, and what K8sMgr shares with it."""

    name: Key | None = None
    """Its name among the configuration's ``managers``: it serves the systems that name it. None: every system of the
    kinds that it has a driver for."""
    public_url: str = ""
    """How sites reach this manager for notifications; needed by UnicoreMgr."""
    hubs: dict[Key, HubPeer]
    """The hubs that it reports to, by the names that the callers file and the hubs' own configuration give them."""


class K8sMgrSettings(ManagerSettings):
    """K8sMgr."""

    kubeconfig: Path | None = None
    """How the cluster's API is reached; None: as the service account of the pod that it runs in."""


class TunnelMgrSettings(ServiceSettings):
    """TunnelMgr."""

    database: Path
    """SQLite file of the endpoint records."""
    runtime_dir: Path
    """Folder (0700) of control sockets and known_hosts; keep the path short (Unix sockets: 108 bytes)."""
    identity_file: Path
    """The private key for the jump hosts."""
    ssh: str = "ssh"
    """The OpenSSH client."""
    endpoint_host: str = "127.0.0.1"
    """Address that the listeners bind to, and that the proxy connects to."""
    hub_address: str = Field(
        default="", pattern=r"^(\[[0-9A-Fa-f:]+\]:[0-9]{1,5}|[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5})?$"
    )
    """``host:port`` of the hub itself (not of the proxy) as TunnelMgr reaches it: where the ways back from jump hosts
    (``hub_forward`` in the configuration) lead. Empty: none is opened."""
    first_port: int = Field(ge=1024, le=65535)
    last_port: int = Field(ge=1024, le=65535)
    """Exclusive range of the listeners, outside the kernel's range of ephemeral ports."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first_port > self.last_port:
            raise ValueError(f"first_port {self.first_port} is above last_port {self.last_port}")
        return self


class HubSettings(Section):
    """What our part of the hub needs beside JupyterHub's own settings."""

    configuration: Path
    manager_token_files: dict[Key, Path]
    """Manager → file with the token that it knows this hub by."""
    tunnelmgr_token_file: Path
    poll_interval_s: float = Field(default=10.0, gt=0)
    """How often the supervisor asks each manager about all labs."""


class DashboardSettings(Listening):
    """The dashboard."""

    base_url: str = Field(default="/", pattern=r"^/([A-Za-z0-9._~-]+/)*$")
    """The hub's ``base_url``: the path of the whole portal as browsers see it."""
    hub_api_url: HttpUrl
    """The hub's API, e.g. ``http://hub:8081/hub/api``."""
    hub_token_file: Path
    """The token that the hub knows the dashboard by."""
    manager_token_files: dict[Key, Path]
    """Manager → file with the token that it knows the dashboard by."""
    tunnelmgr_token_file: Path
