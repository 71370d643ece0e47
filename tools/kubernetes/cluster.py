# SPDX-License-Identifier: BSD-3-Clause
"""The cluster as a whole: brought up step by step, each of which may be repeated, and taken down without a trace."""

import contextlib
import hashlib
import json
import shutil
import sys
from pathlib import Path

from tools.kubernetes import api, binaries, certificates, control_plane, images, machine, network, nodes, objects
from tools.kubernetes.places import KUBECONFIG, STATE
from tools.kubernetes.processes import alive, end, kill, names, start, until, with_words

_READY_S = 180
_SYSCTL = Path("/proc/sys")
_CHANGED_BY_KUBELET = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")


def up(count: int) -> None:
    """Leave a cluster of *count* nodes that are ready; one that runs already stays, and gets what it lacks."""
    if reason := machine.lacks():
        raise SystemExit(reason)
    binaries.build_all()
    found = network.node_names(count)
    STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    _remember_settings()
    network.connect(found)
    certificates.write(found)
    for node in found:
        nodes.start_runtime(node)
        if not nodes.has_image(node, f"docker.io/{nodes.PAUSE}"):
            nodes.import_image(node, images.pause_archive())
    control_plane.start_all()
    _wait(api.ready, "the API server is not ready")
    objects.apply_all()
    start("balancer", "node1", [sys.executable, "-m", "tools.kubernetes", "balance"], PYTHONPATH=str(_ROOT))
    for node in found:
        nodes.start_node(node)
    _wait(lambda: set(found) <= api.ready_nodes(), f"not all of {', '.join(found)} are ready")
    shutil.copy(certificates.kubeconfig("admin"), KUBECONFIG)


_ROOT = Path(__file__).resolve().parents[2]


def down() -> None:
    """Leave no process, mount, rule, namespace, cgroup, file or changed setting of the cluster."""
    ordered = ("kubelet", "kube-proxy", "balancer", "coredns", "kube-", "etcd")
    for prefix in ordered:
        for name in names():
            if name.startswith(prefix):
                end(name)
    folders = [folder for number in range(1, 10) for folder in nodes.cgroups(f"node{number}") if folder.exists()]
    until(lambda: not _kill_in(folders), 15)
    for name in names():
        end(name)
    for pid in with_words("containerd-shim", f"{STATE}/"):
        kill(pid)
    until(lambda: not list(with_words("containerd-shim", f"{STATE}/")), 15)
    for path in nodes.own_mounts():
        machine.run("umount", "--lazy", path)
    if Path("/run/netns").exists():
        network.remove()
    for folder in folders:
        _remove_cgroup(folder)
    _restore_settings()
    _remove_files()


def running() -> bool:
    """Whether a cluster runs here."""
    return alive("kube-apiserver")


def _wait(condition: object, problem: str) -> None:
    assert callable(condition)
    if not until(condition, _READY_S):
        dead = [name for name in names() if not alive(name)]
        ended = f"; these processes have ended: {', '.join(dead)}" if dead else ""
        raise SystemExit(f"{problem} after {_READY_S} s{ended}. Logs are in {STATE / 'logs'}.")


def _kill_in(cgroups: list[Path]) -> bool:
    """Kill what runs in *cgroups*; whether there was anything."""
    found = {pid for top in cgroups for file in top.rglob("cgroup.procs") for pid in file.read_text().split()}
    for pid in found:
        kill(int(pid))
    return bool(found)


def _remove_cgroup(top: Path) -> None:
    for folder in sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: len(path.parts))[::-1]:
        folder.rmdir()
    top.rmdir()


def _remember_settings() -> None:
    """Write down what kubelet changes in the kernel of the whole machine."""
    file = STATE / "settings.json"
    if not file.exists():
        file.write_text(json.dumps({name: (_SYSCTL / name).read_text().strip() for name in _CHANGED_BY_KUBELET}))


def _restore_settings() -> None:
    with contextlib.suppress(FileNotFoundError):
        for name, value in json.loads((STATE / "settings.json").read_text()).items():
            (_SYSCTL / name).write_text(value)


def _remove_files() -> None:
    """Remove the state folder, and what containerd, CNI's library and kubelet leave in fixed places."""
    for folder in STATE.glob("node*"):
        for path in (folder / "containerd" / "io.containerd.grpc.v1.cri" / "sandboxes").glob("*"):
            _remove_traces(folder / "containerd.sock", path.name)
    shutil.rmtree(STATE, ignore_errors=True)
    for path in Path("/var/log/containers").glob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    for name in _SHARED_FOLDERS:
        with contextlib.suppress(OSError):
            Path(name).rmdir()


_SHARED_FOLDERS = (
    *("/var/lib/cni/results", "/var/lib/cni/cache", "/var/lib/cni"),
    *("/var/log/containers", "/run/containerd/s", "/run/containerd"),
)
"""Removed if they are empty: other programs may use them too."""


def _remove_traces(socket: Path, sandbox: str) -> None:
    """Remove the files of a sandbox outside the state folder: what CNI gave it, and the socket of its shim."""
    for path in Path("/var/lib/cni/results").glob(f"*-{sandbox}-*"):
        path.unlink()
    # As containerd names it, of its own address, the namespace of Kubernetes and the sandbox.
    name = hashlib.sha256(f"{socket}/k8s.io/{sandbox}".encode()).hexdigest()
    Path("/run/containerd/s", name).unlink(missing_ok=True)
