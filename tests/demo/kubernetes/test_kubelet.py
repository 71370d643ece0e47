# SPDX-License-Identifier: BSD-3-Clause
"""Pods are processes: they see their volumes and their address, end by SIGTERM or SIGKILL, and leave nothing."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.demo.kubernetes.conftest import IMAGE, SPACE, Make, Reach, phase, pod, secret


def shell(script: str, **spec: object) -> dict:
    """A pod that runs a script."""
    return pod("lab", "/bin/bash", "-c", script, **spec)


async def until_said(reach: Reach, text: str) -> str:
    """The pod's log once it has *text*."""
    async with asyncio.timeout(60):
        while text not in (said := await reach.api.read_namespaced_pod_log("lab", SPACE)):
            await asyncio.sleep(0.02)
    return said


async def test_a_pod_runs_from_scheduled_to_succeeded(real: Reach) -> None:
    """Phase, addresses, container states, log, and the events in the real order and words."""
    await real.apply(shell("echo hello; echo oops >&2"))
    tree = await real.until(phase("Succeeded"))
    assert tree["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert tree["status"]["podIP"].startswith("127.50.")
    assert await real.api.read_namespaced_pod_log("lab", SPACE) == "hello\noops\n"
    reasons, messages = zip(*real.events(), strict=True)
    assert reasons == ("Scheduled", "Pulling", "Pulled", "Created", "Started")
    assert messages[0] == f"Successfully assigned labs/lab to {tree['spec']['nodeName']}"
    assert messages[1] == f'Pulling image "{IMAGE}"'
    assert messages[3:] == ("Created container: lab", "Started container lab")


async def test_a_pod_that_fails_says_its_code(real: Reach) -> None:
    """Phase Failed, reason Error."""
    await real.apply(shell("exit 3"))
    tree = await real.until(phase("Failed"))
    assert tree["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


async def test_a_container_sees_its_volumes_and_who_it_is(real: Reach, tmp_path: Path) -> None:
    """Secret 0400 under the mount path, a writable home that is a claim, environment from the pod's fields."""
    await real.apply(
        secret(
            "lab",
            **{
                "start.sh": "cat secret.txt; stat -L -c %a secret.txt; echo kept > $HOME/file",
                "secret.txt": "s3cret\n",
            },
        )
    )
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "home-x"}}
    await real.apply(claim | {"spec": {"resources": {"requests": {"storage": "1Gi"}}}})
    container = {
        "command": ["/bin/bash", "/jsc/start.sh"],
        "workingDir": "/jsc",
        "volumeMounts": [{"name": "jsc", "mountPath": "/jsc"}, {"name": "home", "mountPath": "/home/jovyan"}],
        "env": [
            {"name": "HOME", "value": "/home/jovyan"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
    }
    volumes = [
        {"name": "jsc", "secret": {"secretName": "lab", "defaultMode": 0o400}},
        {"name": "home", "persistentVolumeClaim": {"claimName": "home-x"}},
    ]
    await real.apply(pod(container=container, volumes=volumes))
    await real.until(phase("Succeeded"))
    assert await real.api.read_namespaced_pod_log("lab", SPACE) == "s3cret\n400\n"
    await real.api.delete_namespaced_pod("lab", SPACE)
    home = tmp_path / "cluster" / "volumes" / SPACE / "home-x"
    assert (home / "file").read_text() == "kept\n"
    assert list((tmp_path / "cluster" / "pods").iterdir()) == []
    await real.api.delete_namespaced_persistent_volume_claim("home-x", SPACE)
    async with asyncio.timeout(10):
        while home.exists():
            await asyncio.sleep(0.01)


async def test_deletion_sends_sigterm_and_waits_for_the_end(real: Reach) -> None:
    """The object stays, marked, until its process has ended; what the process left running is gone too."""
    await real.apply(
        shell("sleep 1000 & echo $!; trap 'sleep 0.3; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    )
    await real.until(phase("Running"))
    child = int((await until_said(real, "ready")).split()[0])
    answer = await real.api.delete_namespaced_pod("lab", SPACE)
    assert answer.metadata.deletion_timestamp
    assert (await real.pod())["metadata"]["deletionGracePeriodSeconds"] == 10
    await real.gone()
    assert ("Killing", "Stopping container lab") in real.events()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_what_ignores_sigterm_is_killed_when_its_grace_is_over(real: Reach) -> None:
    """A second deletion in more haste counts."""
    await real.apply(
        shell("trap '' TERM; echo ready; while :; do sleep 0.05; done", terminationGracePeriodSeconds=1000)
    )
    await until_said_running(real)
    await real.api.delete_namespaced_pod("lab", SPACE)
    assert (await real.pod())["metadata"]["deletionGracePeriodSeconds"] == 1000
    await real.api.delete_namespaced_pod("lab", SPACE, grace_period_seconds=1)
    await real.gone()


async def until_said_running(reach: Reach) -> None:
    """Return once the pod's process has begun."""
    await reach.until(phase("Running"))
    await until_said(reach, "ready")


async def test_a_forced_deletion_removes_the_object_at_once(real: Reach) -> None:
    """The process is killed all the same."""
    await real.apply(shell("echo ready $$; sleep 1000"))
    await real.until(phase("Running"))
    child = int((await until_said(real, "ready")).split()[1])
    await real.api.delete_namespaced_pod("lab", SPACE, grace_period_seconds=0)
    assert await real.pod() is None
    async with asyncio.timeout(60):
        while Path(f"/proc/{child}").exists():
            await asyncio.sleep(0.01)


async def test_the_end_of_the_server_ends_all_pods(make: Make) -> None:
    """No process is left when the cluster has stopped."""
    async with make(processes=True) as reach:
        await reach.apply(shell("echo ready $$; sleep 1000"))
        await reach.until(phase("Running"))
        child = int((await until_said(reach, "ready")).split()[1])
    assert not Path(f"/proc/{child}").exists()


async def test_a_time_limit_ends_the_pod(real: Reach) -> None:
    """activeDeadlineSeconds: phase Failed with the reason, in status and event."""
    await real.apply(shell("sleep 1000", activeDeadlineSeconds=1))
    tree = await real.until(phase("Failed"))
    assert tree["status"]["reason"] == "DeadlineExceeded"
    assert tree["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    assert "DeadlineExceeded" in dict(real.events())


async def test_out_of_memory_is_said(real: Reach) -> None:
    """As the kernel kills: 137, OOMKilled."""
    await real.apply(shell("sleep 1000"))
    await real.until(phase("Running"))
    real.cluster.out_of_memory(SPACE, "lab")
    tree = await real.until(phase("Failed"))
    ended = tree["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_an_evicted_pod_says_why(real: Reach) -> None:
    """Phase Failed, reason Evicted, no process."""
    await real.apply(shell("sleep 1000"))
    await real.until(phase("Running"))
    real.cluster.evict(SPACE, "lab")
    tree = await real.until(phase("Failed"))
    assert tree["status"]["reason"] == "Evicted"
    assert tree["status"]["message"].startswith("The node was low on resource: memory.")


async def test_a_crash_loop_waits_longer_each_time(real: Reach) -> None:
    """With restartPolicy Always: CrashLoopBackOff, restarts are counted, the last state is kept."""
    await real.apply(shell("exit 1", restartPolicy="Always"))
    tree = await real.until(lambda tree: tree["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 2)
    found = tree["status"]["containerStatuses"][0]
    assert found["lastState"]["terminated"]["exitCode"] == 1
    assert "BackOff" in dict(real.events())


@pytest.mark.parametrize(
    ("image", "reason", "event"),
    [
        ("registry.example.org/nothing:1", "ImagePullBackOff", "BackOff"),
        ("Not//An::Image", "InvalidImageName", "InspectFailed"),
    ],
)
async def test_an_image_that_cannot_be_had(reach: Reach, image: str, reason: str, event: str) -> None:
    """The container waits with the reason; events in the real words."""
    reach.cluster.faults.missing_images.add("registry.example.org/nothing:1")
    await reach.apply(pod(container={"image": image}))
    await reach.until(
        lambda tree: (
            tree["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}).get("reason") == reason
        )
    )
    async with asyncio.timeout(30):
        while event not in dict(reach.events()) or "Failed" not in dict(reach.events()):
            await reach.cluster.store.wait(reach.cluster.store.version)
    await reach.api.delete_namespaced_pod("lab", SPACE)
    await reach.gone()


async def test_a_pod_without_its_secret_waits(reach: Reach) -> None:
    """FailedMount, until the Secret is there."""
    await reach.apply(pod(volumes=[{"name": "jsc", "secret": {"secretName": "lab"}}]))
    async with asyncio.timeout(30):
        while (
            "FailedMount",
            'MountVolume.SetUp failed for volume "jsc" : secret "lab" not found',
        ) not in reach.events():
            await reach.cluster.store.wait(reach.cluster.store.version)
    await reach.apply(secret())
    await reach.until(phase("Running"))


async def test_a_log_that_is_not_there_yet(reach: Reach) -> None:
    """400 that says what the container waits for."""
    reach.cluster.faults.pull_s = 1000
    await reach.apply(pod())
    await reach.until(lambda tree: tree["status"].get("containerStatuses"))
    async with reach.http.get(f"{reach.url}/api/v1/namespaces/{SPACE}/pods/lab/log") as answer:
        assert (await answer.json())["message"] == 'container "lab" in pod "lab" is waiting to start: ContainerCreating'


async def test_a_lost_node_keeps_its_pods_until_it_is_back(real: Reach) -> None:
    """Marked for deletion, not ready, the process runs on; a new pod goes elsewhere; the node's return ends it."""
    await real.apply(shell("echo ready $$; sleep 1000"))
    node = (await real.until(phase("Running")))["spec"]["nodeName"]
    child = int((await until_said(real, "ready")).split()[1])
    real.cluster.lose_node(node)
    tree = await real.until(lambda tree: "deletionTimestamp" in tree["metadata"])
    conditions = {one["type"]: one for one in tree["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False"
    assert conditions["DisruptionTarget"]["reason"] == "DeletionByTaintManager"
    await real.apply(pod("other"))
    assert (await real.until(phase("Running"), "other"))["spec"]["nodeName"] != node
    assert await real.pod()
    real.cluster.regain_node(node)
    await real.gone()
    assert not Path(f"/proc/{child}").exists()
