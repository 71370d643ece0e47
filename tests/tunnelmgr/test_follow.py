# SPDX-License-Identifier: BSD-3-Clause
"""New versions of the configuration, taken over while tunnels are open.

Aspects: jump hosts that appear, vanish, move, change state and weight; systems that are removed; restarts in between.
"""

import asyncio
import contextlib
import copy
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from jupyter_jsc import names
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import TunnelMgrSettings
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.tunnelmgr import masters
from jupyter_jsc.tunnelmgr.tunnels import Tunnels
from jupyter_jsc.wire import JumpHostState, OpenTunnel
from tests.config.published import Published
from tests.config.small import Tree
from tests.tunnelmgr.conftest import NODES, echoed, lab, running, wanted

VERSIONS = (f"v{number}" for number in itertools.count(2))
FIRST, SECOND = NODES


class Operator:
    """Publishes changed versions and waits until they are taken over."""

    def __init__(self, published: Published, tree: Tree, made: Current, tunnels: Tunnels) -> None:
        self._published, self._tree, self._made, self._tunnels = published, tree, made, tunnels

    async def change(self, edit: Callable[[Tree], object]) -> None:
        self._tree = copy.deepcopy(self._tree)
        edit(self._tree)
        version = next(VERSIONS)
        self._published.publish(version, self._tree)
        async with asyncio.timeout(20):
            while self._made.version != version:
                await asyncio.sleep(0.01)
        await self._tunnels.follow()


@pytest.fixture
async def operator(published: Published, tree: Tree, made: Current, tunnels: Tunnels) -> Operator:
    return Operator(published, tree, made, tunnels)


def hosts(tree: Tree) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = tree["systems"]["juwels"]["jump_hosts"]
    return found


@contextlib.asynccontextmanager
async def stream(port: int) -> AsyncIterator[Callable[[bytes], object]]:
    """An open connection through a tunnel, as a websocket is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def say(text: bytes) -> bytes:
        writer.write(text)
        async with asyncio.timeout(10):
            return await reader.readexactly(len(text))

    try:
        yield say
    finally:
        writer.close()


async def test_a_commit_about_other_things_touches_no_stream(
    tunnels: Tunnels, operator: Operator, answering: int
) -> None:
    """Neither the SSH connection nor a websocket notices."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    async with stream(tunnel.endpoint_port) as say:
        for number in range(5):
            await operator.change(lambda tree, number=number: tree.update(support=f"us {number}"))
            assert await say(b"hello") == b"hello"
    assert tunnels.get(lab()) == tunnel


async def test_a_new_jump_host_is_used(tunnels: Tunnels, operator: Operator, answering: int) -> None:
    """A login node that a commit brings gets tunnels at once."""
    removed: dict[str, dict[str, object]] = {}
    await operator.change(lambda tree: removed.update({SECOND: hosts(tree).pop(SECOND)}))
    assert [info.name for info in tunnels.jump_hosts()] == [FIRST]
    await operator.change(lambda tree: hosts(tree).update(removed))
    await tunnels.set_state(FIRST, JumpHostState.DRAINING)
    assert (await tunnels.open(lab(), wanted(answering))).jump_host == SECOND


async def test_a_removed_jump_host_serves_what_it_has(tunnels: Tunnels, operator: Operator, answering: int) -> None:
    """Its tunnels and their streams stay, repeated requests too; it gets no new ones and leaves with the last."""
    tunnel = await tunnels.open(lab("a"), wanted(answering))
    gone = str(tunnel.jump_host)
    async with stream(tunnel.endpoint_port) as say:
        await operator.change(lambda tree: hosts(tree).pop(gone))
        assert await say(b"hello") == b"hello"
        request = wanted(answering, start_id=tunnel.start_id)
        assert await tunnels.open(lab("a"), request) == tunnel
        assert (await tunnels.open(lab("b"), wanted(answering))).jump_host != gone
        assert {info.name: info.state for info in tunnels.jump_hosts()}[gone] is JumpHostState.DRAINING
    await tunnels.close(lab("a"), None)
    assert gone not in {info.name for info in tunnels.jump_hosts()}
    assert await echoed(tunnels.get(lab("b")).endpoint_port) == b"hello"


async def test_a_jump_host_that_moved_is_left_with_its_last_tunnel(
    tunnels: Tunnels, operator: Operator, answering: int
) -> None:
    """An open stream stays on the connection it has; new tunnels go where the configuration says now."""
    tunnel = await tunnels.open(lab("a"), wanted(answering))
    moved = str(tunnel.jump_host)
    [other] = set(NODES) - {moved}
    async with stream(tunnel.endpoint_port) as say:
        await operator.change(lambda tree: hosts(tree)[moved].update(port=hosts(tree)[other]["port"]))
        assert await say(b"hello") == b"hello"
        assert (await tunnels.open(lab("b"), wanted(answering))).jump_host == other
    await tunnels.close(lab("a"), None)
    assert not {info.name: info.connected for info in tunnels.jump_hosts()}[moved]


