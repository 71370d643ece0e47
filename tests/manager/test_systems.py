# SPDX-License-Identifier: BSD-3-Clause
"""The manager follows the configuration while it works.

Aspects: drivers that stay, are replaced, removed, come back or cannot be made; starts across a commit;
which manager serves which systems; which hub asks.
"""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from jupyter_jsc import service
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import ManagerSettings
from jupyter_jsc.config.systems import SystemKind
from jupyter_jsc.manager import app as manager
from tests.config import small
from tests.config.published import Published
from tests.manager.conftest import CREDENTIAL, LAB, OPTIONS, START, Drivers, SmallSite, body, over_http, path

ABOUT = {"system": "juwels", "configuration": "v1"}
SMALLER = small.system(
    partitions={"batch": {"resources": {"nodes": {"label": "Nodes", "minimum": 1, "maximum": 1, "default": 1}}}}
)
TWO_NODES = OPTIONS | {"resources": {"nodes": 2, "runtime": 60}}
Change = Callable[..., "asyncio.Future[None]"]


@pytest.fixture
async def put_in_force(http: httpx.AsyncClient, published: Published) -> Change:
    """Publish a version and wait until the manager has taken it over."""

    async def change(version: str, **changes: object) -> None:
        published.publish(version, small.tree(**changes))
        await until(http, version)

    return change


async def until(http: httpx.AsyncClient, version: str) -> None:
    async with asyncio.timeout(20):
        while (await http.get("/health/ready")).json()["details"]["configuration"] != version:
            await asyncio.sleep(0.01)


async def test_a_driver_stays_while_its_parts_stay(
    http: httpx.AsyncClient, site: SmallSite, drivers: Drivers, put_in_force: Change
) -> None:
    """Announcements, groups, other systems and their reservations cost no connection and no cache."""
    other = small.system(label="JURECA", jump_hosts={"jrl": small.system()["jump_hosts"]["jwlogin01"]})
    await put_in_force("v2", announcements={"a": {"title": "Hello"}}, max_labs_per_user=3)
    both = {"juwels": small.system(), "jureca": other}
    await put_in_force("v3", systems=both, reservations={"r": {"system": "jureca", "projects": ["hai"]}})
    assert list((await http.get("/v1/systems")).json()) == ["juwels", "jureca"]
    assert drivers.made["juwels"] == [site]
    assert not site.closed.is_set()


async def test_a_changed_system_gets_a_new_driver(
    http: httpx.AsyncClient, site: SmallSite, drivers: Drivers, put_in_force: Change
) -> None:
    """The old one is closed, but not under a call that is in it."""
    site.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        start = tasks.create_task(http.put(path(), json=body(), headers=CREDENTIAL))
        while site.calls != ["start"]:
            await asyncio.sleep(0)
        await put_in_force("v2", systems={"juwels": small.system(label="JUWELS 2")})
        assert not site.closed.is_set()
        site.gate.set()
    assert start.result().status_code == 200
    await site.closed.wait()
    _, newer = drivers.made["juwels"]
    await http.delete(path(), params=ABOUT)
    assert (newer.made_of.label, newer.calls) == ("JUWELS 2", ["stop"])


async def test_whatever_may_matter_to_a_driver_makes_a_new_one(
    http: httpx.AsyncClient, drivers: Drivers, put_in_force: Change
) -> None:
    """Its own reservations, hooks, options, software: a lab never starts with what was."""
    changes = [
        {"reservations": {"r": {"system": "juwels", "projects": ["hai"]}}},
        {"jobs": {"all": {"resources": {"QoS": "interactive"}}}},
        {"options": {"lab": {"label": "JupyterLab", "setup": ["module load Jupyter"]}}},
        {"lab": {"user_hook": "other.sh"}},
        {"support": "them"},
    ]
    for number, change in enumerate(changes, start=2):
        await put_in_force(f"v{number}", **change)
        assert len(drivers.made["juwels"]) == number


async def test_a_removed_system_serves_its_labs(
    http: httpx.AsyncClient, site: SmallSite, drivers: Drivers, put_in_force: Change
) -> None:
    """No new start is taken; a lab that runs is polled and stopped as before."""
    await http.put(path(), json=body(), headers=CREDENTIAL)
    await put_in_force("v2", systems={})
    assert (await http.get("/v1/systems")).json() == {}
    assert (await http.put(path(), json=body(), headers=CREDENTIAL)).status_code == 400
    polled = {"lab_id": LAB, "start_id": START, **ABOUT}
    assert (await http.post("/v1/labs/poll", json={"labs": [polled]})).json()["states"][START]["state"] == "running"
    assert (await http.get(path(), params=ABOUT)).json()["state"] == "running"
    assert (await http.get(path(suffix="/log"), params=ABOUT)).json() == {"text": f"output of {START}"}
    assert (await http.delete(path(), params={"system": "juwels", "configuration": "gone"})).status_code == 204
    assert (site.jobs, drivers.made["juwels"]) == ({}, [site])


