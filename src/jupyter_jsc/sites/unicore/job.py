# SPDX-License-Identifier: BSD-3-Clause
"""A lab → a UNICORE job description (UNICORE REST manual, "job description format"). Pure functions.

Everything comes as inline imports, which UNICORE drops from what it stores: the launcher, the lab's environment,
and its secrets in a file that only the account can read. Nothing of the user's choice becomes shell text.
"""

import json
import re
import shlex
from importlib import resources
from typing import Any

from jupyter_jsc.config.stacks import ServiceOption
from jupyter_jsc.config.systems import Partition, PartitionKind, System
from jupyter_jsc.wire import StartLab

_PRIVATE = "rw-------"
_KNOWN = {"nodes": ("Nodes", 1), "runtime": ("Runtime", 60), "gpus": ("GPUS", 1)}
"""Our key → UNICORE's name, and by what the value is multiplied. GPUsPerNode and MemoryPerNode ask Slurm for
nonsense in current servers, so GPUs go through the site's own resource."""
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9:.-]")


def tags(lab: StartLab) -> list[str]:
    """Return the tags that find the job again; ``_`` and blanks would be wildcards or lost."""
    hub = _NOT_IN_TAGS.sub("-", lab.hub)
    return ["jupyter-jsc", f"hub:{hub}", lab.lab_id, lab.start_id]


def description(lab: StartLab, system: System, option: ServiceOption, notification_url: str) -> dict[str, Any]:
    """Return the job description of *lab*; an empty *notification_url* registers for none."""
    partition = system.partitions[str(lab.options.partition)]
    return {
        "Name": "jupyterlab",
        "Executable": "/bin/bash",
        "Arguments": ["start.sh"],
        "Umask": "077",
        "Tags": tags(lab),
        "Imports": _imports(lab, partition, option),
        **_place(lab, partition),
        **({"NotificationSettings": _notifications(notification_url)} if notification_url else {}),
    }


def _place(lab: StartLab, partition: Partition) -> dict[str, Any]:
    if partition.kind is PartitionKind.INTERACTIVE:
        where = {"Login node": partition.login_node} if partition.login_node else {}
        return {"Job type": "ON_LOGIN_NODE", **where}
    wanted: dict[str, Any] = {"Queue": partition.queue or lab.options.partition}
    if lab.options.project:
        wanted["Project"] = lab.options.project
    for key, value in lab.options.resources.items():
        name, factor = _KNOWN.get(key, (key, 1))
        wanted[partition.resources[key].unicore or name] = str(value * factor)
    return {"Job type": "BATCH", "Resources": wanted}


def _notifications(url: str) -> dict[str, Any]:
    return {
        "URL": url,
        "status": ["QUEUED", "RUNNING", "SUCCESSFUL", "FAILED"],
        "bssStatus": ["CONFIGURING", "PREEMPTED"],
    }


def _imports(lab: StartLab, partition: Partition, option: ServiceOption) -> list[dict[str, str]]:
    runtime = lab.options.resources.get("runtime") if partition.kind is PartitionKind.BATCH else None
    about = {
        "lab_id": lab.lab_id,
        "start_id": lab.start_id,
        "events_url": lab.events_url,
        "started_url": lab.started_url,
        "env": lab.env,
        "runtime_s": runtime * 60 if runtime else None,
    }
    secret = {name: value.get_secret_value() for name, value in lab.secrets.items()}
    files = {
        "start.sh": start_script(option),
        "launcher.py": _shipped("launcher.py"),
        "jsc_lab.py": _shipped("jsc_lab.py"),
        "lab.json": json.dumps(about),
        "secrets.json": json.dumps(secret),
    }
    return [
        {"From": "inline://dummy", "To": name, "Data": data, "Permissions": _PRIVATE} for name, data in files.items()
    ]


def start_script(option: ServiceOption) -> str:
    """Return ``start.sh``: the operators' lines, then the launcher in the option's interpreter."""
    return "\n".join(["#!/bin/bash", *option.setup, f"exec {shlex.quote(option.python)} launcher.py", ""])


def _shipped(name: str) -> str:
    return resources.files("jupyter_jsc.lab").joinpath(name).read_text("utf-8")
