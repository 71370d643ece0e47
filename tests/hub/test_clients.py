# SPDX-License-Identifier: BSD-3-Clause
"""Clients follow the configuration; what a commit took away is reached as the start's own version says."""

import asyncio
from datetime import UTC, datetime

import pytest
from aiohttp import web

from jupyter_jsc import errors
from jupyter_jsc.config.current import Current
from jupyter_jsc.hub import clients as module
from jupyter_jsc.hub.clients import Clients
from jupyter_jsc.hub.records import Start
from tests.config.published import Published
from tests.hub.world import OPTIONS, configuration, serve, until


def _start(version, system="juwels"):
    times = {"created": datetime.now(UTC), "ends": None, "ended": None}
    none = dict.fromkeys(("handle", "host", "port", "outcome", "last"))
    options = OPTIONS | {"system": system}
    ids = {"start_id": "s1", "lab_id": "lab", "user": "alice", "server": "lab"}
    return Start(**ids, **times, **none, options=options, cleaned=False, configuration=version)


@pytest.fixture
def published(tmp_path):
    made = Published(tmp_path / "configuration")
    made.publish("c0", configuration("http://127.0.0.1:1"))
    return made


@pytest.fixture
async def clients(published, tmp_path):
    (tmp_path / "token").write_text("t" * 40)
    current = Current(published.link)
    made = Clients(current, {"unicoremgr": tmp_path / "token"}, tmp_path / "token")
    watching = asyncio.ensure_future(current.watch(_nothing))
    yield made
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await made.close()


async def _nothing():
    pass


async def _publish(clients, published, version, tree):
    published.publish(version, tree)
    await until(lambda: clients.current.version == version)


async def test_a_client_stays_until_its_address_changes(clients, published):
    """Another commit with the same section opens no second one."""
    before = await clients.manager_of(_start("c0"))
    tunnels = await clients.tunnels()
    await _publish(clients, published, "c1", configuration("http://127.0.0.1:1", "http://127.0.0.1:2"))

    assert before is await clients.manager("unicoremgr") is await clients.manager_of(_start("c0"))
    assert tunnels is not await clients.tunnels()


async def test_a_removed_system_is_reached_as_before(clients, published):
    """By the version of the start; by the newest again once a commit brings it back."""
    tree = configuration("http://127.0.0.1:3")
    del tree["systems"]["juwels"]
    before = await clients.manager_of(_start("c0"))
    await _publish(clients, published, "c1", tree)
    assert "unicoremgr" == await clients.manager_name(_start("c0"))
    assert "JUWELS" == (await clients.reaching(_start("c0"))).systems["juwels"].label
    # The manager is still there, at another address: the newest word on it counts.
    assert before is not await clients.manager_of(_start("c0"))
    tree["managers"] = {"other": {"url": "http://127.0.0.1:4"}}
    tree["systems"]["jureca"]["manager"] = "other"
    await _publish(clients, published, "c2", tree)

    assert before is await clients.manager_of(_start("c0"))


async def test_what_no_version_tells_is_not_found(clients):
    """The system of a version that is not kept any more, and that the newest does not have."""
    with pytest.raises(errors.NotFound):
        await clients.manager_of(_start("c9", "frontier"))


async def test_a_manager_without_a_token_is_unavailable(clients, published):
    """The next commit, or the hub's next start, may heal it: nothing is given up."""
    tree = configuration()
    tree["managers"] = {"other": {"url": "http://127.0.0.1:4"}}
    for system in tree["systems"].values():
        system["manager"] = "other"
    await _publish(clients, published, "c1", tree)

    for ask in (clients.manager_of(_start("c0")), clients.manager("other"), clients.manager("unicoremgr")):
        with pytest.raises(errors.Unavailable):
            await ask


async def test_a_retired_client_ends_its_last_request_first(clients, published, monkeypatch):
    """A request that is under way when the address changes gets its answer; then the client is closed."""
    monkeypatch.setattr(module, "_LAST_REQUEST_S", 0.2)
    asked, patience = asyncio.Event(), asyncio.Event()

    async def systems(_request):
        asked.set()
        await patience.wait()
        return web.json_response({"juwels": {"available": True}})

    app = web.Application()
    app.router.add_get("/v1/systems", systems)
    runner, address = await serve(app)
    await _publish(clients, published, "c1", configuration(address))
    client = await clients.manager("unicoremgr")
    asking = asyncio.ensure_future(client.systems())
    await asked.wait()
    await _publish(clients, published, "c2", configuration("http://127.0.0.1:5"))
    retiring = asyncio.ensure_future(clients.retire([]))
    await asyncio.sleep(0)
    patience.set()

    assert (await asking)["juwels"].available
    await retiring
    with pytest.raises(RuntimeError):
        await client.systems()
    assert client is not await clients.manager("unicoremgr")
    await runner.cleanup()


async def test_a_client_that_an_open_start_needs_is_not_retired(clients, published, monkeypatch):
    """Also when the configuration in force does not name it any more."""
    monkeypatch.setattr(module, "_LAST_REQUEST_S", 0)
    tree = configuration()
    tree["managers"] = {"other": {"url": "http://127.0.0.1:4"}}
    tree["systems"]["jureca"]["manager"] = "other"
    del tree["systems"]["juwels"]
    needed = await clients.manager_of(_start("c0"))
    await _publish(clients, published, "c1", tree)
    await clients.retire([_start("c0"), _start("c9", "frontier")])

    assert needed is await clients.manager_of(_start("c0"))
    await clients.retire([])
    assert needed is not await clients.manager_of(_start("c0"))