async def test_a_removed_system_is_found_after_a_restart(
    published: Published, settings: ManagerSettings, drivers: Drivers
) -> None:
    """The version that the lab was started with says how to reach it; without one it is unknown, never ended."""
    published.publish("v1", small.tree())
    current = Current(published.publish("v2", small.tree(systems={})))
    async with over_http(manager.create_app(current, settings, {SystemKind.UNICORE: drivers})) as http:
        assert (await http.delete(path(), params={"system": "juwels", "configuration": "v3"})).status_code == 400
        polled = {"lab_id": LAB, "start_id": START, "system": "juwels"}
        answer = (await http.post("/v1/labs/poll", json={"labs": [polled]})).json()
        assert answer["states"][START]["state"] == "unknown"
        for _ in range(2):
            assert (await http.delete(path(), params=ABOUT)).status_code == 204
        [site] = drivers.made["juwels"]
        assert site.calls == ["stop", "stop"]
    assert site.closed.is_set()


async def test_a_system_that_comes_back(
    http: httpx.AsyncClient, site: SmallSite, drivers: Drivers, put_in_force: Change
) -> None:
    """A revert finds the same driver."""
    await put_in_force("v2", systems={})
    await put_in_force("v3")
    assert (await http.put(path(), json=body(), headers=CREDENTIAL)).status_code == 200
    assert drivers.made["juwels"] == [site]


async def test_a_driver_that_cannot_be_made(
    http: httpx.AsyncClient, site: SmallSite, drivers: Drivers, put_in_force: Change
) -> None:
    """A mistake that only shows here leaves the driver that works, and the manager."""
    drivers.broken = True
    await put_in_force("v2", systems={"juwels": small.system(label="JUWELS 2")})
    await http.delete(path(), params=ABOUT)
    assert (site.calls, site.closed.is_set()) == (["stop"], False)
    drivers.broken = False
    await put_in_force("v3", systems={"juwels": small.system(label="JUWELS 3")})
    await http.delete(path(), params=ABOUT)
    assert drivers.made["juwels"][-1].calls == ["stop"]


async def test_a_start_may_be_repeated_after_a_commit(
    http: httpx.AsyncClient, site: SmallSite, put_in_force: Change
) -> None:
    """Hub and manager judge a start by the same version; one without a version is judged by the newest."""
    start = body(options=TWO_NODES, configuration="v1")
    assert (await http.put(path(), json=start, headers=CREDENTIAL)).status_code == 200
    await put_in_force("v2", systems={"juwels": SMALLER})
    assert (await http.put(path(), json=start, headers=CREDENTIAL)).status_code == 200
    assert (await http.put(path(), json=body(options=TWO_NODES), headers=CREDENTIAL)).status_code == 400


async def test_a_hub_that_is_ahead(http: httpx.AsyncClient, published: Published) -> None:
    """A version that is published but not in force yet counts; one that is not here yet is asked for again later."""
    options = OPTIONS | {"option": "lab5"}
    start = body(options=options, configuration="v2")
    refused = await http.put(path(), json=start, headers=CREDENTIAL)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    published.write("v2", small.tree(options={"lab5": {"label": "JupyterLab 5"}}))
    assert (await http.put(path(), json=start, headers=CREDENTIAL)).status_code == 200


async def test_software_is_complete_for_the_driver(
    http: httpx.AsyncClient, drivers: Drivers, put_in_force: Change
) -> None:
    """What the user did not touch is on or off as the configuration says, not as the driver guesses."""
    items = {"julia": {"label": "Julia", "default": True}, "r": {"label": "R"}}
    await put_in_force("v2", software={"kernels": {"label": "Kernels", "kind": "kernels", "items": items}})
    await http.put(path(), json=body(), headers=CREDENTIAL)
    assert drivers.made["juwels"][-1].software == {"kernels": ["julia"]}


@pytest.mark.parametrize(
    ("groups", "status"), [([], 400), (["course"], 200), (["nobody"], 400), (["other"], 400)], ids=str
)
async def test_the_groups_of_a_start_count(
    http: httpx.AsyncClient, put_in_force: Change, groups: list[str], status: int
) -> None:
    """The manager gives the rights of the groups that the hub names, and no others."""
    await put_in_force(
        "v2",
        groups={
            "course": {"label": "Course", "members": [{"users": ["alice"]}]},
            "other": {"label": "Other", "members": [{"everybody": True}], "options": {}},
        },
    )
    assert (await http.put(path(), json=body(groups=groups), headers=CREDENTIAL)).status_code == status


