# SPDX-License-Identifier: BSD-3-Clause
"""Each way in which a real cluster does not run a lab: one clear sentence, and nothing left."""

import pytest

from bench.portal import PortalUser
from tests.kubernetes import cloud
from tests.kubernetes.cloud import options
from tests.kubernetes.cluster import until
from tests.kubernetes.conftest import Portal

pytestmark = pytest.mark.asyncio(loop_scope="session")

CASES = {
    "memory": (options("hungry"), "memory"),
    "quota": (options("cloud", memory=cloud.TOO_LARGE_FOR_QUOTA), "quota"),
    "admission": (options("refused"), "security rules"),
    "image": (options("absent"), "image"),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_lab_that_cannot_run_fails_with_a_sentence(portal: Portal, alice: PortalUser, name: str) -> None:
    """The start fails, its last event says why, and every object is gone by itself."""
    chosen, word = CASES[name]
    await alice.save(name, chosen)
    await alice.start(name)
    event = await alice.until(name, "failed", "ready", timeout_s=300)
    assert event["code"] == "failed"
    assert word in event["text"].lower(), event
    await alice.until_state(name, "stopped")
    await portal.cluster.nothing_left()


async def test_a_lab_that_fits_no_node_says_so_while_it_waits(portal: Portal, alice: PortalUser) -> None:
    """No node has that much memory: the history says what is missing, and the user may cancel."""
    await alice.save("wide", options("cloud", memory=cloud.TOO_LARGE_FOR_NODES))
    await alice.start("wide")

    async def told() -> bool:
        starts = await alice.starts("wide")
        history = await alice.history("wide", starts[0]["start_id"]) if starts else []
        return any("memory" in event["text"] for event in history)

    await until(told, "nothing is said about memory")
    await alice.cancel("wide")
    await alice.until_state("wide", "stopped")
    await portal.cluster.nothing_left()
