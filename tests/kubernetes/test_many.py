# SPDX-License-Identifier: BSD-3-Clause
"""A hundred starts at once, as K8sMgr and a real API server see them."""

import asyncio
from pathlib import Path

import pytest

from jupyter_jsc import wire
from tests.kubernetes.cloud import SYSTEM
from tests.kubernetes.cluster import until
from tests.kubernetes.conftest import Portal
from tests.kubernetes.hubs import other_hub, start

pytestmark = pytest.mark.asyncio(loop_scope="session")

LABS = 100


async def test_a_hundred_starts_make_a_hundred_pods_and_leave_none(portal: Portal, tmp_path: Path) -> None:
    """Each start has exactly one running pod, also if it is asked for twice; all are stopped at once, and nothing is left."""
    starts = [start("other", f"many{number}") for number in range(LABS)]
    refs = [wire.LabRef(lab_id=one.lab_id, start_id=one.start_id, system=SYSTEM) for one in starts]
    async with other_hub(portal, tmp_path) as hub:
        await asyncio.gather(*(hub.start(one, None) for one in [*starts, *starts[:10]]))

        async def all_run() -> bool:
            states = await hub.poll(refs)
            return all(state.state is wire.State.RUNNING for state in states.values())

        await until(all_run, "not all labs run", seconds=600)
        found = [pod.metadata.labels["jupyter-jsc/start"] for pod in await portal.cluster.pods()]
        assert sorted(found) == sorted(one.start_id for one in starts)
        await asyncio.gather(*map(hub.stop, refs))
    assert await portal.cluster.pods() == []
    await portal.cluster.nothing_left("other")
