# SPDX-License-Identifier: BSD-3-Clause
"""Whether the portal inside the hub is ready, for probes and operators. Needs no login and tells nothing secret."""

import asyncio

from jupyterhub.apihandlers.base import APIHandler

from jupyter_jsc import errors, wire
from jupyter_jsc.hub.api import JSCHandler
from jupyter_jsc.hub.journal import Journal

_DATABASE_S = 3.0


class ReadyHandler(JSCHandler):
    """The portal's readiness."""

    async def get(self) -> None:
        """Answer each dependency in a word, and the version in force; 503 if something does not answer.

        Managers and TunnelMgr are not asked now but by the supervisor at its interval: nobody can make the hub ask.
        """
        portal = self.portal
        dependencies = {"database": await _database(portal.journal), **portal.health.services(portal.configuration)}
        ready = "silent" not in dependencies.values()
        details = portal.current.details()
        self.set_status(200 if ready else 503)
        self.finish(wire.Readiness(ready=ready, dependencies=dependencies, details=details).model_dump_json())


async def _database(journal: Journal) -> str:
    try:
        async with asyncio.timeout(_DATABASE_S):
            await journal.last_id()
    except (errors.Unavailable, TimeoutError):
        return "silent"
    return "ok"


READY_HANDLERS: list[tuple[str, type[APIHandler]]] = [(r"/api/jsc/health/ready", ReadyHandler)]