HOME = {"label": "Home", "minimum": 1, "maximum": 9, "default": 1}


def cloud(**changes: object) -> small.Tree:
    """A cluster as a system, served by a manager of its own."""
    host = small.system()["jump_hosts"]["jwlogin01"]
    return small.system(
        label="CLOUD",
        kind="kubernetes",
        unicore=None,
        kubernetes={},
        manager="k8smgr",
        account_keys={},
        jump_hosts={"cloud": host},
        lab_hosts=["svc-*.userlabs.svc"],
        partitions={"default": {"kind": "interactive", "resources": {"home": HOME}}},
        **changes,
    )


IMAGES = {"images": {"base": {"label": "Base", "image": "registry.example.org/lab:1"}}}
WITH_CLOUD = {
    "systems": {"juwels": small.system(), "cloud": cloud()},
    "managers": {"unicoremgr": {"url": "http://127.0.0.1:2"}, "k8smgr": {"url": "http://127.0.0.1:4"}},
    "options": {"lab": {"label": "JupyterLab", "container": IMAGES}},
}


@pytest.mark.parametrize(
    ("name", "kinds", "served"),
    [
        (None, {SystemKind.UNICORE}, ["juwels"]),
        (None, {SystemKind.KUBERNETES}, ["cloud"]),
        ("k8smgr", {SystemKind.KUBERNETES}, ["cloud"]),
        ("other", {SystemKind.KUBERNETES}, []),
        ("unicoremgr", {SystemKind.UNICORE, SystemKind.KUBERNETES}, ["juwels"]),
        (None, {SystemKind.UNICORE, SystemKind.KUBERNETES}, ["juwels", "cloud"]),
    ],
    ids=str,
)
async def test_a_manager_serves_its_own_systems(
    published: Published,
    settings: ManagerSettings,
    drivers: Drivers,
    name: str | None,
    kinds: set[SystemKind],
    served: list[str],
) -> None:
    """Of the kinds that it has drivers for, those that name it; without a name, all. Of the others it does nothing."""
    current = Current(published.publish("v1", small.tree(**WITH_CLOUD)))
    own = settings.model_copy(update={"name": name})
    async with over_http(manager.create_app(current, own, dict.fromkeys(kinds, drivers))) as http:
        assert list((await http.get("/v1/systems")).json()) == served
        assert list(drivers.made) == served
        for system in {"juwels", "cloud"} - set(served):
            about = {"system": system, "configuration": "v1"}
            assert (await http.delete(path(), params=about)).status_code == 400
        polled = {"lab_id": LAB, "start_id": START, "system": "cloud", "configuration": "v1"}
        states = (await http.post("/v1/labs/poll", json={"labs": [polled]})).json()["states"]
        assert states[START]["state"] == ("ended" if "cloud" in served else "unknown")


async def test_a_start_without_a_credential(published: Published, settings: ManagerSettings, drivers: Drivers) -> None:
    """A system without accounts gets the start and no user's token."""
    current = Current(published.publish("v1", small.tree(**WITH_CLOUD)))
    options = {"system": "cloud", "option": "lab", "partition": "default", "image": "base", "resources": {"home": 1}}
    async with over_http(manager.create_app(current, settings, {SystemKind.KUBERNETES: drivers})) as http:
        answer = await http.put(path(), json=body(options=options))
        assert (answer.status_code, answer.json()["site_token"]) == (200, None)
    assert drivers.made["cloud"][-1].jobs == {START: None}


async def test_a_driver_hears_which_hub_asks(http: httpx.AsyncClient, site: SmallSite) -> None:
    """By the caller's credential, whatever the request says, on every route about labs."""
    polled = {"lab_id": LAB, "start_id": START, "system": "juwels", "hub": "other"}
    await http.post("/v1/labs/poll", json={"labs": [polled]})
    query = {"system": "juwels", "hub": "other"}
    await http.get(path(), params=query)
    await http.get(path(suffix="/log"), params=query)
    await http.delete(path(), params=query)
    assert site.asked_by == ["demo"] * 4
    await http.delete(path(), params=query, headers=service.bearer("other"))
    assert site.asked_by[-1] == "other"


async def test_health_and_metrics_say_which_version(http: httpx.AsyncClient, put_in_force: Change) -> None:
    """An operator sees who has followed."""
    await put_in_force("v2", support="them")
    assert 'jsc_configuration_info{version="v2"} 1.0' in (await http.get("/metrics")).text
