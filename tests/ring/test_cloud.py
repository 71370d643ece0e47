# SPDX-License-Identifier: BSD-3-Clause
"""Labs in the cloud, through every component: K8sMgr, the cluster's SSH service, and the labs' way back to the hub.

Aspects: a newcomer's lab from click to cell and back; what stop leaves; the home that lasts; beside a lab on an HPC system;
K8sMgr and TunnelMgr replaced while a kernel runs.
"""

import asyncio
import signal
from typing import Any

import aiohttp
import pytest

from bench.portal import PortalUser
from jupyter_jsc import names
from tests.ring.system import CLOUD, JURECA, Ring
from tests.ring.test_start import started

pytestmark = [pytest.mark.ring, pytest.mark.asyncio(loop_scope="session")]


async def cluster(ring: Ring, path: str) -> tuple[int, Any]:
    """Ask the cluster as K8sMgr may, in the labs' namespace; status and JSON."""
    url = f"http://127.0.0.1:{ring.folder.ports['kubernetes']}/api/v1/namespaces/labs/{path}"
    headers = {"Authorization": "Bearer " + ring.folder.file("keys/k8smgr-to-kubernetes").read_text("ascii")}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.json()


async def nothing_is_left(ring: Ring, user: str, server: str) -> None:
    """There is neither pod nor Secret of the lab, and no file of a pod on any node."""
    lab_id = names.lab_id("demo", user, server)
    async with asyncio.timeout(60):
        while [
            status for kind in ("pods", "secrets") if (status := (await cluster(ring, f"{kind}/{lab_id}"))[0]) != 404
        ]:
            await asyncio.sleep(0.05)
        while list(ring.folder.file("site/cluster/pods").iterdir()):
            await asyncio.sleep(0.05)


async def computes(user: PortalUser, server: str, code: str) -> str:
    """What a cell shows."""
    assert await user.enter(server) == 200
    async with user.kernel(server) as kernel:
        reply = await kernel.execute(code)
        assert reply["status"] == "ok"
        return str(reply["outputs"][-1]["data"]["text/plain"])


async def test_a_newcomers_lab_runs_a_cell_and_leaves_nothing_but_its_home(ring: Ring, nora: PortalUser) -> None:
    """No account is needed; the cluster's events are the start's; the pod is gone after stop; the home stays."""
    history = await started(nora, "cloud", CLOUD)
    texts = {event["code"]: event["text"] for event in history}
    host = f"svc-{names.lab_id('demo', 'nora', 'cloud')}.labs.svc"
    assert texts["scheduled"].startswith("Scheduled on worker")
    assert texts["container_started"] == "The lab's container has started."
    assert texts["lab_listening"] == f"The server listens on {host}."
    assert texts["tunnel_open"] == f"Connected to {host} through hdf-cloud-ssh."
    assert [event["progress"] for event in history] == sorted(event["progress"] for event in history)

    write = "import os, pathlib; pathlib.Path.home().joinpath('kept.txt').write_text('kept'); os.environ['JUPYTERHUB_API_URL']"
    back = ring.folder.ports["hdf-cloud-jhub"]
    assert await computes(nora, "cloud", write) == f"'http://127.49.0.1:{back}/hub/api'"
    status, pod = await cluster(ring, f"pods/{names.lab_id('demo', 'nora', 'cloud')}")
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert (status, str(limits["cpu"]), limits["memory"]) == (200, "1", "4Gi")

    await nora.stop("cloud")
    await nora.until_state("cloud", "stopped")
    assert (await nora.starts("cloud"))[0]["outcome"] == "stopped"
    await nothing_is_left(ring, "nora", "cloud")
    home = f"home-{names.user_id('demo', 'nora')}"
    assert (await cluster(ring, f"persistentvolumeclaims/{home}"))[0] == 200
    assert (ring.folder.file("site/cluster/volumes/labs") / home / "kept.txt").read_text() == "kept"


async def test_a_lab_in_the_cloud_and_one_on_an_hpc_system_side_by_side(ring: Ring, alice: PortalUser) -> None:
    """Who has accounts has both at once; each runs where it should."""
    await asyncio.gather(started(alice, "cloudy", CLOUD), started(alice, "clear", JURECA))
    where = "import os; os.environ['JSC_NODE_NAME']"
    assert await computes(alice, "cloudy", where) == f"'svc-{names.lab_id('demo', 'alice', 'cloudy')}.labs.svc'"
    assert (await computes(alice, "clear", where)).startswith("'jrc")
    await alice.stop("clear")
    await alice.until_state("clear", "stopped")
    assert await computes(alice, "cloudy", "1+1") == "2"


async def test_a_kernel_survives_new_processes_of_k8smgr_and_tunnelmgr(ring: Ring, nora: PortalUser) -> None:
    """Neither remembers anything that the lab needs: the same websocket goes on, and stop works as before."""
    await started(nora, "stays", CLOUD)
    assert await nora.enter("stays") == 200
    async with nora.kernel("stays") as kernel:
        assert (await kernel.execute("kept = 41"))["status"] == "ok"
        await ring.restart("k8smgr", signal.SIGKILL)
        await ring.restart("tunnelmgr", signal.SIGKILL)
        reply = await kernel.execute("kept + 1")
        assert reply["outputs"][-1]["data"]["text/plain"] == "42"
    lab = await nora.until_state("stays", "running")
    assert lab["problem"] == ""
    await nora.stop("stays")
    await nora.until_state("stays", "stopped")
    await nothing_is_left(ring, "nora", "stays")


async def test_a_start_that_is_cancelled_leaves_nothing(ring: Ring, nora: PortalUser) -> None:
    """Cancelled as soon as the cluster has the pod."""
    await nora.save("not-now", CLOUD)
    await nora.start("not-now")
    await nora.until("not-now", "accepted", "failed")
    await nora.cancel("not-now")
    await nora.until_state("not-now", "stopped")
    assert (await nora.starts("not-now"))[0]["outcome"] == "cancelled"
    await nothing_is_left(ring, "nora", "not-now")


async def test_everything_is_ready(ring: Ring) -> None:
    """The hub hears every service that the configuration names, and the way back to it is open."""
    url = ring.folder.address + "hub/api/jsc/health/ready"
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            async with session.get(url) as answer:
                found = await answer.json()
            if found["ready"]:
                break
            await asyncio.sleep(0.2)
    assert found["dependencies"]["managers.k8smgr"] == "ok"
