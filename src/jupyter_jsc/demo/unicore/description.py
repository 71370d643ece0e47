# SPDX-License-Identifier: BSD-3-Clause
"""Reads a job description as the server does: late, and with its own words for what is wrong.

Pure. Called by :mod:`.engine` when a job is processed; the submission itself checks nothing.
"""

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jupyter_jsc.demo.unicore.settings import DemoPartition, Node, SiteSettings

_DEFAULT_STATES = ("RUNNING", "SUCCESSFUL", "FAILED")
_XNJS = "eu.unicore.xnjs.ems.ExecutionException"
_ILLEGAL = ("\n", "\r", "`", "$(")
_UNCHECKED = frozenset({"Reservation", "Project", "NodeConstraints", "QoS", "Exclusive"})
_ALIASES = {"Memory": "MemoryPerNode"}
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_MEMORY_UNITS = {"": 1, "k": 2**10, "M": 2**20, "G": 2**30}
_KINDS = {"BATCH": "BATCH", "NORMAL": "BATCH", "ON_LOGIN_NODE": "ON_LOGIN_NODE", "INTERACTIVE": "ON_LOGIN_NODE"}
_RUNTIME_DEFAULT_S = 3600


class Rejected(Exception):
    """The job fails with this ``statusMessage``."""

    @classmethod
    def because(cls, text: str, java: str = _XNJS) -> "Rejected":
        """Return a rejection in the server's words."""
        return cls(f"Processing failed: {java}: {text}")


@dataclass(frozen=True)
class Import:
    """A file that comes with the description."""

    to: str
    data: str = field(repr=False)
    permissions: str = ""


@dataclass(frozen=True)
class Notification:
    """Where to, and which states, raw batch states as regular expressions."""

    url: str
    states: tuple[str, ...] = _DEFAULT_STATES
    batch_states: tuple[str, ...] = ()

    def wants_batch_state(self, state: str) -> bool:
        """Tell whether a raw state of the batch system is to be told."""
        return any(re.fullmatch(pattern, state) for pattern in self.batch_states)


@dataclass(frozen=True)
class Plan:
    """A description that can be processed."""

    name: str
    batch: bool
    command: str
    """The command line as it stands in the script; empty: nothing to run."""
    environment: Mapping[str, str] = field(repr=False)
    imports: tuple[Import, ...] = ()
    stdin: str = ""
    stdout: str = "stdout"
    stderr: str = "stderr"
    umask: int = 0o027
    ignore_exit_code: bool = False
    login_pattern: str = ""


@dataclass(frozen=True)
class Allocation:
    """The resources of a batch job, checked."""

    partition: str
    nodes: int
    gpus: int
    runtime_s: int
    project: str
    refused: str = ""
    """What ``sbatch`` will say against it."""


def notification(description: Mapping[str, Any]) -> Notification | None:
    """Return where the job's states are to be told; never raises, as also a rejected job tells its failure."""
    settings = description.get("NotificationSettings")
    if isinstance(settings, dict):
        url = settings.get("URL")
        if not isinstance(url, str):
            return None  # The plain key is ignored then, too.
        states = settings.get("status")
        batch = settings.get("bssStatus")
        return Notification(
            url,
            tuple(map(str, states)) if isinstance(states, list) else _DEFAULT_STATES,
            tuple(map(str, batch)) if isinstance(batch, list) else (),
        )
    url = description.get("Notification")
    return Notification(url) if isinstance(url, str) else None


def parse(description: Mapping[str, Any]) -> Plan:
    """Return what to do for *description*, resources aside.

    :raises Rejected: with the server's message.
    """
    name = str(description.get("Name") or "UNICORE_Job")
    for bad in _ILLEGAL:
        if bad in name:
            raise Rejected.because(f"Job name contains illegal characters: '{json.dumps(bad)[1:-1]}'")
    wanted = str(description.get("Job type") or "BATCH").upper()
    if wanted not in _KINDS:
        enum = "eu.unicore.xnjs.idb.ApplicationInfo.JobType"
        raise Rejected.because(f"No enum constant {enum}.{wanted}", "java.lang.IllegalArgumentException")
    if description.get("ApplicationName"):
        application = description["ApplicationName"]
        text = f"The requested Application '{application}' is not available."
        raise Rejected.because(f"{text} (Requested application is not defined)")
    return Plan(
        name=name,
        batch=_KINDS[wanted] == "BATCH",
        command=_command(description),
        environment=_environment(description.get("Environment", {})),
        imports=_imports(description.get("Imports") or []),
        stdin=str(description.get("Stdin") or ""),
        stdout=str(description.get("Stdout") or "stdout"),
        stderr=str(description.get("Stderr") or "stderr"),
        umask=umask(description.get("Umask")),
        ignore_exit_code=flag(description.get("IgnoreNonZeroExitCode")),
        login_pattern=str(description.get("Login node") or ""),
    )


def login_node(plan: Plan, nodes: Sequence[Node]) -> Node:
    """Return the first login node that the job's pattern matches (wildcards ``*`` and ``?``)."""
    for node in nodes:
        if not plan.login_pattern or fnmatch.fnmatchcase(node.name, plan.login_pattern):
            return node
    raise Rejected.because(f"No TSI is configured at '{plan.login_pattern}'")


