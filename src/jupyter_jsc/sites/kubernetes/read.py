# SPDX-License-Identifier: BSD-3-Clause
"""A pod and its events → the state of a lab, and why. Pure; called by :mod:`.watch`.

A lab has ended only where that is certain: its pod is over, is gone, or can never run. See :mod:`.reasons` for the words.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_jsc import names
from jupyter_jsc.sites.kubernetes import happenings, reasons
from jupyter_jsc.sites.kubernetes.happenings import Happening
from jupyter_jsc.sites.kubernetes.objects import LAB, Tree
from jupyter_jsc.sites.kubernetes.reasons import Reason
from jupyter_jsc.wire import LabState, State

_PULLS = 3
"""So often an image may fail to load; the node waits longer each time."""
_WITHOUT_EVENTS = timedelta(minutes=5)
"""So long a pod may wait for its image if nothing tells how often loading failed."""
_CRASHES = 3
_MESSAGE = 200


def state(pod: Tree, told: Sequence[Happening], now: datetime) -> LabState:
    """Return the state of the lab whose *pod* is there, with what its events *told*."""
    status = pod.get("status") or {}
    phase = status.get("phase")
    reason = _over(pod, told, now)
    if reason is not None:
        return _state(pod, told, State.ENDED, reason)
    if phase == "Running":
        return _state(pod, told, State.RUNNING, Reason("", ""))
    if phase == "Pending":
        return _pending(pod, told)
    # A node that does not answer makes the phase "Unknown": nothing is certain then.
    return LabState(state=State.UNKNOWN if phase else State.STARTING, nodes=_nodes(pod))


def gone(pod: Tree, told: Sequence[Happening]) -> LabState:
    """Return the state of a lab whose pod has been removed, by its last state *pod*."""
    return _state(pod, told, State.ENDED, _removed(pod, told))


def unseen(lab_id: str, namespace: str, told: Sequence[Happening]) -> LabState:
    """Return the state of a lab of whose pod nothing is left but what it *told*."""
    reason = reasons.happened([one.reason for one in told]) or reasons.DELETED
    return LabState(
        state=State.ENDED,
        code=reason.code,
        text=reason.text,
        nodes=[names.service_host(lab_id, namespace)],
        history=happenings.history(told),
    )


def logged(pod: Tree) -> tuple[str, bool] | None:
    """Return the container whose last lines tell why the lab ended, and whether they are of its run before; None if none do.

    A lab that was told to end tells nothing by that.
    """
    if _deleted(pod) and _exit_code(pod) in {None, 0, *reasons.BY_SIGNAL}:
        return None
    for container in _containers(pod):
        if (container.get("state") or {}).get("terminated"):
            return str(container.get("name")), False
        if (container.get("lastState") or {}).get("terminated"):
            return str(container.get("name")), True
    return None


def _over(pod: Tree, told: Sequence[Happening], now: datetime) -> Reason | None:
    """Return why the lab has ended; None if it has not, or not for certain."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Succeeded", "Failed"}:
        return _removed(pod, told) if _deleted(pod) else _failed(pod)
    if _deleted(pod) and (doomed := _disruption(pod)) and doomed.code == "node_lost":
        return doomed  # it is marked to end as soon as its node hears of it, and nobody reaches it until then
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reasons.waits_for_image(reason) and _image_is_out_of_reach(pod, reason, told, now):
            said = [str(waiting.get("message") or ""), *(one.message for one in told if one.reason == "Failed")]
            return reasons.image(str(container.get("image") or "")[:300], reason, said)
        if int(container.get("restartCount") or 0) >= _CRASHES:
            last = _reason_of(container) or Reason("", "")
            return Reason("crash_loop", f"The lab ended again and again. {last.text}".strip())
        if reasons.broken(reason) and _waited_long(pod, now):
            return Reason("refused", "The lab's container can't be made. Its operators must correct the option.")
    return None


