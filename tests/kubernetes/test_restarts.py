# SPDX-License-Identifier: BSD-3-Clause
"""Each part between the portal and a lab is restarted while somebody works in the lab."""

import asyncio
import signal

import pytest

from bench.portal import Kernel, PortalUser
from tests.kubernetes.cloud import options
from tests.kubernetes.cluster import until
from tests.kubernetes.conftest import Portal
from tests.ring.test_start import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def computes(kernel: Kernel) -> None:
    """The kernel answers on the websocket that was opened before."""
    reply = await kernel.execute("20 + 1")
    assert reply["outputs"][-1]["data"]["text/plain"] == "21"


async def test_k8smgr_restarts_and_knows_the_lab(portal: Portal, alice: PortalUser) -> None:
    """All pods of K8sMgr are replaced: the websocket stays, the lab runs on, and the new ones stop it."""
    await started(alice, "manager", options())
    assert await alice.enter("manager") == 200
    async with alice.kernel("manager") as kernel:
        await portal.cluster.restart("k8smgr")
        await computes(kernel)
    assert (await alice.until_state("manager", "running"))["state"] == "running"
    await alice.stop("manager")
    await alice.until_state("manager", "stopped")
    await portal.cluster.nothing_left()


async def test_tunnelmgr_restarts_under_an_open_websocket(portal: Portal, alice: PortalUser) -> None:
    """TunnelMgr is killed: its SSH connection outlives it, so the websocket does, and the next TunnelMgr takes over."""
    await started(alice, "tunnel", options())
    assert await alice.enter("tunnel") == 200
    async with alice.kernel("tunnel") as kernel:
        await portal.restart("tunnelmgr", signal.SIGKILL)
        await computes(kernel)
    await started(alice, "after", options("cloud", memory=1))


async def test_sshd_restarts_and_the_lab_is_reached_again(portal: Portal, alice: PortalUser) -> None:
    """The SSH service's pod is replaced: the lab runs on, is reached again at its address, and reaches the hub."""
    await started(alice, "ssh", options())
    assert await alice.enter("ssh") == 200
    pod = (await portal.cluster.pods())[0].metadata.uid
    await portal.cluster.restart("ssh")

    async def reached() -> bool:
        # What is not there for a moment answers 503, and JupyterHub's page about a server that is not up.
        async with alice.session.get(f"{portal.folder.address}user/alice/ssh/api/status") as response:
            return response.status == 200 and "application/json" in response.headers["Content-Type"]

    await until(reached, "the lab is not reached again")
    async with asyncio.timeout(120), alice.kernel("ssh") as kernel:
        await computes(kernel)
    assert [one.metadata.uid for one in await portal.cluster.pods()] == [pod]
    # A new lab needs the way back to the hub.
    await started(alice, "back", options("cloud", memory=1))
