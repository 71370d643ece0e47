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

from jupyter_jsc.config.model import Partition, PartitionKind, ServiceOption, System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.wire import StartLab

_PRIVATE = "rw-------"
_KNOWN = {"nodes": ("Nodes", 1), "runtime": ("Runtime", 60), "gpus": ("GPUS", 1)}
"""Our key → UNICORE's name, and by what the value is multiplied. GPUsPerNode and MemoryPerNode ask Slurm for
nonsense in current servers, so GPUs go through the site's own resource."""
_MEMORY = frozenset({"MemoryPerNode", "Memory"})
_MOST_MEMORY = 2**30
"""In bytes; what is above is lost or changed in the server's arithmetic (UNICORE/X 10.2 to 11.1)."""
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
    wanted: dict[str, str] = {"Queue": partition.queue or str(lab.options.partition)}
    if lab.options.project:
        wanted["Project"] = lab.options.project
    for key, value in lab.options.resources.items():
        name, factor = _KNOWN.get(key, (key, 1))
        wanted[partition.resources[key].unicore or name] = str(value * factor)
    _check_sane(wanted)
    return {"Job type": "BATCH", "Resources": wanted}


def _check_sane(wanted: dict[str, str]) -> None:
    """Raise :class:`InvalidRequest` for what a server would pass on as something else.

    It writes the memory where the number of GPUs belongs, and counts memory in 32 bits.
    """
    memory = _MEMORY & set(wanted)
    large = [name for name in sorted(memory) if int(wanted[name]) > _MOST_MEMORY]
    if large or (memory and "GPUsPerNode" in wanted):
        why = " above 1 GiB" if large else " together with GPUsPerNode"
        raise InvalidRequest(
            f"resources: {', '.join(sorted(memory))}{why} is not possible at this system. Ask the portal's support.",
            field="resources",
        )


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
