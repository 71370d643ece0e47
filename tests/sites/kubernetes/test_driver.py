# SPDX-License-Identifier: BSD-3-Clause
"""The driver's life of a lab on a cluster.

Aspects: what a start makes and costs; repeated, refused, half-made and competing starts; stop; log; many hubs and replicas.
"""

import asyncio
import base64
import json

import pytest
from pydantic import SecretStr

from jupyter_jsc import names, wire
from jupyter_jsc.demo.kubernetes import Namespace
from jupyter_jsc.errors import Conflict, InvalidRequest, NotFound, SiteRefused, SiteUnavailable
from jupyter_jsc.sites.kubernetes import KubernetesSite
from tests.sites.kubernetes.conftest import (
    OTHER_IMAGE,
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

LAB_KINDS = ("pods", "secrets", "services")


def settled(found: wire.LabState) -> bool:
    """Whether a lab runs, and all that is told of its start was heard."""
    return found.state == "running" and codes(found.history)[-1:] == ["container_started"]


async def test_a_lab_from_start_to_stop(place: Place, driver: KubernetesSite) -> None:
    """It runs, is told of, names the only host that a tunnel may have, costs few requests, and leaves the home alone."""
    lab = start_lab()
    answer = await driver.start(lab, None)
    running = await until_state(driver, reference(lab, answer), settled)
    assert running.nodes == [f"svc-{lab.lab_id}.{SPACE}.svc"]
    assert running.ends is not None
    assert answer.site_token is None
    assert ("demo", lab.start_id) in place.told
    assert running.history[0].text.startswith("Scheduled on node")
    await driver.stop(reference(lab, answer))
    assert [tree["kind"] for tree in place.objects()] == ["PersistentVolumeClaim"]
    assert place.asked() - 2 <= 12, place.cluster.requests  # the two lists are the driver's, not the lab's


async def test_what_a_lab_is_made_of(place: Place, driver: KubernetesSite) -> None:
    """Names, labels and one owner of everything but the home, which is the user's; chosen values where they belong."""
    lab = start_lab(image="other")
    await driver.start(lab, None)
    pod, secret, service, claim = place.objects()
    assert [pod["metadata"]["name"], secret["metadata"]["name"]] == [lab.lab_id, lab.lab_id]
    assert service["metadata"]["name"] == f"svc-{lab.lab_id}"
    assert claim["metadata"]["name"] == f"home-{names.user_id('demo', 'alice')}"
    for tree in (pod, secret, service):
        labels = tree["metadata"]["labels"]
        assert (labels["jupyter-jsc/lab"], labels["jupyter-jsc/start"]) == (lab.lab_id, lab.start_id)
        assert (labels["jupyter-jsc/hub"], labels["app.kubernetes.io/managed-by"]) == ("demo", "jupyter-jsc")
    for tree in (pod, service):
        assert [owner["uid"] for owner in tree["metadata"]["ownerReferences"]] == [secret["metadata"]["uid"]]
    assert "ownerReferences" not in claim["metadata"]
    assert {entry["manager"] for entry in service["metadata"]["managedFields"]} == {"jupyter-jsc"}
    container = pod["spec"]["containers"][0]
    assert container["image"] == OTHER_IMAGE
    assert container["resources"]["limits"] == {"cpu": 1, "memory": "1Gi"}
    assert pod["spec"]["activeDeadlineSeconds"] == 1800
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert service["spec"]["selector"] == {"jupyter-jsc/lab": lab.lab_id, "jupyter-jsc/start": lab.start_id}


async def test_secrets_are_in_the_secret_only(place: Place, driver: KubernetesSite) -> None:
    """Never in environment, arguments or annotations; a user's credential reaches no cluster at all."""
    await driver.start(start_lab(), SecretStr("the-users-access-token"))
    pod, secret, service, claim = place.objects()
    files = {name: base64.b64decode(data).decode() for name, data in secret["data"].items()}
    assert set(files) >= {"start.sh", "launcher.py", "prepare.py", "jsc_lab.py", "lab.json", "secrets.json"}
    assert [name for name, text in files.items() if "s3cr3t-api-token" in text] == ["secrets.json"]
    assert json.loads(files["lab.json"])["hub_urls"] == ["http://jhub.k8smgr.svc:8081"]
    assert "s3cr3t" not in json.dumps([pod, service, claim])
    assert "the-users-access-token" not in json.dumps([pod, service, claim, files])


async def test_a_repeated_start_changes_nothing(place: Place, driver: KubernetesSite) -> None:
    """The same handle, and every object as it was."""
    lab = start_lab()
    first = await driver.start(lab, None)
    await until_state(driver, reference(lab), "running")
    before = [tree["metadata"]["resourceVersion"] for tree in place.objects()]
    second = await driver.start(lab, None)
    assert second.handle == first.handle
    assert [tree["metadata"]["resourceVersion"] for tree in place.objects()] == before


async def test_the_same_start_at_two_managers_is_one_pod(place: Place, driver: KubernetesSite) -> None:
    """Twenty requests at once over two replicas meet at one pod."""
    lab = start_lab()
    async with place.driver() as other:
        answers = await asyncio.gather(*(one.start(lab, None) for one in (driver, other) * 10))
    assert len({answer.handle.url for answer in answers}) == 1
    assert len(place.objects("pods")) == 1


async def test_a_second_replica_says_the_same(place: Place, driver: KubernetesSite) -> None:
    """A manager that has just started, and has never heard of the lab, answers for it, and stops it without a handle."""
    lab = start_lab()
    answer = await driver.start(lab, None)
    here = await until_state(driver, reference(lab, answer), settled)
    async with place.driver() as other:
        there = await until_state(other, reference(lab), settled)
        assert there == here
        await other.stop(reference(lab))
    assert place.objects(*LAB_KINDS) == []
    assert (await until_state(driver, reference(lab, answer), "ended")).state == "ended"


async def test_hubs_do_not_see_or_touch_each_other(place: Place, driver: KubernetesSite) -> None:
    """Another hub that knows both ids gets no state, no log, and stops nothing."""
    lab = start_lab()
    answer = await driver.start(lab, None)
    await until_state(driver, reference(lab), "running")
    stranger = reference(lab, answer, hub="other")
    assert (await until_state(driver, stranger, "ended")).nodes == [f"svc-{lab.lab_id}.{SPACE}.svc"]
    await driver.stop(stranger)
    with pytest.raises(NotFound):
        await driver.log(stranger)
    assert (await state(driver, reference(lab))).state == "running"


async def test_a_name_of_another_hub_is_never_taken(place: Place, driver: KubernetesSite) -> None:
    """Whatever has the name of a lab and is not this hub's stays as it is."""
    lab = start_lab()
    await driver.start(lab, None)
    await until_state(driver, reference(lab), "running")
    before = place.objects("pods", "secrets")
    with pytest.raises(Conflict):
        await driver.start(lab.model_copy(update={"hub": "other", "start_id": names.new_start_id()}), None)
    assert place.objects("pods", "secrets") == before
    alone = start_lab("bob")
    place.cluster.faults.unscheduled = True
    foreign = {"metadata": {"name": alone.lab_id, "namespace": SPACE}, "spec": {"containers": []}, "status": {}}
    place.put("pods", alone.lab_id, foreign)
    with pytest.raises(Conflict):
        await driver.start(alone, None)
    assert place.get("pods", alone.lab_id)["spec"] == {"containers": []}
    assert [place.get("secrets", alone.lab_id), place.get("services", f"svc-{alone.lab_id}")] == [None, None]


async def test_an_older_start_is_ended_first(place: Place, driver: KubernetesSite) -> None:
    """Never two pods of one lab: the old one is proven gone before the new one is made."""
    first, second = start_lab(), start_lab()
    old = await driver.start(first, None)
    await until_state(driver, reference(first), "running")
    new = await driver.start(second, None)
    assert old.handle != new.handle
    assert (await until_state(driver, reference(second), "running")).state == "running"
    assert (await until_state(driver, reference(first, old), "ended")).state == "ended"
    assert [tree["metadata"]["labels"]["jupyter-jsc/start"] for tree in place.objects(*LAB_KINDS)] == [
        second.start_id
    ] * 3


async def test_a_stop_of_an_older_start_leaves_the_new_one(place: Place, driver: KubernetesSite) -> None:
    """A late stop, with or without its handle, ends nothing of the start that came after."""
    first, second = start_lab(), start_lab()
    old = await driver.start(first, None)
    await driver.start(second, None)
    before = place.objects("secrets", "services")
    for ref in (reference(first, old), reference(first)):
        await driver.stop(ref)
    await until_state(driver, reference(second), "running")
    assert place.objects("secrets", "services") == before


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
async def test_lost_answers_cost_no_second_pod(place: Place, driver: KubernetesSite, lost: int) -> None:
    """Requests whose answer is lost may have been carried out: the repeat finds what is there and completes it."""
    lab = start_lab()
    place.cluster.faults.cut = lost
    for _ in range(lost):
        try:
            await driver.start(lab, None)
            break
        except SiteUnavailable:
            continue
    place.cluster.faults.cut = 0
    await driver.start(lab, None)
    assert [len(place.objects(plural)) for plural in (*LAB_KINDS, "persistentvolumeclaims")] == [1, 1, 1, 1]
    assert (await until_state(driver, reference(lab), "running")).state == "running"


async def test_what_a_lost_start_left_is_found_by_stop(place: Place, driver: KubernetesSite) -> None:
    """A start that the hub gives up leaves nothing, wherever it broke."""
    for kind in ("pods", "services", "persistentvolumeclaims"):
        lab = start_lab()
        place.cluster.faults.missing_rights = {("create", kind), ("patch", kind)}
        with pytest.raises(SiteUnavailable, match=f"lacks a right on CLOUD: (create|patch) {kind} in {SPACE}"):
            await driver.start(lab, None)
        place.cluster.faults.missing_rights = set()
        await driver.stop(reference(lab))
        assert place.objects(*LAB_KINDS) == []


REFUSALS = {
    "quota": (
        {"namespaces": (Namespace(SPACE, quotas={"q": {"limits.memory": "512Mi"}}),)},
        "not enough memory",
    ),
    "number": ({"namespaces": (Namespace(SPACE, quotas={"few": {"pods": "0"}}),)}, "not enough labs"),
    "homes": ({"namespaces": (Namespace(SPACE, quotas={"q": {"requests.storage": "1Gi"}}),)}, "storage for homes"),
    "services": ({"namespaces": (Namespace(SPACE, quotas={"q": {"services": "0"}}),)}, "not enough labs"),
}


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_refused_start_leaves_nothing(make: Make, why: str) -> None:
    """The user reads which quota is full; no object stays, no home either, and it is refused again in the same way."""
    settings, said = REFUSALS[why]
    async with make(**settings) as place, place.driver() as driver:
        for _ in range(2):
            with pytest.raises(SiteRefused, match=said) as refused:
                await driver.start(start_lab(), None)
            assert "CLOUD" in refused.value.message
            await place.until(lambda: place.objects() == [])


async def test_admission_refuses(make: Make) -> None:
    """A manifest that Pod Security refuses, or a webhook: a sentence, and nothing is left."""
    weak = [
        {"apiVersion": "v1", "kind": "Secret"},
        {"apiVersion": "v1", "kind": "Service"},
        {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "lab", "image": "${image}"}]}},
    ]
    async with make() as place:
        async with place.driver(configuration=configuration(system(), manifests=weak)) as driver:
            with pytest.raises(SiteRefused, match=r"security rules of CLOUD \(restricted:latest\)"):
                await driver.start(start_lab(), None)
        async with place.driver() as driver:
            place.cluster.faults.webhook = "image lab:1 is not signed."
            with pytest.raises(SiteRefused, match="refuses this lab: image lab:1 is not signed"):
                await driver.start(start_lab(), None)
        assert place.objects() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"option": "hpc"}, "'hpc' does not run in clusters"),
        ({"image": "none"}, "image: 'none' is not known"),
        ({"partition": "large"}, "partition: 'large' is not known"),
        ({"resources": {"nodes": 1}}, "resources: 'nodes' is not known"),
    ],
    ids=str,
)
async def test_what_the_configuration_lacks_is_refused(
    place: Place, driver: KubernetesSite, options: dict[str, object], said: str
) -> None:
    """Before anything reaches the cluster."""
    with pytest.raises(InvalidRequest, match=said):
        await driver.start(start_lab(**options), None)
    assert place.objects() == []


