# SPDX-License-Identifier: BSD-3-Clause
"""Pods and events as clusters write them → states. What the demo's cluster can't show is written down here.

Texts are those of Kubernetes 1.34. Aspects: certain ends only, reasons, history, anything at all without an exception.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.sites.kubernetes import happenings, read, reasons
from jupyter_jsc.sites.kubernetes.happenings import Happening

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LAB = "lab-" + "a" * 26
NODES = [f"svc-{LAB}.userlabs.svc"]


def pod(phase: str = "Running", *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    """A pod with this status."""
    metadata = {"name": LAB, "namespace": "userlabs", "uid": "u", "labels": {"jupyter-jsc/lab": LAB}}
    if deleted:
        metadata["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    return {"metadata": metadata, "spec": {"nodeName": "n1"}, "status": {"phase": phase, **status}}


def container(state: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"name": "lab", "image": "example.org/lab:1", "restartCount": 0, "state": state, **more}]


def terminated(code: int, reason: str = "Error") -> list[dict[str, Any]]:
    return container({"terminated": {"exitCode": code, "reason": reason}})


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]}


def told(reason: str, message: str = "", count: int = 1, at: str = "2026-05-01T11:59:00Z") -> Happening:
    return Happening(pod_uid="u", pod=LAB, reason=reason, message=message, count=count, at=at)


TAINTED = condition("DisruptionTarget", "True", "DeletionByTaintManager")
ENDS: list[tuple[dict[str, Any], str, str]] = [
    (pod("Succeeded", containerStatuses=terminated(0, "Completed")), "exited", "has ended"),
    (pod("Failed", containerStatuses=terminated(1)), "exited", "exit code 1"),
    (pod("Failed", containerStatuses=terminated(137, "OOMKilled")), "memory", "more memory"),
    (pod("Failed", containerStatuses=terminated(137)), "exited", "from outside"),
    (pod("Failed", containerStatuses=terminated(128, "StartError")), "refused", "could not start its program"),
    (pod("Failed", reason="DeadlineExceeded", containerStatuses=terminated(137)), "time_limit", "time is over"),
    (
        pod("Failed", reason="Evicted", message="The node was low on resource: memory. Threshold"),
        "evicted",
        "of memory and",
    ),
    (
        pod(
            "Failed",
            reason="Evicted",
            message='Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ephemeral-storage',
        ),
        "evicted",
        "temporary files",
    ),
    (pod("Failed", reason="NodeLost"), "node_lost", "node was lost"),
    (pod("Failed", reason="Terminated", message="node shutdown"), "node_shutdown", "shut down"),
    (pod("Failed", reason="OutOfcpu"), "fit", "not enough processor cores"),
    (pod("Failed", reason="OutOfnvidia.com/gpu"), "fit", "not enough GPUs"),
    (pod("Failed", reason="UnexpectedAdmissionError"), "node", "devices"),
    (pod("Failed"), "failed", "has failed"),
    (pod("Failed", **TAINTED, containerStatuses=terminated(143)), "node_lost", "lost or taken"),
    (pod("Failed", **condition("DisruptionTarget", "True", "PreemptionByScheduler")), "preempted", "more urgent"),
    (pod("Running", deleted=True, **TAINTED), "node_lost", "lost or taken"),
    (pod("Failed", deleted=True, containerStatuses=terminated(143)), "deleted", "Somebody"),
    (pod("Failed", deleted=True, containerStatuses=terminated(3)), "exited", "exit code 3"),
    (
        pod("Failed", deleted=True, **condition("DisruptionTarget", "True", "EvictionByEvictionAPI")),
        "drained",
        "being serviced",
    ),
    (pod("Pending", containerStatuses=container({"waiting": {"reason": "InvalidImageName"}})), "image", "no name"),
    (
        pod("Pending", containerStatuses=container({"waiting": {"reason": "ErrImageNeverPull"}})),
        "image",
        "could not be loaded",
    ),
    (
        pod(
            "Running",
            containerStatuses=container(
                {"waiting": {"reason": "CrashLoopBackOff"}}, restartCount=3, lastState={"terminated": {"exitCode": 2}}
            ),
        ),
        "crash_loop",
        "exit code 2",
    ),
    (
        pod(
            "Pending",
            startTime="2026-05-01T11:50:00Z",
            containerStatuses=container({"waiting": {"reason": "CreateContainerConfigError"}}),
        ),
        "refused",
        "can't be made",
    ),
    (
        pod(
            "Pending",
            startTime="2026-05-01T11:50:00Z",
            containerStatuses=container({"waiting": {"reason": "ErrImagePull"}}),
        ),
        "image",
        "could not be loaded",
    ),
]


@pytest.mark.parametrize(("tree", "code", "said"), ENDS, ids=[f"{code}-{said}" for _, code, said in ENDS])
def test_an_end_has_code_sentence_and_remedy(tree: dict[str, Any], code: str, said: str) -> None:
    """Each certain end."""
    found = read.state(tree, [], NOW)
    assert (found.state, found.code, said in found.text) == ("ended", code, True), found
    assert found.text.endswith(".")
    assert found.nodes == NODES


NOT_ENDED: list[tuple[dict[str, Any], str]] = [
    (pod(), "running"),
    (pod(deleted=True), "running"),
    (pod(**TAINTED), "running"),
    (pod(deleted=True, **condition("DisruptionTarget", "True", "EvictionByEvictionAPI")), "running"),
    (pod("Unknown", reason="NodeLost"), "unknown"),
    (pod("Pending", containerStatuses=container({"waiting": {"reason": "ContainerCreating"}})), "starting"),
    (pod("Pending", containerStatuses=container({"waiting": {"reason": "ErrImagePull"}})), "queued"),
    (pod("Pending", containerStatuses=container({"waiting": {"reason": "CreateContainerError"}})), "starting"),
    ({**pod("Pending"), "spec": {}}, "queued"),
    ({"metadata": pod()["metadata"]}, "starting"),
    (pod(containerStatuses=container({"running": {}}, restartCount=2)), "running"),
]


@pytest.mark.parametrize(("tree", "state"), NOT_ENDED)
def test_nothing_uncertain_is_an_end(tree: dict[str, Any], state: str) -> None:
    """A pod that is only being deleted runs, a lost node says nothing, the first failures may pass."""
    assert read.state(tree, [], NOW).state == state


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        ("0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes", "fit", "enough memory free"),
        ("0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory.", "fit", "memory and processor cores"),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption", "fit", "enough GPUs free"),
        ("0/1 nodes are available: 1 Too many pods.", "fit", "nodes are full"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {a: b}.", "fit", "this kind of lab"),
        ("no nodes available to schedule pods", "fit", "this kind of lab"),
        ("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "volume", "the home"),
        ('0/2 nodes are available: persistentvolumeclaim "home-x" not found.', "volume", "the home"),
        ("0/2 nodes are available: 2 node(s) had volume node affinity conflict.", "volume", "the home"),
        ("something new", "fit", "no node can take"),
    ],
)
def test_what_does_not_fit_is_named(message: str, code: str, said: str) -> None:
    """It waits, for a node may come, and says for what."""
    tree = {**pod("Pending", **condition("PodScheduled", "False", "Unschedulable", message)), "spec": {}}
    found = read.state(tree, [], NOW)
    assert (found.state, found.code, said in found.text) == ("queued", code, True), found


@pytest.mark.parametrize(("failed", "state"), [(2, "queued"), (3, "ended")])
def test_an_image_may_fail_twice(failed: int, state: str) -> None:
    """Registries have bad moments."""
    tree = pod("Pending", containerStatuses=container({"waiting": {"reason": "ImagePullBackOff"}}))
    said = [
        told("Failed", 'Failed to pull image "example.org/lab:1": manifest unknown', failed),
        told("Failed", "Error: x", 9),
    ]
    found = read.state(tree, said, NOW)
    assert (found.state, found.code) == (state, "image")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("example.org/lab:1: not found", "There is no image example.org/lab:1."),
        ("pull access denied, repository does not exist", "There is no image"),
        ("unauthorized: authentication required", "may not load the image"),
        ("dial tcp: connection refused", "could not be loaded"),
    ],
)
def test_why_an_image_is_out_of_reach(message: str, said: str) -> None:
    """What the registry said decides what the user does."""
    assert said in reasons.image("example.org/lab:1", "ErrImagePull", [message]).text


def test_a_pod_that_is_gone() -> None:
    """What it left tells why; what nobody knows was somebody."""
    assert read.gone(pod(deleted=True, **TAINTED), []).code == "node_lost"
    assert read.gone(pod(), []).code == "deleted"
    assert read.gone(pod(), [told("TaintManagerEviction", "Marking for deletion Pod a/b")]).code == "node_lost"
    assert read.unseen(LAB, "userlabs", [told("Preempted", "by a pod")]).code == "preempted"
    assert read.unseen(LAB, "userlabs", []).nodes == NODES


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (pod("Failed", containerStatuses=terminated(1)), ("lab", False)),
        (pod("Failed", containerStatuses=terminated(143)), ("lab", False)),
        (pod(containerStatuses=container({"waiting": {}}, lastState={"terminated": {"exitCode": 1}})), ("lab", True)),
        (pod("Failed", deleted=True, containerStatuses=terminated(1)), ("lab", False)),
        (pod("Failed", deleted=True, containerStatuses=terminated(143)), None),
        (pod(deleted=True), None),
        (pod(), None),
    ],
)
def test_whose_last_lines_tell_why(tree: dict[str, Any], expected: tuple[str, bool] | None) -> None:
    """Those of a container that ended by itself; a stop costs no look at the log."""
    assert read.logged(tree) == expected


def test_the_time_limit_is_an_end_to_come() -> None:
    """The hub shows when."""
    tree = pod(startTime="2026-05-01T12:00:00Z")
    tree["spec"]["activeDeadlineSeconds"] = 600
    assert read.state(tree, [], NOW).ends == NOW + timedelta(minutes=10)


def test_history_is_in_plain_words_and_in_order() -> None:
    """Events of one second come in the order in which such things happen; each line once."""
    said = [
        told("Started", "Started container lab"),
        told("Created", "Created container: lab"),
        told("Pulled", 'Successfully pulled image "a/b:1" in 2.534s (2.534s including waiting). Image size: 5 bytes.'),
        told("Pulling", 'Pulling image "a/b:1"'),
        told("FailedMount", 'MountVolume.SetUp failed for volume "jsc"', 3, "2026-05-01T11:58:30Z"),
        told("Scheduled", f"Successfully assigned userlabs/{LAB} to node-7.example", 1, "2026-05-01T11:58:00Z"),
        told("Started", "Started container lab"),
        told("Unheard", "of"),
    ]
    lines = happenings.history(happenings.in_order(said))
    assert [(line.code, line.text) for line in lines] == [
        ("scheduled", "Scheduled on node-7.example."),
        ("volume_waiting", "A volume could not be mounted yet."),
        ("pulling", "Loading the image a/b:1."),
        ("pulled", "The image was loaded in 2 s."),
        ("created", "The lab's container is made."),
        ("container_started", "The lab's container has started."),
    ]
    assert all(15 <= line.progress <= 55 for line in lines)
    assert "jsc" in lines[1].details


def test_events_of_both_kinds_are_read() -> None:
    """Counts of old events and series of new ones; a time in any case."""
    old = {
        "involvedObject": {"uid": "u", "name": LAB},
        "reason": "Failed",
        "count": 4,
        "firstTimestamp": "2026-01-01T00:00:00Z",
    }
    new = {"involvedObject": {"uid": "u"}, "series": {"count": 2}, "eventTime": "2026-01-01T00:00:00.5Z"}
    assert [happenings.happening(tree).count for tree in (old, new, {})] == [4, 2, 1]
    assert [bool(happenings.happening(tree).at) for tree in (old, new, {})] == [True, True, False]


STATUS = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", ""]),
        "reason": st.text(max_size=20) | st.sampled_from(["Evicted", "NodeLost", "OutOfx"]),
        "message": st.text(max_size=60),
        "startTime": st.text(max_size=20) | st.just("2026-05-01T12:00:00Z") | st.none(),
        "conditions": st.none()
        | st.lists(st.dictionaries(st.sampled_from(["type", "status", "reason", "message"]), st.text(max_size=20))),
        "containerStatuses": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "name": st.text(max_size=5),
                    "restartCount": st.integers(0, 9),
                    "state": st.none()
                    | st.dictionaries(
                        st.sampled_from(["waiting", "terminated", "running"]),
                        st.fixed_dictionaries(
                            {}, optional={"reason": st.text(max_size=20), "exitCode": st.integers(0, 255)}
                        ),
                    ),
                },
            ),
            max_size=3,
        ),
    },
)
HAPPENINGS = st.lists(
    st.builds(
        told,
        st.sampled_from(["Scheduled", "Pulling", "Pulled", "Failed", "Evicted", "x"]),
        st.text(max_size=60),
        st.integers(0, 5),
        st.text(max_size=25),
    ),
    max_size=5,
)


@given(status=STATUS, said=HAPPENINGS, deleted=st.booleans())
def test_whatever_a_cluster_says_is_a_state(status: dict[str, Any], said: list[Happening], deleted: bool) -> None:
    """Never an exception, and an end only where the pod is over, doomed or can never run."""
    tree = pod(deleted=deleted)
    tree["status"] = status
    found = read.state(tree, happenings.in_order(said), NOW)
    read.logged(tree)
    read.gone(tree, said)
    if found.state == "ended":
        waits = any((one.get("state") or {}).get("waiting") for one in status.get("containerStatuses") or [])
        restarted = any(one.get("restartCount", 0) >= 3 for one in status.get("containerStatuses") or [])
        assert status.get("phase") in {"Succeeded", "Failed"} or waits or restarted or deleted
