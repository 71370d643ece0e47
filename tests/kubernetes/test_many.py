# SPDX-License-Identifier: BSD-3-Clause
"""A hundred starts at once."""

import asyncio

import pytest

from bench.portal import PortalUser
from tests.kubernetes.cloud import options
from tests.kubernetes.cluster import until
from tests.kubernetes.conftest import Portal

pytestmark = pytest.mark.asyncio(loop_scope="session")

LABS = 100


async def test_a_hundred_starts_make_a_hundred_pods_and_leave_none(portal: Portal, alice: PortalUser) -> None:
    """Each start has exactly one running pod; all are cancelled at once, and no object is left."""
    servers = [f"many{number}" for number in range(LABS)]
    await asyncio.gather(*(alice.save(server, options("idle")) for server in servers))
    await asyncio.gather(*map(alice.start, servers))

    async def all_run() -> bool:
        return sum(pod.status.phase == "Running" for pod in await portal.cluster.pods()) == LABS

    await until(all_run, "not all pods run", seconds=600)
    pods = await portal.cluster.pods()
    assert len({pod.metadata.labels["jupyter-jsc/start"] for pod in pods}) == LABS
    await asyncio.gather(*map(alice.cancel, servers))
    await until(lambda: _gone(portal), "not all pods are gone", seconds=600)
    await portal.cluster.nothing_left()


async def _gone(portal: Portal) -> bool:
    return not await portal.cluster.pods()
