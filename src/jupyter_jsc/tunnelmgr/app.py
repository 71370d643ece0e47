# SPDX-License-Identifier: BSD-3-Clause
"""TunnelMgr's REST service: tunnels and jump hosts. The hub calls it; :mod:`.tunnels` does the work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Path, Query

from jupyter_jsc import names, service, wire
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import TunnelMgrSettings
from jupyter_jsc.tunnelmgr.tunnels import Tunnels

LabPath = Annotated[str, Path(pattern=names.LAB_ID.pattern)]


def create_app(current: Current, settings: TunnelMgrSettings) -> FastAPI:
    """Return TunnelMgr; recorded tunnels come back while it answers already."""
    tunnels = Tunnels(current, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(tunnels.run()), asyncio.create_task(current.watch(tunnels.follow))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await tunnels.release()

    app = service.create_app(
        "TunnelMgr",
        callers=service.Callers(settings.callers_file),
        probes={"jump_hosts": tunnels.health},
        lifespan=lifespan,
        details=lambda: {**current.details(), "ways_back_not_open": tunnels.ways_back.troubles()},
        collectors=[current],
    )
    _add_routes(app, tunnels)
    return app


def _add_routes(app: FastAPI, tunnels: Tunnels) -> None:
    @app.put("/v1/tunnels/{lab_id}")
    async def open_tunnel(lab_id: LabPath, wanted: wire.OpenTunnel) -> wire.Tunnel:
        return await tunnels.open(lab_id, wanted)

    @app.get("/v1/tunnels/{lab_id}")
    async def get_tunnel(lab_id: LabPath) -> wire.Tunnel:
        return tunnels.get(lab_id)

    @app.delete("/v1/tunnels/{lab_id}", status_code=204)
    async def close_tunnel(lab_id: LabPath, start_id: Annotated[str | None, Query()] = None) -> None:
        await tunnels.close(lab_id, start_id)

    @app.get("/v1/tunnels")
    async def all_tunnels() -> list[wire.Tunnel]:
        return tunnels.all()

    @app.get("/v1/jump-hosts")
    async def jump_hosts() -> list[wire.JumpHostInfo]:
        return tunnels.jump_hosts()

    @app.patch("/v1/jump-hosts/{name}")
    async def change_jump_host(name: str, change: wire.JumpHostChange) -> wire.JumpHostInfo:
        return await tunnels.set_state(name, change.state)
