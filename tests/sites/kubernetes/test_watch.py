# SPDX-License-Identifier: BSD-3-Clause
"""What a driver knows without asking, and when it does not know.

Aspects: no request for a poll; each way to fail as the cluster shows it; outages, silent and expired watches; what is gone.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_jsc import wire
from jupyter_jsc.demo.kubernetes import Cluster, Namespace, Node
from jupyter_jsc.demo.kubernetes.store import Key
from jupyter_jsc.sites.kubernetes import KubernetesSite, mirror, watch
from tests.sites.kubernetes.conftest import (
    IMAGE,
    SPACE,
    Make,
    Place,
    codes,
    configuration,
    reference,
    start_lab,
    state,
    system,
    until_state,
)
from tests.sites.kubernetes.test_driver import manifests


class Time:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


async def started(driver: KubernetesSite, user: str = "alice", **options: object) -> wire.LabRef:
    lab = start_lab(user, **options)
    return reference(lab, await driver.start(lab, None))


async def running(driver: KubernetesSite, user: str = "alice") -> wire.LabRef:
    ref = await started(driver, user)
    await until_state(driver, ref, "running")
    return ref


async def test_a_poll_costs_no_request(place: Place, driver: KubernetesSite) -> None:
    """A thousand questions about labs that are there are answered from memory."""
    labs = [await running(driver, user) for user in ("alice", "bob")]
    before = place.cluster.requests.copy()
    for _ in range(500):
        assert {found.state for found in (await driver.poll(labs)).values()} == {"running"}
    assert place.cluster.requests == before


async def test_a_lab_that_was_just_started_is_not_gone(place: Place, driver: KubernetesSite) -> None:
    """Its pod was not seen yet: it is starting, until a list that began later does not have it."""
    await until_state(driver, await started(driver), "running")
    place.cluster.faults.watches_silent = True
    ref = await started(driver, "bob")
    assert (await state(driver, ref)).state == "starting"
    assert (await state(driver, ref)).nodes == [f"svc-{ref.lab_id}.{SPACE}.svc"]
    assert (await until_state(driver, ref, "running")).state == "running"


async def test_a_lab_that_nobody_has_ended(place: Place, driver: KubernetesSite) -> None:
    """What a complete list does not have is gone, and the events that it left may say why."""
    ref = await running(driver)
    [pod] = place.objects("pods")
    await driver.stop(ref)
    async with place.driver() as other:
        ended = await until_state(other, ref, "ended")
    assert (ended.code, codes(ended.history)[0]) == ("deleted", "scheduled")
    assert pod["metadata"]["uid"] in ref.handle.url


FAILURES: dict[str, tuple[dict[str, Any], Callable[[Cluster, str], None], str, str, str]] = {
    "memory": (
        {},
        lambda cluster, lab: cluster.out_of_memory(SPACE, lab),
        "ended",
        "memory",
        "more memory than it may",
    ),
    "evicted": ({}, lambda cluster, lab: cluster.evict(SPACE, lab), "ended", "evicted", "ran short of memory"),
    "node": (
        {},
        lambda cluster, _: [cluster.lose_node(f"node{n}") for n in (1, 2)],
        "ended",
        "node_lost",
        "node was lost",
    ),
}


@pytest.mark.parametrize("why", FAILURES)
async def test_a_running_lab_fails(make: Make, why: str) -> None:
    """Each way has its code and a sentence that says what to do."""
    settings, act, wanted, code, said = FAILURES[why]
    async with make(**settings) as place, place.driver() as driver:
        ref = await running(driver)
        act(place.cluster, ref.lab_id)
        found = await until_state(driver, ref, wanted)
        assert (found.code, said in found.text) == (code, True), found
        assert "tart" in found.text
        assert ("demo", ref.start_id) in place.told
        for node in ("node1", "node2"):
            place.cluster.regain_node(node)


WAITING: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "memory": (
        {"nodes": (Node("node1", {"cpu": "4", "memory": "1Mi", "pods": "9"}),)},
        {},
        "fit",
        "enough memory free",
    ),
    "cpu": (
        {"nodes": (Node("node1", {"cpu": "0", "memory": "9Gi", "pods": "9"}),)},
        {},
        "fit",
        "enough processor cores",
    ),
    "full": ({"nodes": (Node("node1", {"cpu": "4", "memory": "9Gi", "pods": "0"}),)}, {}, "fit", "all nodes are full"),
    "volume": ({}, {"unbound_volumes": True}, "volume", "volume of the home"),
}


@pytest.mark.parametrize("why", WAITING)
async def test_a_lab_that_does_not_fit_waits(make: Make, why: str) -> None:
    """It is queued, with the sentence that names what is missing: a node may come."""
    settings, faults, code, said = WAITING[why]
    async with make(**settings) as place, place.driver() as driver:
        for name, value in faults.items():
            setattr(place.cluster.faults, name, value)
        ref = await started(driver)
        found = await until_state(driver, ref, lambda found: found.code == code)
        assert found.state == "queued"
        assert said in found.text
        await driver.stop(ref)
        assert place.objects("pods", "secrets", "services") == []


async def test_an_image_that_is_missing_ends_the_start(place: Place, driver: KubernetesSite) -> None:
    """First it waits and says so; after three attempts it has ended, and names the image."""
    place.cluster.faults.missing_images = {IMAGE}
    ref = await started(driver)
    ended = await until_state(driver, ref, "ended")
    assert ended.code == "image"
    assert ended.text.startswith(f"There is no image {IMAGE}.")
    assert {"pulling", "pull_failed"} <= set(codes(ended.history))
    await driver.stop(ref)


async def test_a_name_that_is_no_image(make: Make) -> None:
    """It is known at once that this will never be an image."""
    container = {"name": "lab", "image": "UPPER CASE:x"}
    async with (
        make(namespaces=(Namespace(SPACE, "privileged"),)) as place,
        place.driver(configuration=configuration(system(), manifests=manifests(container))) as driver,
    ):
        ended = await until_state(driver, await started(driver), "ended")
        assert (ended.code, "no name of an image" in ended.text) == ("image", True), ended


async def test_an_image_that_takes_long_is_queued(place: Place, driver: KubernetesSite) -> None:
    """Loading is no failure, however long it takes."""
    place.cluster.faults.pull_s = 0.5
    ref = await started(driver)
    loading = await until_state(driver, ref, lambda found: "pulling" in codes(found.history))
    assert loading.state in {"queued", "starting"}
    done = await until_state(driver, ref, "running")
    assert f"Loading the image {IMAGE}." in [event.text for event in done.history]


@pytest.mark.parametrize(
    ("script", "spec", "code", "said", "exit_code"),
    [
        ("echo why it failed >&2; exit 3", {}, "exited", "exit code 3", 3),
        ("echo why it failed; exit 127", {}, "exited", "not in its image", 127),
        ("echo why it failed; exit 0", {}, "exited", "has ended", 0),
        ("echo why it failed; exec sleep 600", {"activeDeadlineSeconds": 1}, "time_limit", "time is over", 137),
        ("echo why it failed; exit 1", {"restartPolicy": "Always"}, "crash_loop", "again and again", None),
    ],
    ids=["error", "missing", "good", "time", "loop"],
)
async def test_a_lab_that_ends_shows_its_last_lines(
    make: Make, script: str, spec: dict[str, Any], code: str, said: str, exit_code: int | None
) -> None:
    """Its end is told together with what it wrote last, never before."""
    container = {"name": "lab", "image": "${image}", "command": ["/bin/sh", "-c", script]}
    spec = {"terminationGracePeriodSeconds": 1, **spec}
    async with (
        make(processes=True, namespaces=(Namespace(SPACE, "privileged"),)) as place,
        place.driver(configuration=configuration(system(), manifests=manifests(container, **spec))) as driver,
    ):
        ref = await started(driver)
        ended = await until_state(driver, ref, "ended")
        assert (ended.code, said in ended.text) == (code, True), ended
        assert ended.log_tail == "why it failed\n" or (code == "crash_loop" and "why it failed" in ended.log_tail)
        if exit_code is not None and code != "time_limit":
            assert ended.exit_code == exit_code
        assert (await state(driver, ref)) == ended
        await driver.stop(ref)


async def test_a_lab_that_somebody_deletes(place: Place, driver: KubernetesSite) -> None:
    """It runs until its pod is gone; then it has ended, by somebody's hand."""
    ref = await running(driver)
    [pod] = place.objects("pods")
    granted = driver._api
    await granted.delete("pods", ref.lab_id, pod["metadata"]["uid"])
    ended = await until_state(driver, ref, "ended")
    assert (ended.code, ended.text.startswith("Somebody ended the lab")) == ("deleted", True)


