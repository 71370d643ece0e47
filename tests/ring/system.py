# SPDX-License-Identifier: BSD-3-Clause
"""The whole system as real processes: what publishes the configuration, demo world, proxy, TunnelMgr, managers, hub.

Labs are real JupyterLabs.
"""

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bench.portal import PortalUser
from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.demo import run
from jupyter_jsc.demo.people import PEOPLE
from jupyter_jsc.demo.processes import Processes

PASSWORDS = {person.name: (person.password, person.idp) for person in PEOPLE}

JUWELS = {
    "system": "juwels",
    "option": "jupyterlab-4.6",
    "account": "alice1",
    "project": "hai",
    "partition": "batch",
    "resources": {"nodes": 1, "runtime": 60},
}
LOGIN_NODE = {
    "system": "juwels",
    "option": "jupyterlab-4.6",
    "account": "alice1",
    "project": "hai",
    "partition": "login",
    "resources": {},
}
JURECA = {
    "system": "jureca",
    "option": "jupyterlab-4.6",
    "account": "alice1",
    "project": "hai",
    "partition": "dc-cpu",
    "resources": {"nodes": 1, "runtime": 60},
}
DEEP = {
    "system": "deep",
    "option": "jupyterlab-4.6",
    "account": "alice1",
    "project": "train",
    "partition": "dp-cn",
    "resources": {"nodes": 1, "runtime": 60},
}
OSCAR = {
    "system": "juwels",
    "option": "jupyterlab-4.6",
    "account": "oscar1",
    "project": "ops",
    "partition": "devel",
    "resources": {"nodes": 1, "runtime": 30},
}

CLOUD = {
    "system": "hdf-cloud",
    "option": "jupyterlab-4.6",
    "partition": "standard",
    "resources": {"cpus": 1, "memory": 4, "home": 10, "runtime": 60},
    "image": "minimal",
}


@dataclass
class Ring:
    """The running system, with its processes in the test's hands."""

    folder: demo_folder.Folder
    processes: Processes

    async def restart(self, name: str, number: int) -> None:
        """End one process by a signal and start it again."""
        await self.processes.end(name, number)
        await self.processes.start(name, run.commands(self.folder, os.environ)[name])
        await run.until_ready(self.folder)

    def log(self, name: str) -> str:
        """Return what a process has logged since its last start."""
        return self.folder.file(f"logs/{name}.log").read_text("utf-8", "replace")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ring(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ring]:
    """The system, started once for all tests of this folder; a job waits half a second."""
    path = tmp_path_factory.mktemp("ring")
    folder = await demo_folder.prepare(path, port=0, queue_delay_s=0.5, token_s=60, python=sys.executable)
    processes = Processes(folder.file("logs"))
    try:
        for name, command in run.commands(folder, os.environ).items():
            await processes.start(name, command)
        await run.until_ready(folder)
        yield Ring(folder, processes)
    finally:
        await processes.end_all()


@pytest_asyncio.fixture(loop_scope="session")
async def alice(ring: Ring) -> AsyncIterator[PortalUser]:
    """A user with all HPC systems and two projects, logged in; her labs are gone afterwards."""
    async with logged_in(ring, "alice") as user:
        yield user


@pytest_asyncio.fixture(loop_scope="session")
async def oscar(ring: Ring) -> AsyncIterator[PortalUser]:
    """The operator, logged in."""
    async with logged_in(ring, "oscar") as user:
        yield user


@pytest_asyncio.fixture(loop_scope="session")
async def nora(ring: Ring) -> AsyncIterator[PortalUser]:
    """A newcomer, who has the cloud and nothing else, logged in."""
    async with logged_in(ring, "nora") as user:
        yield user


@contextlib.asynccontextmanager
async def logged_in(ring: Ring, name: str) -> AsyncIterator[PortalUser]:
    """A user's session; at its end every lab of the user is stopped and deleted."""
    async with PortalUser(ring.folder.address, name) as user:
        await user.login(*PASSWORDS[name])
        yield user
        for lab in (await user.api("GET", f"jsc/labs/{name}"))["labs"]:
            server = lab["server"]
            if lab["state"] != "stopped":
                await user.cancel(server)
            await user.until_state(server, "stopped")
            await user.api("DELETE", f"jsc/labs/{name}/{server}")