def _removed(pod: Tree, told: Sequence[Happening]) -> Reason:
    """Return why a pod was removed: what chose it to end, memory, or somebody."""
    own = _failed(pod) if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"} else None
    by_itself = _exit_code(pod) not in {None, 0, *reasons.BY_SIGNAL}
    if own and (by_itself or own.code in {"memory", "time_limit", "evicted", "fit"}):
        return own
    disrupted = _disruption(pod) or reasons.happened([one.reason for one in told])
    if disrupted:
        return disrupted
    return reasons.DELETED if _deleted(pod) or own is None else own


def _failed(pod: Tree) -> Reason:
    status = pod.get("status") or {}
    if reason := reasons.of_pod(str(status.get("reason") or ""), str(status.get("message") or "")):
        return reason
    if reason := _disruption(pod):
        return reason
    found = [reason for container in _containers(pod) if (reason := _reason_of(container))]
    worst = [reason for reason in found if reason.text != "The lab's server has ended."]
    return next(iter(worst or found), Reason("failed", "The lab's pod has failed. Start the lab again."))


def _pending(pod: Tree, told: Sequence[Happening]) -> LabState:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") != "True" and not (pod.get("spec") or {}).get("nodeName"):
        if scheduled.get("reason") != "Unschedulable":
            return _state(pod, told, State.QUEUED, Reason("", ""))
        return _state(pod, told, State.QUEUED, reasons.unschedulable(str(scheduled.get("message") or "")))
    for container in _containers(pod):
        waiting = str(((container.get("state") or {}).get("waiting") or {}).get("reason") or "")
        if reasons.waits_for_image(waiting):
            text = f"The image {str(container.get('image') or '')[:300]} could not be loaded yet. The node tries again."
            return _state(pod, told, State.QUEUED, Reason("image", text))
    if _is_loading(told):
        return _state(pod, told, State.QUEUED, Reason("pulling", ""))
    return _state(pod, told, State.STARTING, Reason("", ""))


def _state(pod: Tree, told: Sequence[Happening], found: State, reason: Reason) -> LabState:
    metadata = pod.get("metadata") or {}
    return LabState(
        state=found,
        code=reason.code,
        text=reason.text,
        nodes=_nodes(pod),
        ends=_ends(pod),
        exit_code=_exit_code(pod) if found is State.ENDED else None,
        site_id=f"{metadata.get('namespace')}/{metadata.get('name')}"[:128],
        history=happenings.history(told),
    )


def _image_is_out_of_reach(pod: Tree, reason: str, told: Sequence[Happening], now: datetime) -> bool:
    return reasons.without_image(reason) or happenings.pulls_failed(told) >= _PULLS or _waited_long(pod, now)


def _is_loading(told: Sequence[Happening]) -> bool:
    return [one.reason for one in told if one.reason in {"Pulling", "Pulled"}][-1:] == ["Pulling"]


def _waited_long(pod: Tree, now: datetime) -> bool:
    since = _time((pod.get("status") or {}).get("startTime"))
    return since is not None and now - since > _WITHOUT_EVENTS


def _disruption(pod: Tree) -> Reason | None:
    target = _condition(pod, "DisruptionTarget")
    return reasons.disrupted(str(target.get("reason"))) if target.get("status") == "True" else None


def _reason_of(container: Mapping[str, Any]) -> Reason | None:
    for name in ("state", "lastState"):
        if ended := (container.get(name) or {}).get("terminated"):
            return reasons.terminated(ended)
    return None


def _exit_code(pod: Tree) -> int | None:
    for container in _containers(pod):
        ended = (container.get("state") or {}).get("terminated") or {}
        if isinstance(ended.get("exitCode"), int):
            return int(ended["exitCode"])
    return None


def _containers(pod: Tree) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _condition(pod: Tree, kind: str) -> Mapping[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def _deleted(pod: Tree) -> bool:
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def _nodes(pod: Tree) -> list[str]:
    metadata = pod.get("metadata") or {}
    lab_id = str((metadata.get("labels") or {}).get(LAB))
    return [names.service_host(lab_id, str(metadata.get("namespace")))]


def _ends(pod: Tree) -> datetime | None:
    limit_s = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    began = _time((pod.get("status") or {}).get("startTime"))
    return began + timedelta(seconds=limit_s) if began and isinstance(limit_s, int) else None


def _time(text: object) -> datetime | None:
    if not isinstance(text, str) or not re.match(r"^\d{4}-", text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