async def test_a_removed_system_is_reached_as_the_lab_knew_it(
    tunnels: Tunnels, operator: Operator, answering: int
) -> None:
    """A lab that was started before the commit gets its tunnel after it; nobody else does."""
    await operator.change(lambda tree: tree.update(systems={}))
    request = wanted(answering).model_copy(update={"configuration": "v1"})
    tunnel = await tunnels.open(lab(), request)
    assert await echoed(tunnel.endpoint_port) == b"hello"
    with pytest.raises(InvalidRequest):
        await tunnels.open(lab("b"), wanted(answering))
    assert [info.name for info in tunnels.jump_hosts()] == [tunnel.jump_host]


async def test_a_restart_brings_tunnels_of_a_removed_system_back(
    published: Published, tree: Tree, made: Current, settings: TunnelMgrSettings, answering: int
) -> None:
    """The record says which version knew the jump host."""
    try:
        async with running(made, settings) as tunnels:
            tunnel = await tunnels.open(lab(), wanted(answering))
        await masters.terminate_all(settings.runtime_dir)
        published.publish(next(VERSIONS), tree | {"systems": {}})
        async with running(Current(published.link), settings) as tunnels:
            async with asyncio.timeout(20):
                while not tunnels.get(lab()).connected:
                    await asyncio.sleep(0.01)
            assert await echoed(tunnel.endpoint_port) == b"hello"
    finally:
        await masters.terminate_all(settings.runtime_dir)


@pytest.mark.parametrize(
    ("configured", "operators", "effective"),
    [
        ("open", "open", "open"),
        ("draining", "open", "draining"),
        ("open", "draining", "draining"),
        ("draining", "closed", "closed"),
        ("closed", "open", "closed"),
    ],
)
async def test_the_stricter_state_counts(
    tunnels: Tunnels, operator: Operator, configured: str, operators: str, effective: str
) -> None:
    """An operator's switch can be stricter than the configuration, never laxer; neither overwrites the other."""
    await operator.change(lambda tree: hosts(tree)[FIRST].update(state=configured))
    info = await tunnels.set_state(FIRST, JumpHostState(operators))
    assert info.state == effective
    await operator.change(lambda tree: hosts(tree)[FIRST].update(state="open"))
    assert {info.name: info.state for info in tunnels.jump_hosts()}[FIRST] == operators


async def test_a_jump_host_closed_by_commit_loses_its_tunnels_to_the_other(
    tunnels: Tunnels, operator: Operator, answering: int
) -> None:
    """Closed in git means the same as closed by an operator: no connection, the tunnels move, the endpoint stays."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    closed = str(tunnel.jump_host)
    await operator.change(lambda tree: hosts(tree)[closed].update(state="closed"))
    async with asyncio.timeout(20):
        while tunnels.get(lab()).jump_host == closed or not tunnels.get(lab()).connected:
            await asyncio.sleep(0.01)
    assert await echoed(tunnel.endpoint_port) == b"hello"
    assert not {info.name: info.connected for info in tunnels.jump_hosts()}[closed]


async def test_weights_share_the_load(tunnels: Tunnels, operator: Operator, answering: int) -> None:
    """Three times the weight, three times the tunnels."""
    await operator.change(lambda tree: hosts(tree)[FIRST].update(weight=3))
    for node in NODES:  # both connected, so that nothing but the load decides
        await tunnels.set_state(NODES[NODES[0] == node], JumpHostState.DRAINING)
        await tunnels.open(lab(node), wanted(answering))
        await tunnels.set_state(NODES[NODES[0] == node], JumpHostState.OPEN)
    for number in range(10):
        await tunnels.open(lab(f"l{number}"), wanted(answering))
    assert Counter(tunnel.jump_host for tunnel in tunnels.all()) == {FIRST: 9, SECOND: 3}


async def test_a_host_that_the_lab_s_version_does_not_allow(tunnels: Tunnels, operator: Operator) -> None:
    """An earlier version opens nothing beyond what it said."""
    await operator.change(lambda tree: tree.update(systems={}))
    request = OpenTunnel(
        start_id=names.new_start_id(), system="juwels", host="localhost", port=8888, configuration="v1"
    )
    with pytest.raises(Exception, match="JUWELS"):
        await tunnels.open(lab(), request)
