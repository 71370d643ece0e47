# SPDX-License-Identifier: BSD-3-Clause
"""The values of ``charts/k8smgr``: what an operator says of a cluster that shall run labs.

:mod:`.write` makes ``values.yaml`` and ``values.schema.json`` from it; the docstring beneath a field is what both say of
it. What depends on several values is checked by ``templates/_checks.tpl``.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
Network = Annotated[str, Field(pattern=rf"^({_OCTET}\.){{3}}{_OCTET}/(3[0-2]|[12]?[0-9])$")]
Port = Annotated[int, Field(ge=1, le=65535)]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
ObjectName = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$", max_length=253)]
"""The name of an object in the cluster; empty where there is none."""
HostName = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$", max_length=253)]
HubName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")]
"""The name becomes the value of a label, so it is shorter than elsewhere."""
Image = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=500)]
PublicKey = Annotated[
    str,
    Field(pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]+={0,3}( [A-Za-z0-9@._ -]*)?$"),
]
Resources = dict[str, dict[str, str | int]]


class Values(BaseModel):
    """Base of all parts: unknown values are refused, names are written as Helm's are."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, alias_generator=to_camel, populate_by_name=True
    )


class PullPolicy(StrEnum):
    """When a node fetches an image."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"
    NEVER = "Never"


class Images(Values):
    """Which images run; built from images/ and pushed to a registry of yours."""

    k8smgr: Image = Field(default="localhost/jupyter-jsc/k8smgr:0.1.0", alias="k8smgr")
    """K8sMgr and what follows the configuration. A full reference; a digest pins it."""
    ssh: Image = "localhost/jupyter-jsc/ssh:0.1.0"
    """The SSH service."""
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When a node fetches them."""
    pull_secrets: list[ObjectName] = []
    """Secrets with the registry's credentials."""


class Hub(Values):
    """A portal that starts labs here."""

    ssh_keys: list[PublicKey] = Field(min_length=1)
    """Public keys of its TunnelMgr, each `ssh-ed25519 AAAA…`, without options: they may forward and nothing else."""
    forward_port: int = Field(default=8081, ge=1024, le=65535)
    """The port of the JHub forward, by which labs reach this hub: http://jhub.NAMESPACE.svc:PORT. Another one for each
    hub."""
    api_url: str = Field(default="", pattern=r"^(https?://[^\s]+/hub/api)?$")
    """How K8sMgr itself reaches the hub's API; empty: through the JHub forward."""


class Access(StrEnum):
    """How a repository is opened."""

    NONE = "none"
    SSH = "ssh"
    HTTPS = "https"


class Git(Values):
    """The portal's configuration as a git repository, which is followed."""

    repository: str = Field(default="", pattern=r"^([^-\s][^\s]*)?$")
    """Its address: `https://…`, `ssh://…` or `user@host:path`. Empty: configuration.files is used."""
    branch: str = "main"
    """The branch that is in force."""
    interval_seconds: int = Field(default=60, ge=1, le=86400)
    """Seconds between two looks at it."""
    access: Access = Access.NONE
    """What opens it. `ssh`: entries `ssh-key` and `known_hosts` of the secret; `https`: entry `credentials`, one line
    `https://user:password@host`."""
    secret: ObjectName = ""
    """The Secret with these entries."""
    authority: str = ""
    """PEM of the authority that signed the server's certificate; empty: the public ones."""


class Configuration(Values):
    """Where the portal's configuration comes from: git or files, one of both."""

    git: Git = Git()
    """A git repository, which is followed."""
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.ya?ml$")], str] = {}
    """For sites without git: name of a file → its text. `--set-file` puts a file in."""


class Expose(StrEnum):
    """How the portal reaches K8sMgr."""

    INGRESS = "ingress"
    LOAD_BALANCER = "loadBalancer"
    NONE = "none"


class Ingress(Values):
    """The ingress, if there is one."""

    class_name: ObjectName = ""
    """Its class; empty: the cluster's default."""
    annotations: dict[str, str] = {}
    """What its controller or cert-manager wants."""


class Balancer(Values):
    """A Service of type LoadBalancer."""

    annotations: dict[str, str] = {}
    """What the cloud wants, such as a fixed address."""
    allow_from: list[Network] = []
    """The networks that may connect, such as the portal's; empty: any."""


