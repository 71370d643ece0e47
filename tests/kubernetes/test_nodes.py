# SPDX-License-Identifier: BSD-3-Clause
"""The node of a lab is drained, or cut off from the network and joined again."""

from collections.abc import Iterator

import pytest

from bench.portal import PortalUser
from tests.kubernetes.cloud import options
from tests.kubernetes.cluster import Cluster, is_own, until
from tests.kubernetes.conftest import Portal
from tests.ring.test_start import started
from tools.kubernetes import network

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_drained_node_ends_the_lab_with_a_sentence(portal: Portal, alice: PortalUser) -> None:
    """A drain puts the lab out: its user reads that, nothing is left, and the next start runs on another node."""
    await started(alice, "drained", options())
    pod = (await portal.cluster.pods())[0]
    await portal.cluster.cordon(pod.spec.node_name, off=True)
    try:
        await portal.cluster.evict(pod.metadata.name)
        await alice.until_state("drained", "stopped", timeout_s=120)
        start = (await alice.starts("drained"))[0]
        history = await alice.history("drained", start["start_id"])
        assert any("serviced" in event["text"] for event in history), [event["text"] for event in history]
        await portal.cluster.nothing_left()
        await started(alice, "drained", options())
        assert (await portal.cluster.pods())[0].spec.node_name != pod.spec.node_name
    finally:
        await portal.cluster.cordon(pod.spec.node_name, off=False)


@pytest.fixture
def joined() -> Iterator[None]:
    """The second node is joined again whatever happens."""
    yield
    network.cut("node2", off=False)


@pytest.mark.usefixtures("joined")
async def test_a_node_that_is_cut_off_loses_no_lab(portal: Portal, alice: PortalUser) -> None:
    """The node does not answer for a while: the lab is neither stopped nor started again, and is reached again after."""
    if not is_own():
        pytest.skip("cuts a node off: only on a cluster of its own")
    await portal.cluster.cordon("node1", off=True)
    try:
        await started(alice, "cut", options())
    finally:
        await portal.cluster.cordon("node1", off=False)
    pod = (await portal.cluster.pods())[0]
    assert pod.spec.node_name == "node2"
    assert await alice.enter("cut") == 200

    network.cut("node2", off=True)
    await until(lambda: _ready(portal.cluster, "node2", wanted=False), "the node is still called ready")
    assert (await alice.until_state("cut", "running"))["state"] == "running"
    network.cut("node2", off=False)
    await until(lambda: _ready(portal.cluster, "node2", wanted=True), "the node is not ready again")

    assert [one.metadata.uid for one in await portal.cluster.pods()] == [pod.metadata.uid]
    assert len(await alice.starts("cut")) == 1

    async def reached() -> bool:
        async with alice.session.get(f"{portal.folder.address}user/alice/cut/api/status") as response:
            return response.status == 200 and "application/json" in response.headers["Content-Type"]

    await until(reached, "the lab is not reached again")


async def _ready(cluster: Cluster, node: str, *, wanted: bool) -> bool:
    conditions = (await cluster.core.read_node(node)).status.conditions
    found = next(one.status for one in conditions if one.type == "Ready")
    return (found == "True") == wanted