async def test_states_are_unknown_when_the_cluster_is_not_heard(place: Place) -> None:
    """An hour without an answer ends nothing; when it answers again everything is known again, without anybody's help."""
    clock = Time()

    async def pause(_seconds: float) -> None:
        await asyncio.sleep(0.01)

    async with place.driver(clock=clock, pause=pause) as driver:
        ref = await running(driver)
        place.cluster.faults.answer_status = 503
        place.cluster.end_watches()
        clock.ahead += watch.STALE_S + 1
        assert await state(driver, ref) == wire.LabState(state="unknown", code="unavailable")
        async with asyncio.timeout(60):
            while "does not answer properly" not in (await driver.health()).text:
                await asyncio.sleep(0.01)
        clock.ahead += 3600
        assert (await state(driver, ref)).state == "unknown"
        place.cluster._api.watches._closed = False
        place.cluster.faults.answer_status = None
        assert (await until_state(driver, ref, "running")).state == "running"
        assert (await driver.health()).available


@pytest.mark.parametrize("fault", ["watches_end", "watches_gone"])
async def test_a_watch_that_breaks_is_replaced(place: Place, fault: str) -> None:
    """One that ends at once, or is too old (410), costs a list, and nothing is missed; not in a tight circle."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.02)

    async with place.driver(pause=pause) as driver:
        setattr(place.cluster.faults, fault, True)
        place.cluster.end_watches()
        place.cluster._api.watches._closed = False
        ref = await started(driver)
        assert (await until_state(driver, ref, "running")).state == "running"
        place.cluster.evict(SPACE, ref.lab_id)
        assert (await until_state(driver, ref, "ended")).code == "evicted"
        asked = sum(place.cluster.requests.values())
        assert asked <= 10 + 3 * (len(pauses) + 4), (asked, len(pauses))


async def test_a_silent_watch_has_an_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that died without a word is given up, and what it hid is found by the next list."""
    monkeypatch.setattr(mirror, "WATCH_S", 0.2)
    monkeypatch.setattr("jupyter_jsc.sites.kubernetes.api._WATCH_GRACE_S", 0.2)
    async with place.driver() as driver:
        ref = await running(driver)
        place.cluster.faults.hang = True
        async with asyncio.timeout(60):
            while driver._labs.trouble() is None:
                await asyncio.sleep(0.01)
        place.cluster.faults.hang = False
        place.cluster.evict(SPACE, ref.lab_id)
        assert (await until_state(driver, ref, "ended")).code == "evicted"


