# SPDX-License-Identifier: BSD-3-Clause
"""A process of the portal that dies takes no lab with it: kernels go on, tunnels stay, and stop still leaves nothing."""

import signal

import pytest

from bench.portal import PortalUser, Refused
from tests.ring.system import JURECA, Ring
from tests.ring.test_start import started

pytestmark = [pytest.mark.ring, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", ["tunnelmgr", "unicoremgr", "hub"])
async def test_a_killed_process_ends_no_kernel(ring: Ring, alice: PortalUser, name: str) -> None:
    """What a user computed is still there after a SIGKILL, over the same websocket; then the lab can be stopped."""
    await started(alice, "kept", JURECA)
    assert await alice.enter("kept") == 200
    async with alice.kernel("kept") as kernel:
        await kernel.execute("x = 41")
        await ring.restart(name, signal.SIGKILL)
        reply = await kernel.execute("x + 1")
        assert reply["outputs"][-1]["data"]["text/plain"] == "42"
    assert (await alice.until_state("kept", "running"))["state"] == "running"
    assert (await alice.starts("kept"))[0]["outcome"] is None

    await alice.stop("kept")
    await alice.until_state("kept", "stopped")
    assert (await alice.starts("kept"))[0]["outcome"] == "stopped"
    assert not list(ring.folder.file("site").rglob("secrets.json"))
    with pytest.raises(Refused):
        await alice.lab_request("GET", "kept", "api/status")


async def test_a_start_outlives_the_hub(ring: Ring, alice: PortalUser) -> None:
    """A hub that is killed while a job waits takes the start up again: the same one gets ready, and only that one."""
    await alice.save("pending", JURECA)
    await alice.start("pending")
    await alice.until("pending", "queued", "failed")
    await ring.restart("hub", signal.SIGKILL)
    await alice.until_state("pending", "running")
    assert [start["outcome"] for start in await alice.starts("pending")] == [None]
    await alice.stop("pending")
    await alice.until_state("pending", "stopped")
