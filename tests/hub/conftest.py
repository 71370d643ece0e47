# SPDX-License-Identifier: BSD-3-Clause
"""One running hub for all tests of spawner, supervisor, labs, handlers, stream and portal; each uses labs of its own."""

import pytest_asyncio

from tests.hub.visitor import alice, nora, pages_hub, session, visitor
from tests.hub.world import BEGINNING, world

__all__ = ["alice", "nora", "pages_hub", "session", "visitor"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_hub(tmp_path_factory):
    """The hub and the services around it."""
    async with world(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def hub(shared_hub):
    """The hub, with services that do as they should."""
    shared_hub.manager.reset()
    shared_hub.tunnels.reset()
    shared_hub.login("")
    if BEGINNING != shared_hub.published.link.readlink().name:
        await shared_hub.commit(BEGINNING, lambda tree: None)
    return shared_hub
