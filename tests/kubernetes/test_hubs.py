# SPDX-License-Identifier: BSD-3-Clause
"""Two hubs use one K8sMgr: each sees and touches its own labs only."""

from pathlib import Path

import pytest

from bench.portal import PortalUser
from jupyter_jsc import names, wire
from jupyter_jsc.errors import JSCError
from tests.kubernetes.cloud import options
from tests.kubernetes.conftest import Portal
from tests.kubernetes.hubs import other_hub, start
from tests.ring.test_start import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_second_hub_neither_sees_nor_stops_the_labs_of_the_first(
    portal: Portal, alice: PortalUser, tmp_path: Path
) -> None:
    """With the second hub's credential a lab of the first is unknown, and stop and log do nothing to it; its own lab runs."""
    await started(alice, "shared", options())
    lab = (await portal.cluster.pods())[0].metadata
    async with other_hub(portal, tmp_path) as other:
        theirs = wire.LabRef(lab_id=lab.name, start_id=lab.labels["jupyter-jsc/start"], system="hdf-cloud")
        nobody = theirs.model_copy(update={"start_id": names.new_start_id()})
        said = await other.poll([theirs, nobody])
        assert said[theirs.start_id] == said[nobody.start_id], "a lab of another hub looks like one that is not there"
        await other.stop(theirs)
        with pytest.raises(JSCError):
            await other.log(theirs)
        assert [one.metadata.uid for one in await portal.cluster.pods()] == [lab.uid]

        own = start("other", "own")
        await other.start(own, None)
        ref = wire.LabRef(lab_id=own.lab_id, start_id=own.start_id, system="hdf-cloud")
        assert set((await portal.cluster.left("other"))["pods"]) == {own.lab_id}
        await other.stop(ref)
        await portal.cluster.nothing_left("other")
        with pytest.raises(JSCError):
            await other.start(start("demo", "own"), None)
    assert (await alice.until_state("shared", "running"))["state"] == "running"
