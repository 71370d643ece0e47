# SPDX-License-Identifier: BSD-3-Clause
"""A lab → a UNICORE job description (UNICORE REST manual, "job description format"). Pure functions.

Everything comes as inline imports, which UNICORE drops from what it stores: the files of
:mod:`jupyter_jsc.sites.shipment`, which only the account can read.
"""

import re
from typing import Any

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import Partition, PartitionKind, System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.sites import shipment, steps
from jupyter_jsc.sites.steps import Chosen, known
from jupyter_jsc.wire import Options, StartLab

_PRIVATE = "rw-------"
_KNOWN = {"nodes": ("Nodes", 1), "runtime": ("Runtime", 60), "gpus": ("GPUS", 1)}
"""Our key → UNICORE's name, and by what the value is multiplied."""
_MEMORY = frozenset({"MemoryPerNode", "Memory"})
_MOST_MEMORY = 2**30
"""In bytes; what is above is lost or changed in the server's arithmetic (UNICORE/X 10.2 to 11.1)."""
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9:.-]")


def tags(lab: StartLab) -> list[str]:
    """Return the tags that find the job again; ``_`` and blanks would be wildcards or lost."""
    hub = _NOT_IN_TAGS.sub("-", lab.hub)
    return ["jupyter-jsc", f"hub:{hub}", lab.lab_id, lab.start_id]


def description(lab: StartLab, system: System, configuration: Configuration, notification_url: str) -> dict[str, Any]:
    """Return the job description of *lab*; an empty *notification_url* registers for none.

    Raises :class:`~jupyter_jsc.errors.InvalidRequest` for a choice that is not in the configuration.
    """
    chosen = steps.chosen(lab.options, system, configuration)
    return {
        "Name": "jupyterlab",
        "Executable": "/bin/bash",
        "Arguments": ["start.sh"],
        "Umask": "077",
        "Tags": tags(lab),
        "Imports": _imports(lab, system, chosen),
        **_place(lab.options, chosen, configuration),
        **({"NotificationSettings": _notifications(notification_url)} if notification_url else {}),
    }


def _place(options: Options, chosen: Chosen, configuration: Configuration) -> dict[str, Any]:
    """Return where the job runs; on a login node there is nothing to reserve or to ask for."""
    partition = chosen.partition
    if partition.kind is PartitionKind.INTERACTIVE:
        if options.reservation is not None:
            raise InvalidRequest("reservation: not possible in this partition.", field="options.reservation")
        where = {"Login node": partition.login_node} if partition.login_node else {}
        return {"Job type": "ON_LOGIN_NODE", **where}
    wanted: dict[str, str] = {"Queue": partition.queue or str(options.partition)}
    if options.project:
        wanted["Project"] = options.project
    if options.reservation is not None:
        here = {key: one for key, one in configuration.reservations.items() if one.system == options.system}
        known("reservation", options.reservation, here)
        wanted["Reservation"] = options.reservation
    wanted |= _numbers(options, partition)
    for template in chosen.templates:
        wanted |= template.resources
    _check_sane(wanted)
    return {"Job type": "BATCH", "Resources": wanted}


def _check_sane(wanted: dict[str, str]) -> None:
    """Raise :class:`InvalidRequest` for what a server would pass on as something else.

    It writes the memory where the number of GPUs belongs, and counts memory in 32 bits. A template's memory may have a
    unit, and then is more than fits or could be in bytes.
    """
    memory = sorted(_MEMORY & set(wanted))
    large = [name for name in memory if not wanted[name].isdecimal() or int(wanted[name]) > _MOST_MEMORY]
    if large or (memory and "GPUsPerNode" in wanted):
        why = " above 1 GiB" if large else " together with GPUsPerNode"
        raise InvalidRequest(
            f"resources: {', '.join(memory)}{why} is not possible at this system. Ask the portal's support.",
            field="resources",
        )


def _numbers(options: Options, partition: Partition) -> dict[str, str]:
    """Return the values for the batch system; those that only the lab's environment carries stay out."""
    numbers = {}
    for key, value in options.resources.items():
        resource = partition.resources[key]
        name, factor = ("", 1) if resource.environment else _KNOWN.get(key, ("", 1))
        if name := resource.unicore or name:
            numbers[name] = str(value * factor)
    return numbers


def _notifications(url: str) -> dict[str, Any]:
    return {
        "URL": url,
        "status": ["QUEUED", "RUNNING", "SUCCESSFUL", "FAILED"],
        "bssStatus": ["CONFIGURING", "PREEMPTED"],
    }


def _imports(lab: StartLab, system: System, chosen: Chosen) -> list[dict[str, str]]:
    runtime = lab.options.resources.get("runtime") if chosen.partition.kind is PartitionKind.BATCH else None
    files = shipment.files(lab, system, chosen, runtime * 60 if runtime else None)
    return [
        {"From": "inline://dummy", "To": name, "Data": data, "Permissions": _PRIVATE} for name, data in files.items()
    ]
