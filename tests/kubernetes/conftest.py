# SPDX-License-Identifier: BSD-3-Clause
"""A real cluster with K8sMgr installed, and a portal beside it; once for all tests here. Run by ``make test-kubernetes``."""

import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bench.portal import PortalUser
from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.demo import run
from jupyter_jsc.demo.processes import Processes
from tests.browser.conftest import chromium, visit
from tests.kubernetes import cloud, gitserver
from tests.kubernetes.cluster import Cluster, is_own
from tests.kubernetes.install import Installed, install
from tests.ring.centre import Centre
from tests.ring.system import Ring, logged_in
from tools.kubernetes.network import address

__all__ = ["chromium", "visit"]

# A first start takes what the images take to unpack, on a machine that does everything at once.
TIMEOUT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its time and the loop of the session; what judges the whole run comes last."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))
    items.sort(key=lambda item: "test_rights" in item.nodeid)


@dataclass
class Portal(Ring):
    """The portal, whose cloud is the real cluster."""

    cluster: Cluster
    installed: Installed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    """The cluster in KUBECONFIG."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("needs a cluster: make test-kubernetes")
    async with Cluster.connected() as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def portal(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    """The portal with K8sMgr in the cluster. The configuration comes to K8sMgr by git over ssh where that is possible."""
    if shutil.which("helm") is None:
        pytest.skip("needs Helm")
    work = tmp_path_factory.mktemp("kubernetes")
    path = work / "portal"
    path.mkdir()
    folder = await demo_folder.prepare(path, port=0, queue_delay_s=0.5, token_s=60, python=sys.executable)
    centre = Centre(folder)
    cloud.configure(centre)
    centre.commit("Offer the cluster")
    processes = Processes(folder.file("logs"))
    with contextlib.ExitStack() as stack:
        # Nodes of another cluster have no way to a repository on this machine; they get files.
        git = (
            stack.enter_context(gitserver.serving(folder.repository, work / "git", address("node1")))
            if is_own() and gitserver.SSHD
            else None
        )
        try:
            installed = await install(cluster, folder, git, work)
            cloud.connect(
                centre,
                folder,
                manager=installed.manager,
                authority=str(installed.authority),
                ssh=installed.ssh,
                host_key=installed.host_key,
            )
            centre.commit("Say where the cluster is")
            for name, command in run.commands(folder, os.environ).items():
                await processes.start(name, command)
            await run.until_ready(folder)
            await centre.until_in_force()
            yield Portal(folder, processes, cluster, installed)
        finally:
            await processes.end_all()


@pytest.fixture(scope="session")
def ring(portal: Portal) -> Portal:
    """The system that browsers visit."""
    return portal


@pytest_asyncio.fixture(loop_scope="session")
async def alice(portal: Portal) -> AsyncIterator[PortalUser]:
    """A user, logged in; her labs are gone afterwards, and so is everything that they were made of."""
    async with logged_in(portal, "alice") as user:
        yield user
    await portal.cluster.nothing_left()
