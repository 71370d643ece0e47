# SPDX-License-Identifier: BSD-3-Clause
"""Pods go where there is room; those that wait say why, in the real scheduler's words, and go when there is."""

from typing import Any

from tests.demo.kubernetes.conftest import SPACE, Make, Reach, phase, pod

NODES = "0/2 nodes are available: "
NEVER = " preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
FULL = " preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."


def sized(name: str, **limits: str) -> dict[str, Any]:
    """A pod with these limits."""
    return pod(name, container={"resources": {"limits": {"cpu": "100m", **limits}}})


async def waits(reach: Reach, name: str) -> str:
    """Why a pod waits, as its condition and its event say."""
    tree = await reach.until(lambda tree: tree["status"].get("conditions"), name)
    (condition,) = tree["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert ("FailedScheduling", condition["message"]) in reach.events(name)
    return condition["message"]


async def test_pods_spread_over_nodes(reach: Reach) -> None:
    """The emptier node gets the next one."""
    for name in ("a", "b"):
        await reach.apply(pod(name))
    nodes = {(await reach.until(phase("Running"), name))["spec"]["nodeName"] for name in ("a", "b")}
    assert nodes == {"node1", "node2"}


async def test_what_never_fits_says_which_resource(reach: Reach) -> None:
    """Memory beyond every node; cards that no node has."""
    await reach.apply(sized("big", memory="9Gi"))
    assert await waits(reach, "big") == f"{NODES}2 Insufficient memory.{NEVER}"
    await reach.apply(sized("card", **{"nvidia.com/gpu": "1"}))
    assert await waits(reach, "card") == f"{NODES}2 Insufficient nvidia.com/gpu.{NEVER}"


async def test_what_does_not_fit_now_runs_when_there_is_room(reach: Reach) -> None:
    """The end of another pod is enough."""
    for name in ("a", "b"):
        await reach.apply(sized(name, memory="6Gi"))
        await reach.until(phase("Running"), name)
    await reach.apply(sized("late", memory="6Gi"))
    assert await waits(reach, "late") == f"{NODES}2 Insufficient memory.{FULL}"
    await reach.api.delete_namespaced_pod("a", SPACE)
    await reach.until(phase("Running"), "late")


async def test_a_pod_waits_for_its_claim(reach: Reach) -> None:
    """First for the claim, then for its volume."""
    reach.cluster.faults.unbound_volumes = True
    await reach.apply(pod(volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": "home-x"}}]))
    assert await waits(reach, "lab") == f'{NODES}persistentvolumeclaim "home-x" not found.{NEVER}'
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "home-x"}, "spec": {}}
    await reach.apply(claim)
    await reach.until(lambda tree: "unbound immediate" in tree["status"]["conditions"][0]["message"])
    reach.cluster.faults.unbound_volumes = False
    await reach.until(phase("Running"))


async def test_a_node_that_is_full_of_pods(make: Make) -> None:
    """The number of pods is a resource too."""
    from jupyter_jsc.demo.kubernetes import Node

    async with make(nodes=(Node("only", {"cpu": "4", "memory": "8Gi", "pods": "1"}),)) as reach:
        await reach.apply(pod("a"))
        await reach.until(phase("Running"), "a")
        await reach.apply(pod("b"))
        assert (await waits(reach, "b")).startswith("0/1 nodes are available: 1 Too many pods.")