async def test_a_hub_whose_name_is_no_label(place: Place, driver: KubernetesSite) -> None:
    """A name that labels can't hold is said, not cut: two hubs never become one."""
    with pytest.raises(InvalidRequest, match="hub: "):
        await driver.start(start_lab(hub="a" * 64), None)
    assert place.objects() == []


async def test_a_home_keeps_its_size(place: Place, driver: KubernetesSite) -> None:
    """A user who chooses another home later works in the one that is there, if the cluster can't change it."""
    resources = {"cpus": 1, "memory": 1, "home": 5, "runtime": 30}
    first = start_lab(resources=resources)
    await driver.start(first, None)
    await driver.stop(reference(first))
    [claim] = place.objects("persistentvolumeclaims")
    place.put(
        "persistentvolumeclaims",
        claim["metadata"]["name"],
        {**claim, "spec": {**claim["spec"], "accessModes": ["ReadWriteMany"]}},
    )
    second = start_lab(resources=resources | {"home": 1})
    await driver.start(second, None)
    assert (await until_state(driver, reference(second), "running")).state == "running"
    [kept] = place.objects("persistentvolumeclaims")
    assert (kept["spec"]["accessModes"], kept["metadata"]["uid"]) == (["ReadWriteMany"], claim["metadata"]["uid"])


