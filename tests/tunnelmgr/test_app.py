# SPDX-License-Identifier: BSD-3-Clause
"""TunnelMgr's REST service: the contract, the gate, refusals by class."""

import httpx
import pytest

from jupyter_jsc import names, service
from tests.tunnelmgr.conftest import NODES, lab

PATHS = {
    "/v1/tunnels/{lab_id}": {"put", "get", "delete"},
    "/v1/tunnels": {"get"},
    "/v1/jump-hosts": {"get"},
    "/v1/jump-hosts/{name}": {"patch"},
}
TUNNEL = f"/v1/tunnels/{lab()}"


def wanted(port: object = 8888, host: str = "jwc01", system: str = "juwels") -> dict[str, object]:
    return {"start_id": names.new_start_id(), "system": system, "host": host, "port": port}


async def test_openapi_lists_the_contract(http: httpx.AsyncClient) -> None:
    """What the design names is what there is."""
    document = (await http.get("/openapi.json")).json()
    assert {route: set(methods) for route, methods in document["paths"].items()} == PATHS


@pytest.mark.parametrize(("route", "methods"), PATHS.items(), ids=PATHS)
async def test_nobody_enters_without_a_token(http: httpx.AsyncClient, route: str, methods: set[str]) -> None:
    """Every route refuses a caller whom it does not know."""
    for method in methods:
        filled = route.format(lab_id=lab(), name=NODES[0])
        assert (await http.request(method, filled, headers=service.bearer("wrong"), json={})).status_code == 401


async def test_a_tunnel_from_opening_to_closing(http: httpx.AsyncClient, answering: int) -> None:
    """Put, get, list, health, delete; then it is positively not there."""
    made = (await http.put(TUNNEL, json=wanted(answering))).json()
    assert (await http.get(TUNNEL)).json() == made
    assert (await http.get("/v1/tunnels")).json() == [made]
    ready = (await http.get("/health/ready")).json()
    assert (ready["dependencies"], ready["details"]["configuration"]) == ({"jump_hosts": "ok"}, "v1")
    assert (await http.delete(TUNNEL, params={"start_id": made["start_id"]})).status_code == 204
    gone = await http.get(TUNNEL)
    assert (gone.status_code, gone.json()["type"]) == (404, "NotFound")


@pytest.mark.parametrize("port", [0, 22, 1023, 65536, 70000, -1, "8888", 1.5, None])
async def test_a_port_out_of_range_is_refused(http: httpx.AsyncClient, port: object) -> None:
    """Never a tunnel to a system service."""
    response = await http.put(TUNNEL, json=wanted(port))
    assert response.status_code == 400
    assert "port" in response.json()["detail"]
    assert (await http.get("/v1/tunnels")).json() == []


@pytest.mark.parametrize(
    ("change", "status"),
    [({"host": "localhost"}, 403), ({"host": "-oProxyCommand=id"}, 400), ({"system": "juqueen"}, 400)],
)
async def test_a_target_that_is_not_allowed_is_refused(http: httpx.AsyncClient, change: dict, status: int) -> None:
    """The class tells the hub that asking again is useless."""
    assert (await http.put(TUNNEL, json=wanted(**change))).status_code == status


async def test_jump_hosts_are_seen_and_changed(http: httpx.AsyncClient) -> None:
    """Operators drain a login node over REST; an unknown one is 404, an unknown state 400."""
    assert [info["name"] for info in (await http.get("/v1/jump-hosts")).json()] == NODES
    changed = await http.patch(f"/v1/jump-hosts/{NODES[0]}", json={"state": "draining"})
    assert changed.json()["state"] == "draining"
    assert (await http.patch("/v1/jump-hosts/none", json={"state": "open"})).status_code == 404
    assert (await http.patch(f"/v1/jump-hosts/{NODES[0]}", json={"state": "ajar"})).status_code == 400
