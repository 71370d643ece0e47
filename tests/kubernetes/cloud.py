# SPDX-License-Identifier: BSD-3-Clause
"""The cloud system of the configuration as these tests need it: small labs, and options that fail each in its own way."""

import copy
from typing import Any

import yaml

from jupyter_jsc.config import load
from jupyter_jsc.demo.folder import Folder
from tests.kubernetes.cluster import LABS, RELEASE
from tests.ring.centre import Centre

SYSTEM = "hdf-cloud"
LAB_IMAGE = "localhost/jupyter-jsc/lab:0.1.0"
QUOTA_GB = 48
TOO_LARGE_FOR_QUOTA, TOO_LARGE_FOR_NODES = 64, 46
MEMORY_GB = 2


def options(option: str = "cloud", **resources: int) -> dict[str, Any]:
    """Return the options of a small lab in the cloud."""
    chosen = {"cpus": 1, "memory": MEMORY_GB, "home": 10, "runtime": 60} | resources
    return {"system": SYSTEM, "option": option, "partition": "standard", "image": "lab", "resources": chosen}


def configure(centre: Centre) -> None:
    """Write the system and its options into the working tree."""
    system = {
        "label": "Cloud",
        "kind": "kubernetes",
        "kubernetes": {"namespace": LABS, "allow": ["privileged", "capabilities"]},
        "manager": "k8smgr",
        "default_partitions": ["standard"],
        "max_labs_per_user": 200,
        "partitions": {"standard": {"label": "Standard", "kind": "interactive", "resources": _RESOURCES}},
    }
    _write(centre, f"systems/{SYSTEM}.yaml", {"systems": {SYSTEM: system}})
    with centre.edited("options.yaml") as tree:
        tree["options"]["jupyterlab-4.6"].pop("container", None)
    _write(centre, "tests.yaml", {"options": _options()})
    with centre.edited("groups.yaml") as tree:
        for group in tree["groups"].values():
            group.get("systems", {}).pop(SYSTEM, None)
    with centre.edited("portal.yaml") as tree:
        tree["max_labs_per_user"] = 200
    (centre.path / "machine-learning.yaml").unlink(missing_ok=True)
    load.load(centre.path)


def connect(centre: Centre, folder: Folder, *, manager: str, authority: str, ssh: str, host_key: str) -> None:
    """Write where the cluster's K8sMgr and SSH service are."""
    with centre.edited("addresses.yaml") as tree:
        tree["managers"]["k8smgr"] = {"url": manager, "ca_file": authority, "timeout_s": 30}
        tree["systems"][SYSTEM] = {
            "hub_urls": [f"http://jhub.{RELEASE}.svc:8081"],
            "jump_hosts": {
                "cloud-ssh": {
                    "host": ssh,
                    "user": "ljupyter",
                    "host_key": host_key,
                    "hub_forward": {"listen_port": 8081},
                }
            },
            "lab_hosts": [f"svc-*.{LABS}.svc"],
        }


_RESOURCES = {
    name: {"label": name, "minimum": 1, "maximum": most, "default": usual}
    for name, most, usual in (("cpus", 4, 1), ("memory", 64, MEMORY_GB), ("home", 20, 10), ("runtime", 600, 60))
}


def _write(centre: Centre, name: str, tree: object) -> None:
    (centre.path / name).write_text(yaml.safe_dump(tree, sort_keys=False), "utf-8")


def _options() -> dict[str, Any]:
    def option(label: str, image: str = LAB_IMAGE, manifests: list[Any] | None = None) -> dict[str, Any]:
        container = {"images": {"lab": {"label": "Lab", "image": image}}, "manifests": manifests or []}
        return {"label": label, "order": 90, "allowed": {"systems": [SYSTEM]}, "container": container}

    return {
        "cloud": option("Cloud lab"),
        "absent": option("Image that is nowhere", image="localhost/jupyter-jsc/absent:1"),
        "hungry": option("Takes more memory than it may", manifests=_plain(["/usr/bin/python3", "-c", _HUNGRY])),
        "refused": option("Wants what the cluster forbids", manifests=_plain(["/bin/true"], privileged=True)),
        "idle": option("Does nothing", manifests=_plain(["/bin/sleep", "3600"])),
    }


_HUNGRY = "import time; time.sleep(1); taken = b'x' * (1 << 30); time.sleep(600)"


def _plain(command: list[str], *, privileged: bool = False) -> list[dict[str, Any]]:
    """The objects of a lab without a home that runs *command* in 64 MiB."""
    small = {"cpu": "5m", "memory": "64Mi"}
    security = (
        {"privileged": True} if privileged else {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    )
    container = {
        "name": "lab",
        "image": "${image}",
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"requests": small, "limits": {"memory": "64Mi"}},
        "securityContext": security,
        "volumeMounts": [{"name": "jsc", "mountPath": "/jsc", "readOnly": True}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "jsc", "secret": {"secretName": "${secret}", "defaultMode": 0o400}}],
    }
    kinds = {"Secret": {}, "Service": {"spec": {"type": "ClusterIP"}}, "Pod": {"spec": pod}}
    return [{"apiVersion": "v1", "kind": kind, **copy.deepcopy(rest)} for kind, rest in kinds.items()]
