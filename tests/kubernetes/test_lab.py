# SPDX-License-Identifier: BSD-3-Clause
"""A lab in a real cluster, from click to cell and back."""

import pytest

from bench.portal import PortalUser, Refused
from tests.kubernetes.cloud import options
from tests.kubernetes.conftest import Portal
from tests.ring.test_start import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_lab_runs_a_cell_and_leaves_only_its_home(portal: Portal, alice: PortalUser) -> None:
    """A start ends in a JupyterLab that computes; its history has the cluster's events; a file in the home outlives it."""
    history = await started(alice, "first", options())
    codes = [event["code"] for event in history]
    assert {"scheduled", "container_started", "lab_listening", "tunnel_open", "ready"} <= set(codes)
    progress = [event["progress"] for event in history]
    assert progress == sorted(progress)

    assert await alice.enter("first") == 200
    async with alice.kernel("first") as kernel:
        reply = await kernel.execute("open('kept', 'w').write('x'); 1+1")
        assert reply["outputs"][-1]["data"]["text/plain"] == "2"
        where = await kernel.execute("import os; print(os.getuid(), os.path.exists('/var/run/secrets/kubernetes.io'))")
        assert where["outputs"][0]["text"] == "1000 False\n"

    await alice.stop("first")
    await alice.until_state("first", "stopped")
    assert (await alice.starts("first"))[0]["outcome"] == "stopped"
    assert "pods" not in await portal.cluster.left()
    await portal.cluster.nothing_left()
    with pytest.raises(Refused):
        await alice.lab_request("GET", "first", "api/status")

    # The home cannot become larger on this class of storage: it stays as it is, and nothing else is wrong.
    await started(alice, "first", options(home=20))
    assert await alice.enter("first") == 200
    names = {entry["name"] for entry in (await alice.lab_request("GET", "first", "api/contents"))["content"]}
    assert "kept" in names
