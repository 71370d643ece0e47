# SPDX-License-Identifier: BSD-3-Clause
"""Why a lab does not run yet, or no more: a code and a sentence that says what to do. Pure; called by :mod:`.read`.

What the cluster itself says is read for its pattern; only names and amounts of it get into a sentence.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Reason(NamedTuple):
    """A reason: machine-readable code, and a sentence for the user."""

    code: str
    text: str


BY_SIGNAL = frozenset({137, 143})
"""Exit codes of what SIGKILL and SIGTERM end."""

_OF_POD: Mapping[str, Reason] = {
    "DeadlineExceeded": Reason(
        "time_limit", "The lab's time is over. Start it again, with a longer time if you need it."
    ),
    "NodeLost": Reason("node_lost", "The lab's node was lost. Start the lab again."),
    "Shutdown": Reason("node_shutdown", "The lab's node was shut down. Start the lab again."),
    "NodeShutdown": Reason("node_shutdown", "The lab's node was shut down. Start the lab again."),
    "Terminated": Reason("node_shutdown", "The lab's node was shut down. Start the lab again."),
    "NodeAffinity": Reason("node", "The node that the lab was meant for does not fit any more. Start the lab again."),
    "UnexpectedAdmissionError": Reason("node", "The node could not give the lab its devices. Start the lab again."),
    "Preempting": Reason("preempted", "The lab had to make room for something more urgent. Start it again."),
}
_DISRUPTED: Mapping[str, Reason] = {
    "DeletionByTaintManager": Reason(
        "node_lost", "The lab's node was lost or taken out of service. Start the lab again."
    ),
    "DeletionByPodGC": Reason("node_lost", "The lab's node was lost. Start the lab again."),
    "PreemptionByScheduler": Reason("preempted", "The lab had to make room for something more urgent. Start it again."),
    "EvictionByEvictionAPI": Reason(
        "drained", "The lab's node is being serviced, so the lab was ended. Start it again."
    ),
    "TerminationByKubelet": Reason(
        "evicted", "The lab's node put it out, as it ran short of something. Start it again."
    ),
}
"""By the reason of the condition DisruptionTarget."""
_HAPPENED: Mapping[str, Reason] = {
    "TaintManagerEviction": _DISRUPTED["DeletionByTaintManager"],
    "Preempted": _DISRUPTED["PreemptionByScheduler"],
    "Evicted": _DISRUPTED["TerminationByKubelet"],
}
DELETED = Reason("deleted", "Somebody ended the lab on the cluster. Start it again, or ask the cluster's support.")
_RESOURCES = {
    "memory": "memory",
    "cpu": "processor cores",
    "ephemeral-storage": "temporary disk space",
}
_WITHOUT_IMAGE = {"InvalidImageName", "ErrImageNeverPull"}
_WAITING_FOR_IMAGE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "ImageInspectError",
    "SignatureValidationFailed",
}
_BROKEN = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_STARTS = frozenset({"ContainerCannotRun", "StartError"})


def of_pod(reason: str, message: str) -> Reason | None:
    """Return why a pod failed by its own reason; None if its containers know better."""
    if reason == "Evicted":
        return evicted(message)
    if found := re.fullmatch(r"OutOf(\w[\w./-]*)", reason):
        what = resource(found[1])
        return Reason("fit", f"Its node had not enough {what} left for the lab. Start the lab again.")
    return _OF_POD.get(reason)


def evicted(message: str) -> Reason:
    """Return why a node put a pod out."""
    if re.search(r"ephemeral(?:-| local )storage|emptyDir", message):
        return Reason(
            "evicted",
            "The lab wrote more temporary files than its node has room for. Start it again; keep large files in the home.",
        )
    found = re.search(r"low on resource: ([\w/-]+(?:\.[\w/-]+)*)", message)
    what = resource(found[1]) if found else "something"
    return Reason("evicted", f"The lab's node ran short of {what} and put the lab out. Start it again.")


def disrupted(reason: str) -> Reason | None:
    """Return why a pod was chosen to end, by its condition DisruptionTarget."""
    return _DISRUPTED.get(reason)


def happened(reasons: Sequence[str]) -> Reason | None:
    """Return why a pod is gone, by the events that it left."""
    return next((_HAPPENED[reason] for reason in reversed(reasons) if reason in _HAPPENED), None)


def terminated(ended: Mapping[str, Any]) -> Reason:
    """Return why a container ended (``state.terminated``)."""
    reason, code = str(ended.get("reason") or ""), ended.get("exitCode")
    if reason == "OOMKilled":
        return Reason("memory", "The lab used more memory than it may. Start it again with more, or use less.")
    if reason in _STARTS:
        return Reason(
            "refused", "The lab's container could not start its program. Choose another image or ask its support."
        )
    if code == 0:
        return Reason("exited", "The lab's server has ended.")
    if code == 127:
        return Reason("exited", "A program that the lab needs is not in its image. Its last lines say which.")
    if code in BY_SIGNAL:
        return Reason("exited", "The lab was ended from outside, by the system or by somebody there. Start it again.")
    return Reason("exited", f"The lab's server ended with an error (exit code {code}). Its last lines say why.")


def without_image(reason: str) -> bool:
    """Tell whether a container waits for an image that will never be there."""
    return reason in _WITHOUT_IMAGE


def waits_for_image(reason: str) -> bool:
    """Tell whether a container waits because its image could not be loaded."""
    return reason in _WAITING_FOR_IMAGE | _WITHOUT_IMAGE


def broken(reason: str) -> bool:
    """Tell whether a container can't be made from what its pod says."""
    return reason in _BROKEN


def image(name: str, reason: str, messages: Sequence[str]) -> Reason:
    """Return why an image could not be loaded, by what the node says of it."""
    said = " ".join(messages)
    if reason == "InvalidImageName":
        return Reason("image", f"{name} is no name of an image. Choose another image and tell the portal's support.")
    if re.search(r"not found|manifest unknown|does not exist|not present", said, re.IGNORECASE):
        return Reason("image", f"There is no image {name}. Choose another image and tell the portal's support.")
    if re.search(r"denied|unauthorized|forbidden|authentication", said, re.IGNORECASE):
        return Reason(
            "image", f"The cluster may not load the image {name}. Choose another image and tell the portal's support."
        )
    return Reason("image", f"The image {name} could not be loaded. Choose another image, or try again later.")


def unschedulable(message: str) -> Reason:
    """Return why no node takes a pod, by the scheduler's message."""
    if re.search(
        r"PersistentVolumeClaim|persistentvolumeclaim|persistent volume|volume node affinity|volume limits", message
    ):
        return Reason("volume", "Waiting for the volume of the home. If that takes minutes, ask the cluster's support.")
    short = sorted({resource(name) for name in re.findall(r"Insufficient ([\w/-]+(?:\.[\w/-]+)*)", message)})
    if short:
        what = " and ".join(short)
        return Reason(
            "fit",
            f"Waiting: no node has enough {what} free. The lab starts as soon as one has; with less it may start earlier.",
        )
    if "Too many pods" in message:
        return Reason("fit", "Waiting: all nodes are full. The lab starts as soon as one has room.")
    if re.search(r"untolerated taint|unschedulable|node affinity/selector|no nodes available", message):
        return Reason("fit", "Waiting: no node is there for this kind of lab at the moment.")
    return Reason("fit", "Waiting: no node can take the lab at the moment.")


def resource(name: str) -> str:
    """Return what people call a resource of Kubernetes."""
    if "gpu" in name:
        return "GPUs"
    return _RESOURCES.get(name, name)
