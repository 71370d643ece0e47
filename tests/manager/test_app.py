# SPDX-License-Identifier: BSD-3-Clause
"""The manager's REST service: the gate, one job per start, stop after start, answers by class."""

import asyncio

import httpx
import pytest

from jupyter_jsc import names, service
from tests.manager.conftest import CREDENTIAL, LAB, OPTIONS, START, SmallSite, body, path

PATHS = {
    "/v1/labs/{lab_id}/starts/{start_id}": {"put", "get", "delete"},
    "/v1/labs/{lab_id}/starts/{start_id}/log": {"get"},
    "/v1/labs/poll": {"post"},
    "/v1/systems": {"get"},
    "/v1/notifications/{system}/{hub}/{lab_id}/{start_id}": {"post"},
}


async def test_openapi_lists_the_contract(http: httpx.AsyncClient) -> None:
    """What the design names is what there is."""
    document = (await http.get("/openapi.json")).json()
    assert {route: set(methods) for route, methods in document["paths"].items()} == PATHS


@pytest.mark.parametrize(("route", "methods"), PATHS.items(), ids=PATHS)
async def test_nobody_enters_without_a_token(http: httpx.AsyncClient, route: str, methods: set[str]) -> None:
    """Every route, the receiver of notifications too, refuses a caller whom it does not know."""
    filled = route.format(lab_id=LAB, start_id=START, system="juwels", hub="demo")
    for method in methods:
        response = await http.request(method, filled, headers={"authorization": "Bearer nobody"}, json={})
        assert response.status_code == 401


async def test_a_start_answers_handle_and_site_token(http: httpx.AsyncClient, site: SmallSite) -> None:
    """The hub gets what it needs to supervise; the site acts with the credential of the header."""
    response = await http.put(path(), json=body(), headers=CREDENTIAL)
    assert response.status_code == 200
    assert response.json()["site_token"] == "site-token"
    assert response.json()["handle"]["url"].endswith(START)
    assert site.jobs == {START: "user-token"}


async def test_a_hundred_identical_starts_are_one_job(http: httpx.AsyncClient, site: SmallSite) -> None:
    """Retries and double clicks meet at the same job."""
    answers = await asyncio.gather(*(http.put(path(), json=body(), headers=CREDENTIAL) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert site.submitted == {START: 1}


async def test_a_stop_does_not_overtake_its_start(http: httpx.AsyncClient, site: SmallSite) -> None:
    """A cancel while the job is being submitted ends the job that comes of it."""
    site.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        start = tasks.create_task(http.put(path(), json=body(), headers=CREDENTIAL))
        while site.calls != ["start"]:
            await asyncio.sleep(0)
        stop = tasks.create_task(http.delete(path(), params={"system": "juwels"}, headers=CREDENTIAL))
        await asyncio.sleep(0)
        site.gate.set()
    assert (start.result().status_code, stop.result().status_code) == (200, 204)
    assert site.calls == ["start", "stop"]
    assert site.jobs == {}


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"options": OPTIONS | {"system": "juqueen"}}, 400, "juqueen"),
        ({"options": OPTIONS | {"option": "rstudio"}}, 400, "rstudio"),
        ({"options": OPTIONS | {"partition": "gpus"}}, 400, "gpus"),
        ({"options": OPTIONS | {"resources": {"nodes": 5, "runtime": 60}}}, 400, "1 to 4"),
        ({"options": OPTIONS | {"resources": {"nodes": 1}}}, 400, "runtime"),
        ({"options": OPTIONS | {"account": None}}, 400, "juwels"),
        ({"options": OPTIONS | {"reservation": "course"}}, 400, "course"),
        ({"options": OPTIONS | {"software": {"kernels": ["cobol"]}}}, 400, "kernels"),
        ({"start_id": names.new_start_id()}, 400, "differ"),
        ({"hub": "other"}, 403, "own name"),
        ({"options": OPTIONS | {"colour": "blue"}}, 400, "colour"),
        ({"env": {"A": 1}}, 400, "env"),
        ({"lab_id": "../etc"}, 400, "lab_id"),
    ],
)
async def test_a_bad_start_is_refused(
    http: httpx.AsyncClient, site: SmallSite, change: dict, status: int, said: str
) -> None:
    """The answer names what is wrong, and nothing reaches the site."""
    response = await http.put(path(), json=body(**change), headers=CREDENTIAL)
    assert response.status_code == status
    assert said in response.json()["detail"]
    assert "s3cr3t" not in response.text
    assert site.calls == []


@pytest.mark.parametrize("lab_id", ["lab-UPPER", "x", "lab-" + "a" * 27, "..%2f..%2fetc"])
async def test_an_id_that_is_none_is_refused(http: httpx.AsyncClient, lab_id: str) -> None:
    """Ids come from one function; anything else never becomes a path or a tag."""
    response = await http.delete(f"/v1/labs/{lab_id}/starts/{START}", params={"system": "juwels"})
    assert response.status_code in {400, 404}


async def test_a_site_that_is_down_says_when_to_come_back(http: httpx.AsyncClient, site: SmallSite) -> None:
    """The class and the delay reach the hub."""
    site.down = True
    response = await http.put(path(), json=body(), headers=CREDENTIAL)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "3"
    assert response.json()["type"] == "SiteUnavailable"
    assert (await http.get("/health/ready")).status_code == 503


async def test_poll_answers_for_every_lab(http: httpx.AsyncClient) -> None:
    """A lab of a system that is not served here is unknown, never ended."""
    await http.put(path(), json=body(), headers=CREDENTIAL)
    here = {"lab_id": LAB, "start_id": START, "system": "juwels", "credential": "user-token"}
    there = {"lab_id": LAB, "start_id": names.new_start_id(), "system": "elsewhere"}
    states = (await http.post("/v1/labs/poll", json={"labs": [here, there]})).json()["states"]
    assert {name: state["state"] for name, state in states.items()} == {START: "running", there["start_id"]: "unknown"}


@pytest.mark.parametrize("name", ["account", "project", "system"])
@pytest.mark.parametrize("value", ["root,role:admin", "a b", "../a", "a\r\nX-Other: b", "\uff41"])
async def test_a_reference_with_a_name_that_is_none(
    http: httpx.AsyncClient, site: SmallSite, name: str, value: str
) -> None:
    """Account and project become preferences at the site: nothing but names of either gets there."""
    query = {"system": "juwels"} | {name: value}
    assert (await http.delete(path(), params=query, headers=CREDENTIAL)).status_code == 400
    assert site.calls == []


async def test_state_log_and_systems(http: httpx.AsyncClient) -> None:
    """The single questions answer like the many."""
    await http.put(path(), json=body(), headers=CREDENTIAL)
    query = {"system": "juwels"}
    assert (await http.get(path(), params=query, headers=CREDENTIAL)).json()["state"] == "running"
    assert (await http.get(path(suffix="/log"), params=query)).json() == {"text": f"output of {START}"}
    assert (await http.get("/v1/systems")).json() == {"juwels": {"available": True, "text": "", "partitions": {}}}


async def test_another_hub_is_told_apart_by_its_token(http: httpx.AsyncClient, site: SmallSite) -> None:
    """A hub starts labs in its own name only."""
    other = {**CREDENTIAL, **service.bearer("other")}
    assert (await http.put(path(), json=body(), headers=other)).status_code == 403
    assert (await http.put(path(), json=body(hub="other"), headers=other)).status_code == 200
