# SPDX-License-Identifier: BSD-3-Clause
"""The hub's readiness and its metric: which commit is in force, and who answers; for anybody, without anything secret."""

import pytest

from tests.hub.world import BEGINNING, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_dependency_is_told_in_a_word(hub):
    """Database, managers and TunnelMgr; 503 as long as one is silent."""
    await until(lambda: _is(hub, 200, {"database": "ok", "managers.unicoremgr": "ok", "tunnelmgr": "ok"}))
    hub.manager.mode = "down"
    await until(lambda: _is(hub, 503, {"database": "ok", "managers.unicoremgr": "silent", "tunnelmgr": "ok"}))
    hub.manager.mode, hub.tunnels.mode = "", "down"
    await until(lambda: _is(hub, 503, {"database": "ok", "managers.unicoremgr": "ok", "tunnelmgr": "silent"}))
    hub.tunnels.mode = ""
    await until(lambda: _is(hub, 200, {"database": "ok", "managers.unicoremgr": "ok", "tunnelmgr": "ok"}))


async def _is(hub, status, dependencies):
    answer = await hub.ready()
    return (status, dependencies) == (answer.status, answer.body["dependencies"])


async def test_the_version_in_force_is_told(hub):
    """In readiness and in the hub's metrics, after each commit the new one alone."""
    details = (await hub.ready()).body["details"]
    assert (BEGINNING, {"configuration", "configuration_since"}) == (details["configuration"], set(details))
    await hub.commit("measured", lambda tree: None)
    headers = {"Authorization": f"token {hub.admin_token}"}
    async with hub.session.get(f"{hub.hub}/metrics", headers=headers) as answer:
        lines = (await answer.text()).splitlines()

    found = [line for line in lines if line.startswith("jsc_configuration_info")]
    assert ['jsc_configuration_info{version="measured"} 1.0'] == found


async def test_what_managers_say_reaches_the_options(hub):
    """A system that is down, and one whose manager is silent, carry a notice; neither is kept from being chosen."""
    hub.manager.health = {"juwels": {"available": False, "text": "UNICORE is restarted."}}
    await until(lambda: _notice(hub, "juwels", "UNICORE is restarted."))
    hub.manager.mode = "down"
    await until(lambda: _notice(hub, "jureca", "Nothing was heard of it since"))
    hub.manager.mode, hub.manager.health = "", {}
    await until(lambda: _notice(hub, "juwels", ""))


async def _notice(hub, system, text):
    options = await hub.call("GET", "/jsc/options", token=hub.tokens["alice"])
    notice = options.body["systems"][system]["notice"]
    return text in notice if text else notice == ""
