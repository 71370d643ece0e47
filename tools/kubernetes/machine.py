# SPDX-License-Identifier: BSD-3-Clause
"""What this machine has and lacks: root, Debian's packages, Go, network namespaces."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.kubernetes.places import BIN

PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}
"""The Debian package of each command."""


def run(*command: str, stdin: str | None = None, **environment: str) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(
        command, input=stdin, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {(done.stderr or done.stdout)[-3000:].strip()}")
    return done.stdout


def write(path: Path, text: str) -> None:
    """Leave *text* in the file; one that has it already is not touched, for kube-proxy ends when its file changes."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def missing_packages() -> list[str]:
    """Debian packages whose command is not here."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [package for command, package in PACKAGES.items() if shutil.which(command, path=path) is None]


def install_packages() -> None:
    """Install what is missing where this is possible: as root on Debian."""
    missing = missing_packages()
    if not missing or os.geteuid() or shutil.which("apt-get") is None:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", **quiet)
    run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing, **quiet)


def lacks() -> str:
    """Why no cluster can run here, in one sentence; empty if one can. Packages are installed where that is possible."""
    if sys.platform != "linux":
        return "a cluster of its own needs Linux"
    if os.geteuid():
        return "a cluster of its own needs root, for network namespaces, mounts and cgroups"
    install_packages()
    if missing := missing_packages():
        return f"a cluster of its own needs the packages {', '.join(missing)}"
    if not (BIN / "kubelet").exists() and shutil.which("go") is None:
        return f"a cluster of its own needs Go, to compile Kubernetes into {BIN} once"
    return ""
