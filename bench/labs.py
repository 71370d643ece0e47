# SPDX-License-Identifier: BSD-3-Clause
"""A lab of the demo's user alice, made, started and entered as a browser would."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from bench.portal import PortalUser
from jupyter_jsc.demo.people import PEOPLE

SERVER = "bench"
OPTIONS: dict[str, Any] = {
    "system": "juwels",
    "option": "jupyterlab-4.6",
    "account": "alice1",
    "project": "hai",
    "partition": "batch",
    "resources": {"nodes": 1, "runtime": 60},
}


@contextlib.asynccontextmanager
async def logged_in(address: str) -> AsyncIterator[PortalUser]:
    """Log alice in."""
    [alice] = [person for person in PEOPLE if person.name == "alice"]
    async with PortalUser(address, alice.name) as user:
        await user.login(alice.password, alice.idp)
        yield user


@contextlib.asynccontextmanager
async def running_lab(address: str) -> AsyncIterator[tuple[PortalUser, str]]:
    """Start a lab and enter it; it is stopped afterwards."""
    async with logged_in(address) as user:
        await user.save(SERVER, OPTIONS)
        await user.start(SERVER)
        try:
            await user.until(SERVER, "ready")
            await user.enter(SERVER)
            yield user, SERVER
        finally:
            await user.stop(SERVER)
