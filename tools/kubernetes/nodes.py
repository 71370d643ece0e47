# SPDX-License-Identifier: BSD-3-Clause
"""What runs on each node: containerd, kubelet and kube-proxy, with folders, sockets and a cgroup of the node's own."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.kubernetes import certificates
from tools.kubernetes.control_plane import DNS
from tools.kubernetes.machine import run, write
from tools.kubernetes.network import address, inside, pod_network
from tools.kubernetes.places import BIN, STATE
from tools.kubernetes.processes import start, until

PAUSE = "jupyter-jsc/pause:1"
POD_NETWORK = "jsc-pods"
_CGROUPS = Path("/sys/fs/cgroup")
_PLUGINS = "/usr/lib/cni"


def start_runtime(node: str) -> None:
    """Leave containerd of *node* running and answering."""
    folder = STATE / node
    for name in ("cni", "kubelet", "plugins", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write(folder / "containerd.toml", _CONTAINERD.format(folder=folder, pause=PAUSE, plugins=_PLUGINS))
    write(folder / "cni" / "10-pods.conflist", json.dumps(_pod_links(node)))
    start(
        f"containerd-{node}",
        node,
        [shutil.which("containerd") or "containerd", "--config", str(folder / "containerd.toml")],
    )
    if not until((folder / "containerd.sock").exists, 30):
        raise SystemExit(f"containerd of {node} does not answer; its log is {STATE}/logs/containerd-{node}.log")


def start_node(node: str) -> None:
    """Leave kubelet and kube-proxy of *node* running."""
    folder = STATE / node
    for cgroup in cgroups(node):
        _make_cgroup(cgroup)
    write(folder / "resolv.conf", f"nameserver {DNS}\n")
    write(folder / "kubelet.json", json.dumps(_kubelet(node)))
    write(folder / "kube-proxy.json", json.dumps(_kube_proxy(node)))
    kubelet = {
        "config": folder / "kubelet.json",
        "kubeconfig": certificates.kubeconfig(f"system:node:{node}"),
        "root-dir": folder / "kubelet",
        "cert-dir": folder / "kubelet" / "pki",
        "hostname-override": node,
        "node-ip": address(node),
    }
    start(f"kubelet-{node}", node, [str(BIN / "kubelet"), *(f"--{name}={value}" for name, value in kubelet.items())])
    start(f"kube-proxy-{node}", node, [str(BIN / "kube-proxy"), f"--config={folder / 'kube-proxy.json'}"])


def import_image(node: str, archive: Path) -> None:
    """Leave the image of an OCI archive in the store of *node*."""
    socket = str(STATE / node / "containerd.sock")
    with inside(node):
        run("ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", str(archive))


def has_image(node: str, image: str) -> bool:
    """Whether *node* has *image*."""
    socket = str(STATE / node / "containerd.sock")
    found = run("ctr", "--address", socket, "--namespace", "k8s.io", "images", "list", "--quiet")
    return image in found.split()


def cgroups(node: str) -> Iterator[Path]:
    """The cgroup of *node* in each hierarchy."""
    if (_CGROUPS / "cgroup.controllers").exists():
        yield _CGROUPS / f"jsc-{node}"
        return
    for hierarchy in _CGROUPS.iterdir():
        if hierarchy.is_dir() and not hierarchy.is_symlink():
            yield hierarchy / f"jsc-{node}"


def _make_cgroup(path: Path) -> None:
    """Make a cgroup; one of cpusets is empty until it is told its processors, and nothing starts in it before."""
    path.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists() and (path.parent / name).exists():
            (path / name).write_text((path.parent / name).read_text())


def _pod_links(node: str) -> dict[str, object]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": pod_network(node)}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": addresses | {"dataDir": str(STATE / node / "addresses")},
    }
    return {"cniVersion": "0.4.0", "name": POD_NETWORK, "plugins": [bridge]}


def _kubelet(node: str) -> dict[str, object]:
    folder = STATE / node
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(certificates.FOLDER / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/jsc-{node}",
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{folder / 'containerd.sock'}",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "2s",
        "podLogsDir": str(folder / "logs"),
        "registerWithTaints": [],
        "resolvConf": str(folder / "resolv.conf"),
        "volumePluginDir": str(folder / "plugins"),
    }


def _kube_proxy(node: str) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(certificates.kubeconfig("system:kube-proxy"))},
        "clusterCIDR": "10.244.0.0/16",
        "conntrack": {"maxPerCore": 0, "min": 0},
        "hostnameOverride": node,
        "mode": "iptables",
        "iptables": {"minSyncPeriod": "0s"},
    }


def own_mounts() -> list[str]:
    """What is mounted below the state folder, deepest first."""
    found = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    decoded = [re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), path) for path in found]
    return sorted((path for path in decoded if path.startswith(f"{STATE}/")), key=len, reverse=True)


_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/run"
imports = []
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/{pause}"
netns_mounts_under_state_dir = true
# root of a machine like CI's lacks CAP_SYS_RESOURCE; without this line no sandbox starts there
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{folder}/runc"
"""
