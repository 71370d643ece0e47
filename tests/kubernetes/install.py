# SPDX-License-Identifier: BSD-3-Clause
"""K8sMgr installed into the cluster by its chart, as an operator does it."""

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jupyter_jsc.demo import login
from jupyter_jsc.demo.folder import Folder
from jupyter_jsc.service import token_hash
from tests import tls
from tests.kubernetes.cloud import QUOTA_GB
from tests.kubernetes.cluster import LABS, RELEASE, Cluster
from tests.kubernetes.gitserver import GitServer

CHART = Path("charts/k8smgr")


@dataclass(frozen=True)
class Installed:
    """Where the release is reached, and by what it is known."""

    manager: str
    authority: Path
    ssh: str
    host_key: str
    other_token: str
    """The credential of a second hub."""


async def install(cluster: Cluster, folder: Folder, git: GitServer | None, work: Path) -> Installed:
    """Return the release, with the Secrets that the portal of *folder* needs; an earlier one is gone."""
    for namespace in (RELEASE, LABS):
        await cluster.without_namespace(namespace)
    await cluster.restricted(RELEASE)
    host_key, public = login.generate_key()
    _private, other_key = login.generate_key()
    other_token = secrets.token_hex(16)
    values = work / "values.yaml"
    tree = _values((folder.file("keys/tunnelmgr.pub")).read_text("ascii"), other_key, folder, git)
    values.write_text(yaml.safe_dump(tree), "utf-8")
    helm("install", RELEASE, str(CHART), "--namespace", RELEASE, "--values", str(values))
    await cluster.secret("k8smgr-ssh", {"ssh_host_ed25519_key": _text(host_key)})
    callers = {"demo": _read(folder, "hub-to-k8smgr"), "other": other_token}
    tokens = {name: token_hash(token) for name, token in callers.items()}
    hub_tokens = {"demo.token": _read(folder, "k8smgr-to-hub"), "other.token": secrets.token_hex(16)}
    await cluster.secret("k8smgr", {"callers.yaml": yaml.safe_dump(tokens), **hub_tokens})
    if git is not None:
        await cluster.secret("configuration-git", {"ssh-key": git.key, "known_hosts": git.known_hosts})
    address = await cluster.address("k8smgr")
    authority, _context = tls.authority(work, address=address)
    pair = {"tls.crt": authority.read_text("ascii"), "tls.key": (work / "key.pem").read_text("ascii")}
    await cluster.secret("k8smgr-tls", pair, kind="kubernetes.io/tls")
    for deployment in ("ssh", "k8smgr"):
        await cluster.ready(deployment)
    return Installed(f"https://{address}", authority, await cluster.address("ssh"), _text(public).strip(), other_token)


def helm(*arguments: str) -> str:
    """Run Helm on the cluster and return what it prints."""
    command = [shutil.which("helm") or "helm", *arguments]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _values(key: str, other_key: Any, folder: Folder, git: GitServer | None) -> dict[str, Any]:
    if git is not None:
        source = {"git": {"repository": git.url, "access": "ssh", "secret": "configuration-git", "intervalSeconds": 5}}
    else:
        files = sorted((folder.published / "current").resolve().rglob("*.yaml"))
        source = {"files": {"-".join(file.parts[-2:]): file.read_text("utf-8") for file in files}}
    return {
        "hubs": {
            "demo": {"sshKeys": [key.strip()]},
            "other": {"sshKeys": [_text(other_key).strip()], "forwardPort": 8082},
        },
        "configuration": source,
        "manager": {"expose": "loadBalancer", "host": "k8smgr.test", "tlsSecret": "k8smgr-tls"},
        "labs": {"namespace": LABS, "quota": {"limits.memory": f"{QUOTA_GB}Gi"}},
    }


def _read(folder: Folder, name: str) -> str:
    return folder.file(f"keys/{name}").read_text("ascii").strip()


def _text(content: bytes | str) -> str:
    return content if isinstance(content, str) else content.decode("ascii")
