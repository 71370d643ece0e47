# SPDX-License-Identifier: BSD-3-Clause
"""The record of a job and how it is shown. Changed by :mod:`.engine` only, read by :mod:`.jobs_api` and :mod:`.files`.

Records live in memory: when the server ends, its jobs end with it.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

from jupyter_jsc.demo.unicore.description import Allocation, Notification, Plan
from jupyter_jsc.demo.unicore.processes import Process
from jupyter_jsc.demo.unicore.settings import Node

FINAL = frozenset({"SUCCESSFUL", "FAILED"})
_TIMES = ("total", "stage-in", "preCommand", "queued", "main", "postCommand", "stage-out")


class Phase(Enum):
    """What the engine does next with a job; finer than its public status."""

    NEW = auto()
    WAITING_FOR_CLIENT = auto()
    STAGE_IN = auto()
    SUBMIT = auto()
    WATCH = auto()
    FINISH = auto()
    DONE = auto()


@dataclass(eq=False)
class Job:
    """One job."""

    id: str
    owner: str
    account: str
    group: str | None
    projects: tuple[str, ...]
    """What the account may charge."""
    token: str = field(repr=False)
    """The submitter's bearer token, which the real server stores and shows; empty for a site token."""
    description: Mapping[str, Any] = field(repr=False)
    directory: Path
    notification: Notification | None
    terminates: float
    tags: Any = ()
    submitted: float = field(default_factory=time.time)
    acl: list[str] = field(default_factory=list)
    status: str = "READY"
    message: str = ""
    exit_code: str | None = None
    kind: str = "n/a"
    name: str = "N/A"
    queue: str = "N/A"
    batch_system_id: str = "N/A"
    workspace: str = "INITIALIZING"
    log: list[str] = field(default_factory=list)
    phase: Phase = Phase.NEW
    due: float = 0.0
    """When the engine takes the next step, on the loop's clock."""
    attempts: int = 0
    started_by_client: bool = False
    plan: Plan | None = field(default=None, repr=False)
    wanted: Allocation | None = None
    node: Node | None = None
    """The login node of a job that does not go to the batch system."""
    batch_id: int | None = None
    batch_state: str = ""
    process: Process | None = None
    vanished: float | None = None
    """When it was first seen gone without an exit code."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note(self, text: str) -> None:
        """Add a line to the job's log."""
        self.log.append(f"{time.strftime('%a %b %d %H:%M:%S %Z %Y')}: {text}")

    def readable_by(self, dn: str) -> bool:
        """Tell whether *dn* may read the job: its owner, or named in the access list."""
        return dn == self.owner or any(entry.endswith(f":DN:{dn}") for entry in self.acl)

    def has_tags(self, wanted: Iterable[str]) -> bool:
        """Tell whether the job has all *wanted* tags; ``_`` stands for any one character, as in the server's SQL."""
        known = [str(tag) for tag in self.tags] if isinstance(self.tags, list | tuple) else []
        return all(any(_matches(pattern, tag) for tag in known) for pattern in wanted)

    def view(self, core: str) -> dict[str, Any]:
        """Return the resource, the submitter's token and the whole log included."""
        extra = {} if self.exit_code is None else {"exitCode": self.exit_code}
        return {
            "owner": self.owner,
            "submissionPreferences": {"UC_OAUTH_BEARER_TOKEN": [self.token]} if self.token else {},
            "consumedTime": dict.fromkeys(_TIMES, "N/A"),
            "acl": self.acl,
            "submissionTime": stamp(self.submitted),
            "terminationTime": stamp(self.terminates),
            "statusMessage": self.message,
            "tags": self.tags,
            "batchSystemID": self.batch_system_id,
            "name": self.name,
            "jobType": self.kind,
            "queue": self.queue,
            "status": self.status,
            "log": self.log,
            "_links": self._links(f"{core}/jobs/{self.id}", core),
            **extra,
        }

    def _links(self, url: str, core: str) -> dict[str, Any]:
        links = {"self": url, "details": f"{url}/details", "submitted": f"{url}/submitted"}
        links |= {f"action:{action}": f"{url}/actions/{action}" for action in ("start", "abort", "restart")}
        links["workingDirectory"] = f"{core}/storages/{self.id}-uspace"
        return {name: {"href": href} for name, href in links.items()}


def stamp(moment: float) -> str:
    """Return a time as the REST interface writes it, ``2026-08-01T10:00:00+0200``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))


def selected(properties: Mapping[str, Any], fields: str) -> dict[str, Any]:
    """Return *properties* cut down by the query ``fields=a,b`` or ``fields=!c``."""
    names = [name.strip() for name in fields.split(",") if name.strip()]
    dropped = {name[1:] for name in names if name.startswith("!")}
    kept = {name for name in names if not name.startswith("!")}
    return {key: value for key, value in properties.items() if key not in dropped and (not kept or key in kept)}


def _matches(pattern: str, tag: str) -> bool:
    return re.fullmatch("".join("." if char == "_" else re.escape(char) for char in pattern), tag) is not None
