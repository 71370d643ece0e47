# SPDX-License-Identifier: BSD-3-Clause
"""Puts a site together: faults in front, then the caller's identity, then the routes; the engine lives beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.middleware.base import RequestResponseEndpoint

from jupyter_jsc.demo.unicore.auth import (
    SESSION_HEADER,
    SESSION_S,
    Access,
    BadPreference,
    Denied,
    UserinfoAuthenticator,
)
from jupyter_jsc.demo.unicore.batch import BatchSystem
from jupyter_jsc.demo.unicore.engine import Engine
from jupyter_jsc.demo.unicore.faults import FaultLayer, Faults
from jupyter_jsc.demo.unicore.files import FileRoutes
from jupyter_jsc.demo.unicore.jobs_api import JobRoutes
from jupyter_jsc.demo.unicore.notify import Notifier
from jupyter_jsc.demo.unicore.root import RootRoutes
from jupyter_jsc.demo.unicore.settings import SiteSettings
from jupyter_jsc.demo.unicore.tokens import ServerKey


class Site:
    """A running site: what tests and the demo reach besides the REST interface."""

    def __init__(self, settings: SiteSettings) -> None:
        self.settings = settings
        self.faults = Faults()
        self.key = ServerKey(settings.scratch, settings.name)
        self.engine = Engine(settings, self.faults, Notifier(self.key, settings.notify_timeout_s))
        authenticator = settings.authenticator or UserinfoAuthenticator(settings.userinfo_url, settings.account_keys)
        self.access = Access(authenticator, self.key, self.faults)

    @property
    def batch(self) -> BatchSystem:
        """The batch system, for what an administrator does there: cancel a job, count free nodes."""
        return self.engine.batch

    @contextlib.asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the engine; at the end, end all jobs and wait until nothing of them is left."""
        async with asyncio.TaskGroup() as tasks:
            self.engine.open(tasks)
            scheduler = tasks.create_task(self.engine.run())
            try:
                yield
            finally:
                scheduler.cancel()
                self.engine.close()


def create_site(settings: SiteSettings) -> FastAPI:
    """Return the application of a site; ``app.state.site`` is its :class:`Site`."""
    site = Site(settings)
    app = FastAPI(title=settings.name, lifespan=site.running, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    app.router.redirect_slashes = False
    app.include_router(JobRoutes(settings, site.engine, site.faults).router)
    app.include_router(FileRoutes(settings, site.engine, site.faults).router)
    app.include_router(RootRoutes(settings, site.key).router)
    for status in (404, 405):
        app.add_exception_handler(status, _empty_404)
    app.middleware("http")(_identify)
    app.add_middleware(FaultLayer, faults=site.faults, startup_404_s=settings.startup_404_s)
    return app


async def _identify(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Put the caller into ``request.state`` and the session into the answer."""
    site: Site = request.app.state.site
    try:
        request.state.caller, session_id = await site.access.identify(request.headers)
    except Denied as denied:
        return Response(status_code=denied.code)
    except BadPreference as bad:
        text = f"java.lang.SecurityException: {bad.message}"
        return JSONResponse({"message": text, "url": request.url.path, "status": "500"}, 500)
    response = await call_next(request)
    if "application/octet-stream" not in request.headers.get("Accept", ""):
        response.headers[SESSION_HEADER] = session_id
        response.headers[f"{SESSION_HEADER}-Lifetime"] = str(SESSION_S * 1000)
    return response


async def _empty_404(_request: Request, _error: Exception) -> Response:
    return Response(status_code=404)
