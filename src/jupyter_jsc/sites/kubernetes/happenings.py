# SPDX-License-Identifier: BSD-3-Clause
"""Events of the cluster about a pod → lines of a start's history, in plain words. Pure; called by :mod:`.read`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_jsc.wire import Event

_MOST = 50


@dataclass(frozen=True)
class Happening:
    """An event of the cluster (core/v1 Event), as far as it is read."""

    pod_uid: str
    pod: str
    reason: str
    message: str
    count: int
    at: str
    """When it happened first; times of the API sort as texts."""


def happening(tree: Mapping[str, Any]) -> Happening:
    """Return an Event of the API; events of the old and of the new kind (``eventTime``, ``series``) look alike then."""
    about = tree.get("involvedObject") or {}
    series = tree.get("series") or {}
    created = (tree.get("metadata") or {}).get("creationTimestamp")
    return Happening(
        pod_uid=str(about.get("uid") or ""),
        pod=str(about.get("name") or ""),
        reason=str(tree.get("reason") or ""),
        message=str(tree.get("message") or "")[:1000],
        count=_count(series.get("count") or tree.get("count")),
        at=str(tree.get("firstTimestamp") or tree.get("eventTime") or created or ""),
    )


def in_order(happenings: Iterable[Happening]) -> list[Happening]:
    """Return them as they happened; times have whole seconds, and within one the usual order counts."""
    return sorted(happenings, key=lambda one: (one.at, _ORDER.get(one.reason, len(_ORDER))))


def pulls_failed(happenings: Iterable[Happening]) -> int:
    """Return how often the image of the pod could not be loaded."""
    return sum(one.count for one in happenings if one.reason == "Failed" and "pull image" in one.message)


def history(happenings: Iterable[Happening]) -> list[Event]:
    """Return what happened, in the order that is given, each line once."""
    lines: dict[tuple[str, str], Event] = {}
    for one in happenings:
        if (event := _line(one)) and (event.code, event.text) not in lines:
            lines[event.code, event.text] = event
    return list(lines.values())[:_MOST]


def _line(one: Happening) -> Event | None:
    for reason, pattern, code, progress, text in _LINES:
        if one.reason == reason and (found := pattern.search(one.message)):
            details = one.message if code in _TROUBLE else ""
            return Event(code=code, progress=progress, text=text.format(**found.groupdict())[:500], details=details)
    return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 1


_ANY = re.compile("")
_LINES: Sequence[tuple[str, re.Pattern[str], str, int, str]] = (
    ("Scheduled", re.compile(r" to (?P<node>[\w.-]{1,253})$"), "scheduled", 20, "Scheduled on {node}."),
    ("TriggeredScaleUp", _ANY, "scale_up", 18, "The cluster is starting another node for the lab."),
    ("SuccessfulAttachVolume", _ANY, "volume", 25, "The home is attached to the node."),
    ("FailedAttachVolume", _ANY, "volume_waiting", 22, "The home could not be attached to the node yet."),
    ("FailedMount", _ANY, "volume_waiting", 22, "A volume could not be mounted yet."),
    ("FailedCreatePodSandBox", _ANY, "node_trouble", 25, "The node could not prepare the lab yet. It tries again."),
    ("Pulling", re.compile(r"image \"(?P<image>[^\"]{1,400})\""), "pulling", 30, "Loading the image {image}."),
    ("Pulled", re.compile(r"^Successfully pulled .* in (?P<time>[\dhms.]{1,20}?)(?:\.\d+)?(?P<unit>m?s) \("), "pulled", 40,
     "The image was loaded in {time} {unit}."),
    ("Pulled", re.compile(r"^Successfully pulled"), "pulled", 40, "The image was loaded."),
    ("Pulled", _ANY, "pulled", 40, "The node has the image already."),
    ("Failed", re.compile(r"pull image"), "pull_failed", 30, "The image could not be loaded. The node tries again."),
    ("Created", _ANY, "created", 45, "The lab's container is made."),
    ("Started", _ANY, "container_started", 50, "The lab's container has started."),
    ("NodeNotReady", _ANY, "node_silent", 50, "The lab's node does not answer at the moment."),
    ("Evicted", _ANY, "evicted", 55, "The node has put the lab out."),
    ("Preempted", _ANY, "preempted", 55, "The lab had to make room for something more urgent."),
    ("TaintManagerEviction", re.compile(r"^Marking"), "node_lost", 55, "The lab's node is lost or was taken out of service."),
)  # fmt: skip
"""Reason, pattern of the message, code, progress, text; the first that fits counts."""
_ORDER = {reason: place for place, (reason, *_) in enumerate(_LINES)}
_TROUBLE = {"volume_waiting", "node_trouble", "pull_failed", "evicted", "preempted"}
