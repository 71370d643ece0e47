# SPDX-License-Identifier: BSD-3-Clause
"""The demo's cloud: one Kubernetes cluster with a namespace for each system in it, and the SSH services in front.

Put together by :mod:`.world`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import SecretStr

from jupyter_jsc.config.clusters import LAB_PORT
from jupyter_jsc.demo import login
from jupyter_jsc.demo.centre import Cloud
from jupyter_jsc.demo.kubernetes import Cluster, ClusterSettings, Namespace, Node, User, create_cluster
from jupyter_jsc.demo.software import Software

_RIGHTS = {
    "pods": frozenset({"get", "list", "watch", "create", "delete"}),
    "pods/log": frozenset({"get"}),
    "secrets": frozenset({"get", "create", "delete"}),
    "services": frozenset({"create", "patch"}),
    "persistentvolumeclaims": frozenset({"get", "create", "patch"}),
    "events": frozenset({"list", "watch"}),
}
"""What the chart of K8sMgr grants it."""
_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "4"}


def create(scratch: Path, token: SecretStr, clouds: Collection[Cloud], programs: Software) -> Cluster:
    """Return the cluster of these systems, with an account for K8sMgr."""
    return create_cluster(
        ClusterSettings(
            scratch=scratch,
            tokens={token.get_secret_value(): User("system:serviceaccount:k8smgr:k8smgr", _RIGHTS)},
            namespaces=tuple(Namespace(name) for name in sorted({cloud.namespace for cloud in clouds})),
            nodes=tuple(Node(f"worker{number}", _CAPACITY, f"127.49.1.{number}") for number in (1, 2)),
            path=programs.path,
            environment={"SHELL": "/bin/bash"},
        )
    )


def ssh_service(cloud: Cloud, cluster: Cluster, ports: Mapping[str, int], keys: Path) -> login.LoginNode:
    """Return the SSH service of a system: it forwards to the labs' port only, and listens for the way back to the hub."""
    ssh, back = cloud.ports

    def resolve(host: str, port: int) -> str | None:
        inside = host.endswith(f".{cloud.namespace}.svc") and port == LAB_PORT
        return cluster.target(host, port) if inside else None

    return login.LoginNode(
        cloud.ssh.address,
        ports[ssh],
        host_key=(keys / ssh).read_bytes(),
        authorized_key=(keys / "tunnelmgr.pub").read_text("ascii"),
        resolve=resolve,
        listen=(cloud.ssh.address, ports[back]),
    )