async def test_labs_of_one_user_share_the_home(place: Place, driver: KubernetesSite) -> None:
    """One home for each user of a hub; another hub's user of the same name has another."""
    for lab in (
        start_lab(),
        start_lab().model_copy(update={"lab_id": names.lab_id("demo", "alice", "two")}),
        start_lab(hub="b"),
    ):
        await driver.start(lab, None)
    assert len(place.objects("persistentvolumeclaims")) == 2


async def test_a_stop_waits_until_the_pod_is_gone(make: Make) -> None:
    """Not merely marked: a pod on a lost node is not proven gone, and the stop says so; later it is."""
    async with make() as place, place.driver(pause=no_pause) as driver:
        lab = start_lab()
        await driver.start(lab, None)
        await until_state(driver, reference(lab), "running")
        node = place.get("pods", lab.lab_id)["spec"]["nodeName"]
        place.cluster.lose_node(node)
        stop = asyncio.ensure_future(driver.stop(reference(lab)))
        await place.until(lambda: "deletionTimestamp" in place.get("pods", lab.lab_id)["metadata"])
        assert not stop.done()
        assert place.get("secrets", lab.lab_id) is not None
        place.cluster.regain_node(node)
        await stop
        assert place.objects(*LAB_KINDS) == []


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


async def test_a_stop_may_be_repeated(place: Place, driver: KubernetesSite) -> None:
    """Ten at once, and of a lab that never was."""
    lab = start_lab()
    answer = await driver.start(lab, None)
    await asyncio.gather(*(driver.stop(reference(lab, answer)) for _ in range(10)))
    await driver.stop(reference(lab, answer))
    await driver.stop(reference(start_lab("nobody")))
    assert place.objects(*LAB_KINDS) == []


