# SPDX-License-Identifier: BSD-3-Clause
"""What TunnelMgr says of itself: which version of the configuration it works with, beside how its jump hosts are."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from jupyter_jsc.demo.login import LoginNode
from tests.config.published import Published
from tests.config.small import Tree
from tests.tunnelmgr.conftest import NODES, lab, wanted

Answer = tuple[int, dict[str, Any]]


async def until(http: httpx.AsyncClient, holds: Callable[[dict[str, Any]], object]) -> Answer:
    """Return what ``/health/ready`` answers once something holds for it; it needs no token."""
    async with asyncio.timeout(60):
        while True:
            response = await http.get("/health/ready", headers={"Authorization": ""})
            if holds(response.json()):
                return response.status_code, response.json()
            await asyncio.sleep(0.02)


def version(wanted: str) -> Callable[[dict[str, Any]], object]:
    return lambda ready: ready["details"]["configuration"] == wanted


async def test_a_commit_changes_the_version_and_nothing_else(
    http: httpx.AsyncClient, published: Published, tree: Tree
) -> None:
    """It is told as soon as it is in force, with its time; the jump hosts are asked as before."""
    status, first = await until(http, version("v1"))
    assert (status, first["ready"], first["dependencies"]) == (200, True, {"jump_hosts": "ok"})
    published.publish("v2", tree | {"support": "somebody else"})
    status, second = await until(http, version("v2"))
    assert (status, second["ready"], second["dependencies"]) == (200, True, {"jump_hosts": "ok"})
    assert second["details"]["configuration_since"] >= first["details"]["configuration_since"]
    assert 'jsc_configuration_info{version="v2"} 1.0' in (await http.get("/metrics")).text


async def test_a_lost_jump_host_is_told_beside_the_version(
    http: httpx.AsyncClient,
    published: Published,
    tree: Tree,
    login_nodes: dict[str, LoginNode],
    answering: int,
) -> None:
    """The two do not hide each other: a new version comes while all jump hosts are away, and both are seen."""
    made = wanted(answering)
    assert (await http.put(f"/v1/tunnels/{lab()}", json=made.model_dump())).status_code == 200
    for node in login_nodes.values():
        await node.__aexit__()
    status, ready = await until(http, lambda ready: ready["dependencies"]["jump_hosts"] != "ok")
    assert (status, ready["ready"], ready["details"]["configuration"]) == (503, False, "v1")
    assert any(name in ready["dependencies"]["jump_hosts"] for name in NODES)
    published.publish("v2", tree | {"support": "somebody else"})
    status, ready = await until(http, version("v2"))
    assert status == 503
    assert "not connected" in ready["dependencies"]["jump_hosts"]
    for node in login_nodes.values():
        await node.__aenter__()
    status, ready = await until(http, lambda ready: ready["ready"])
    assert (status, ready["dependencies"], ready["details"]["configuration"]) == (200, {"jump_hosts": "ok"}, "v2")