class Manager(Values):
    """K8sMgr."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = "k8smgr"
    """Its name among `managers` of the configuration; it serves the systems with this manager."""
    replicas: int = Field(default=2, ge=1, le=20)
    """How many run; they keep no state, and any of them answers for all labs."""
    secret: ObjectName = "k8smgr"
    """The Secret with `callers.yaml` (hub: SHA-256 of the token that it comes with) and, for each hub, `HUB.token` (the
    token that K8sMgr comes with to that hub)."""
    expose: Expose = Expose.INGRESS
    """How the portal reaches it: `ingress`; `loadBalancer`, where K8sMgr speaks TLS itself; `none`: by the Service
    `k8smgr` alone, for portals in the same network."""
    host: HostName = ""
    """Its name in the network, for which the certificate is made, e.g. `k8smgr.cloud.example.org`."""
    tls_secret: ObjectName = ""
    """The Secret (kubernetes.io/tls) with certificate and key for that name."""
    ingress: Ingress = Ingress()
    """Used where `expose` is `ingress`."""
    load_balancer: Balancer = Balancer()
    """Used where `expose` is `loadBalancer`."""
    resources: Resources = {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}
    """Requests and limits of its container."""


class Ssh(Values):
    """The SSH service, the jump host of the portal's tunnels."""

    host_key_secret: ObjectName = "k8smgr-ssh"
    """The Secret whose entry `ssh_host_ed25519_key` is the private host key; the portal pins the public one."""
    port: Port = 22
    """The port that is reached from outside."""
    load_balancer: Balancer = Balancer()
    """The Service in front of it."""
    resources: Resources = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    """Requests and limits of its container; each connection takes some 5 MB."""


class PodSecurity(StrEnum):
    """A level of the Pod Security Standards."""

    RESTRICTED = "restricted"
    BASELINE = "baseline"
    PRIVILEGED = "privileged"


class Egress(Values):
    """What labs may reach outside of the cluster."""

    to: Network
    """A network, e.g. `192.0.2.0/24`; `0.0.0.0/0` is all of the internet. The cluster's own networks and link-local
    addresses are left out of it always."""
    ports: list[Port] = []
    """TCP ports; empty: every port of every protocol."""


class Labs(Values):
    """The namespace of the labs."""

    namespace: DnsLabel = "userlabs"
    """Its name, the same as in the system's `kubernetes.namespace` of the configuration."""
    create_namespace: bool = True
    """Whether this chart makes it. It stays when the release is uninstalled: the homes of users lie in it."""
    pod_security: PodSecurity = PodSecurity.RESTRICTED
    """The level of the Pod Security Standards that is enforced in it; the portal's own template passes `restricted`."""
    quota: dict[str, str | int] = {}
    """`spec.hard` of its ResourceQuota, e.g. `requests.memory: 200Gi`; empty: none."""
    limits: list[dict[str, Any]] = []
    """`spec.limits` of its LimitRange; empty: none."""
    egress: list[Egress] = []
    """What labs may reach besides DNS and their hub; empty: nothing. IPv4 only; what is more special stands in a
    NetworkPolicy of your own."""


class Dns(Values):
    """The cluster's name service."""

    namespace: DnsLabel = "kube-system"
    """Its namespace."""
    pod_labels: dict[str, str] = {}
    """Labels of its pods; empty: `k8s-app: kube-dns`, which nearly all clusters have."""
    networks: list[Network] = []
    """Addresses besides these pods, e.g. `169.254.20.10/32` of a node-local cache."""


class Api(Values):
    """The API server, as pods reach it once its Service is translated."""

    networks: list[Network] = []
    """Its addresses, e.g. `10.0.0.5/32`; empty: any but link-local ones."""
    ports: list[Port] = Field(default=[443, 6443], min_length=1)
    """Its ports."""


class Cluster(Values):
    """What the network policies must know of the cluster."""

    networks: list[Network] = []
    """The networks of pods, Services and nodes, and of the API server. Needed if labs may reach anything outside:
    these are left out."""
    dns: Dns = Dns()
    """The name service."""
    api: Api = Api()
    """The API server."""


class K8sMgr(Values):
    """Values of the chart k8smgr: K8sMgr, its SSH service and the namespace of the labs."""

    images: Images = Images()
    """Which images run."""
    hubs: dict[HubName, Hub] = {}
    """The portals that start labs here, by the name of their hub (`hub` of the configuration); at least one."""
    configuration: Configuration = Configuration()
    """Where the portal's configuration comes from: git or files, one of both."""
    manager: Manager = Manager()
    """K8sMgr."""
    ssh: Ssh = Ssh()
    """The SSH service, the jump host of the portal's tunnels."""
    labs: Labs = Labs()
    """The namespace of the labs."""
    cluster: Cluster = Cluster()
    """What the network policies must know of the cluster."""
    global_: dict[str, Any] = Field(default={}, alias="global")
    """Of a parent chart; not used here."""