@pytest.mark.parametrize("status", [500, 503, 401])
async def test_a_cluster_in_trouble_proves_nothing(place: Place, driver: KubernetesSite, status: int) -> None:
    """Start, stop and log say that it does not answer, as a thing that time mends; the lab runs on."""
    lab = start_lab()
    await driver.start(lab, None)
    await until_state(driver, reference(lab), "running")
    place.cluster.faults.answer_status = status
    for attempt in (driver.stop(reference(lab)), driver.start(lab, None), driver.log(reference(lab))):
        with pytest.raises(SiteUnavailable):
            await attempt
    place.cluster.faults.answer_status = None
    assert (await state(driver, reference(lab))).state == "running"


@pytest.mark.parametrize("fault", ["html", "cut_json"])
async def test_a_proxy_that_answers_in_its_place(place: Place, driver: KubernetesSite, fault: str) -> None:
    """HTML and half answers are no answers; a 404 page of a proxy does not say that a pod is gone."""
    lab = start_lab()
    await driver.start(lab, None)
    setattr(place.cluster.faults, fault, True)
    place.cluster.faults.answer_status = 404 if fault == "html" else None
    with pytest.raises(SiteUnavailable):
        await driver.stop(reference(lab))
    setattr(place.cluster.faults, fault, False)
    place.cluster.faults.answer_status = None
    assert place.get("pods", lab.lab_id) is not None