def allocation(
    description: Mapping[str, Any], site: SiteSettings, projects: Sequence[str], group: str | None
) -> Allocation:
    """Return the checked resources of a batch job at *site*; *group* is the project if the description names none.

    :raises Rejected: as the server does; what only the batch system refuses comes back in ``refused``.
    """
    asked = {_ALIASES.get(key, key): value for key, value in (description.get("Resources") or {}).items()}
    if description.get("Project"):
        asked["Project"] = description["Project"]
    queue = asked.pop("Queue", None)
    found = [partition for partition in site.partitions if queue in {None, partition.name}]
    if not found:
        raise Rejected.because(f"Resource request <Queue = {queue}> is out of range. (Invalid resource request)")
    partition = found[0]
    numbers = {key: _number(partition, key, value) for key, value in asked.items() if key not in _UNCHECKED}
    project = str(asked.get("Project") or group or "")
    return Allocation(
        partition.name,
        numbers.get("Nodes", 1),
        numbers.get("GPUS", 0),
        numbers.get("Runtime", min(_RUNTIME_DEFAULT_S, partition.runtime_s)),
        project,
        _refusal(asked, site, project, projects),
    )


def flag(value: Any) -> bool:
    """Return a boolean that may be written as text."""
    return value is True or str(value).lower() == "true"


def without_data(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description as the server stores it: inline data replaced by ``n/a``."""
    imports = description.get("Imports")
    if isinstance(imports, list):
        return {**description, "Imports": [_stored(spec) for spec in imports]}
    if isinstance(imports, dict):
        return {**description, "Imports": {to: _stored(spec) for to, spec in imports.items()}}
    return dict(description)


def _stored(spec: Any) -> Any:
    if isinstance(spec, dict) and "Data" in spec:
        return {"From": "inline://dummy", **spec, "Data": "n/a"}
    return spec


def _refusal(asked: Mapping[str, Any], site: SiteSettings, project: str, projects: Sequence[str]) -> str:
    if "Reservation" in asked and asked["Reservation"] not in site.reservations:
        return "Requested reservation is invalid"
    if "NodeConstraints" in asked:
        return "Invalid feature specification"
    if project and project not in projects:
        return "Invalid account or account/partition combination specified"
    return ""


def _command(description: Mapping[str, Any]) -> str:
    executable = description.get("Executable")
    arguments = description.get("Arguments", [])
    for place, argument in enumerate(arguments if isinstance(arguments, list) else []):
        if not isinstance(argument, str):
            raise _not_a_string(f"JSONArray[{place}]", argument)
    if not executable:
        return ""
    return " ".join([str(executable), *arguments])


def _environment(value: Any) -> dict[str, str]:
    if isinstance(value, list):
        return dict(str(entry).partition("=")[::2] for entry in value)
    if not isinstance(value, dict):
        raise _not_a_string('JSONObject["Environment"]', value)
    for key, text in value.items():
        if not isinstance(text, str):
            raise _not_a_string(f'JSONObject["{key}"]', text)
    return dict(value)


def _not_a_string(where: str, value: Any) -> Rejected:
    java = {bool: "java.lang.Boolean", int: "java.lang.Integer", float: "java.math.BigDecimal"}
    kind = java.get(type(value), "org.json.JSONObject")
    return Rejected.because(f"{where} is not a String (class {kind} : {value}).", "org.json.JSONException")


def _imports(value: Any) -> tuple[Import, ...]:
    if isinstance(value, dict):
        value = [{"To": to, **(spec if isinstance(spec, dict) else {"From": spec})} for to, spec in value.items()]
    return tuple(_import(spec) for spec in value)


def _import(spec: Mapping[str, Any]) -> Import:
    if "To" not in spec:
        raise Rejected.because('JSONObject["To"] not found.', "org.json.JSONException")
    if "Data" not in spec:
        source = str(spec.get("From", ""))
        raise Rejected(f"Staging in failed. Reason: File transfer from <{source}> is not supported by this site.")
    data = spec["Data"]
    text = "\n".join(map(str, data)) if isinstance(data, list) else str(data)
    return Import(str(spec["To"]).lstrip("/"), text, str(spec.get("Permissions", "")))


def umask(value: Any) -> int:
    """Return the mask of an octal text; anything but a text means the server's default, 0027."""
    try:
        return int(value, 8) if isinstance(value, str) else 0o027
    except ValueError as error:
        raise Rejected.because(f'For input string: "{value}"', "java.lang.NumberFormatException") from error


def _number(partition: DemoPartition, key: str, value: Any) -> int:
    limits = partition.ranges().get(key)
    if limits is None:
        name = partition.name
        raise Rejected.because(f"Resource <{key}> is not available for partition <{name}> (Invalid resource request)")
    units = {"Runtime": _UNITS, "MemoryPerNode": _MEMORY_UNITS}.get(key, {"": 1})
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(value))
    if match is None or match[2] not in units:
        text = (
            f'Could not parse requested resource <{key}>: java.lang.NumberFormatException: For input string: "{value}"'
        )
        raise Rejected.because(text, "java.lang.IllegalArgumentException")
    number = int(match[1]) * units[match[2]]
    if not limits[0] <= number <= limits[1]:
        raise Rejected.because(f"Resource request <{key}={number}> is out of range. (Invalid resource request)")
    return number