async def test_everything_is_listed_again_at_intervals(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a watch lost without a sign is found out; pods that vanished meanwhile have ended."""
    monkeypatch.setattr(mirror, "WATCH_S", 0.1)
    monkeypatch.setattr("jupyter_jsc.sites.kubernetes.api._WATCH_GRACE_S", 0.1)
    monkeypatch.setattr(mirror, "LIST_EVERY_S", 0.3)
    monkeypatch.setattr(mirror, "SOONEST_LIST_S", 0.05)
    async with place.driver() as driver:
        ref = await running(driver)
        place.cluster.faults.watches_silent = True
        place.cluster.store.remove(Key("pods", SPACE, ref.lab_id))
        assert (await until_state(driver, ref, "ended")).code == "deleted"


async def test_a_missing_right_is_said_and_heals(place: Place) -> None:
    """Whoever may not list pods knows nothing, says which right is missing, and goes on when it is granted."""
    place.cluster.faults.missing_rights = {("list", "pods")}

    async def pause(_seconds: float) -> None:
        await asyncio.sleep(0.01)

    async with place.driver(pause=pause) as driver:
        ref = await started(driver)
        async with asyncio.timeout(60):
            while "list pods in userlabs" not in (await driver.health()).text:
                await asyncio.sleep(0.01)
        assert (await state(driver, ref)).state == "unknown"
        place.cluster.faults.missing_rights = set()
        assert (await until_state(driver, ref, "running")).state == "running"


async def test_labs_are_seen_without_events(place: Place) -> None:
    """Whoever may not list events sees states without words, and says which right is missing."""
    place.cluster.faults.missing_rights = {("list", "events")}
    async with place.driver() as driver:
        ref = await running(driver)
        async with asyncio.timeout(60):
            while "list events in userlabs" not in (await driver.health()).text:
                await asyncio.sleep(0.01)
        assert (await driver.health()).available
        assert (await state(driver, ref)).history == []


async def test_many_idle_labs_are_one_watch(place: Place, driver: KubernetesSite) -> None:
    """Two watches in all, however many labs."""
    await asyncio.gather(*(started(driver, f"user{number}") for number in range(30)))
    assert place.cluster.watches == 2