async def test_a_busy_server_is_asked_again_when_it_says(place: Place) -> None:
    """429 with Retry-After is waited for as told, and the start succeeds."""
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    async with place.driver(pause=pause) as driver:
        lab = start_lab()
        await until_state(driver, reference(lab), lambda found: found.state != "unknown")
        waits.clear()
        place.cluster.faults.retry_after_s, place.cluster.faults.too_many = 3, 2
        await driver.start(lab, None)
        assert waits[:2] == [3, 3]
        place.cluster.faults.too_many = 1000
        with pytest.raises(SiteUnavailable, match="too much to do") as busy:
            await driver.start(start_lab("bob"), None)
        assert busy.value.retry_after_s == 3
        place.cluster.faults.too_many = 0


async def test_the_log_is_the_pods(make: Make) -> None:
    """The last lines of what the container writes; a lab that is not there has none."""
    shows = {"name": "lab", "image": "${image}", "command": ["/bin/sh", "-c", "echo hello; exec sleep 600"]}
    async with (
        make(processes=True, namespaces=(Namespace(SPACE, "privileged"),)) as place,
        place.driver(configuration=configuration(system(), manifests=manifests(shows))) as driver,
    ):
        lab = start_lab()
        await driver.start(lab, None)
        await until_state(driver, reference(lab), "running")
        async with asyncio.timeout(60):
            while await driver.log(reference(lab)) != "hello\n":
                await asyncio.sleep(0.02)
        with pytest.raises(NotFound):
            await driver.log(reference(start_lab("bob")))
        await driver.stop(reference(lab))


def manifests(container: dict[str, object], **spec: object) -> list[dict[str, object]]:
    """A template with this container."""
    return [
        {"apiVersion": "v1", "kind": "Secret"},
        {"apiVersion": "v1", "kind": "Service"},
        {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container], "restartPolicy": "Never", **spec}},
    ]


async def test_health_says_what_is_wrong(place: Place, driver: KubernetesSite) -> None:
    """A cluster that is heard is well; a missing right is named."""
    await until_state(driver, reference(start_lab()), lambda found: found.state != "unknown")
    assert await driver.health() == wire.SystemHealth(available=True)
    async with place.driver("reader") as reader:
        async with asyncio.timeout(60):
            while "lacks a right" not in (health := await reader.health()).text:
                await asyncio.sleep(0.01)
        assert not health.available
        assert health.text == f"The manager lacks a right on CLOUD: list pods in {SPACE}. Its operators must grant it."
    async with place.driver("nobody") as nobody:
        async with asyncio.timeout(60):
            while "own credential" not in (await nobody.health()).text:
                await asyncio.sleep(0.01)
