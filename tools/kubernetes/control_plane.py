# SPDX-License-Identifier: BSD-3-Clause
"""etcd, API server, controllers, scheduler and CoreDNS: processes of the first node."""

import json
import shutil

from tools.kubernetes import certificates
from tools.kubernetes.network import address
from tools.kubernetes.places import AUDIT, BIN, STATE
from tools.kubernetes.processes import start

SERVICES = "10.96.0.0/16"
DNS = "10.96.0.10"
_ETCD = "http://127.0.0.1:2379"


def start_all() -> None:
    """Leave every process of the control plane running."""
    keys = certificates.FOLDER
    (STATE / "logs").mkdir(exist_ok=True)
    (STATE / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
    (STATE / "Corefile").write_text(
        _COREFILE.format(address=address("node1"), kubeconfig=certificates.kubeconfig("admin"))
    )
    start("etcd", "node1", [shutil.which("etcd") or "etcd", *_flags(_etcd())], ETCD_UNSUPPORTED_ARCH="arm64")
    start("kube-apiserver", "node1", [str(BIN / "kube-apiserver"), *_flags(_apiserver())])
    controllers = {
        "kubeconfig": certificates.kubeconfig("system:kube-controller-manager"),
        "service-account-private-key-file": keys / "accounts.key",
        "root-ca-file": keys / "ca.crt",
        "use-service-account-credentials": "true",
        "leader-elect": "false",
        # A lost node is seen after seconds, where the default takes 50.
        "node-monitor-grace-period": "8s",
        "node-monitor-period": "2s",
    }
    start("kube-controller-manager", "node1", [str(BIN / "kube-controller-manager"), *_flags(controllers)])
    scheduler = {"kubeconfig": certificates.kubeconfig("system:kube-scheduler"), "leader-elect": "false"}
    start("kube-scheduler", "node1", [str(BIN / "kube-scheduler"), *_flags(scheduler)])
    start("coredns", "node1", [str(BIN / "coredns"), "-conf", str(STATE / "Corefile")])


def _etcd() -> dict[str, object]:
    return {
        "data-dir": STATE / "etcd",
        "listen-client-urls": _ETCD,
        "advertise-client-urls": _ETCD,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "unsafe-no-fsync": "true",
    }


def _apiserver() -> dict[str, object]:
    keys = certificates.FOLDER
    return {
        "advertise-address": address("node1"),
        "etcd-servers": _ETCD,
        "service-cluster-ip-range": SERVICES,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "token-auth-file": keys / "tokens.csv",
        "client-ca-file": keys / "ca.crt",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "kubelet-client-certificate": keys / "apiserver-to-kubelet.crt",
        "kubelet-client-key": keys / "apiserver-to-kubelet.key",
        # Names of nodes are in no name service here.
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-signing-key-file": keys / "accounts.key",
        "service-account-key-file": keys / "accounts.pub",
        "allow-privileged": "true",
        "default-not-ready-toleration-seconds": "60",
        "default-unreachable-toleration-seconds": "60",
        "audit-policy-file": STATE / "audit-policy.json",
        "audit-log-path": AUDIT,
    }


def _flags(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}
"""What service accounts of installed programs ask for is recorded, so that it can be compared with their rights."""

_COREFILE = """\
.:53 {{
    bind {address}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 2
    }}
    cache 2
}}
"""
