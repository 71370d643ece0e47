# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard's HTTP service: who may look, addresses, headers. The browser comes through the hub's proxy.

Pages are made by :mod:`.pages`, people are let in by :mod:`.login`. Every route only reads; nothing here changes anything.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import FileResponse, Response

from jupyter_jsc import errors, names, service
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import DashboardSettings
from jupyter_jsc.dashboard.login import Login, LoginNeeded, User
from jupyter_jsc.dashboard.pages import POLICY, STATIC, Pages
from jupyter_jsc.dashboard.sources import Sources
from jupyter_jsc.operators import LONGEST_HOURS

_FILES = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}

Text = Annotated[str, Query(max_length=255)]
Page = Annotated[int, Query(ge=1, le=100_000)]
Hours = Annotated[int, Query(ge=1, le=LONGEST_HOURS)]
StartPath = Annotated[str, Path(pattern=names.START_ID.pattern)]


def create_app(current: Current, settings: DashboardSettings) -> FastAPI:
    """Return the dashboard; every page needs a user whom the hub gives access."""
    login = Login(settings)
    sources = Sources(current, settings)
    pages = Pages(current, settings, sources, login.prefix)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with sources:
            watch = asyncio.create_task(current.watch(sources.follow))
            try:
                yield
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                await login.close()

    async def hub_answers() -> str:
        answer = await sources.ask_hub(lambda hub: hub.open_starts())
        return "ok" if answer.silence is None else answer.silence.reason or "silent"

    app = service.create_app(
        "Dashboard",
        callers=service.Callers(None),
        probes={"hub": hub_answers},
        lifespan=lifespan,
        self_authenticated=(login.prefix,),
        details=current.details,
        collectors=[current],
    )
    _add_answers_to_errors(app, login, pages)
    _add_headers(app, login.prefix)
    app.include_router(_routes(login, pages), prefix=login.prefix.rstrip("/"))
    return app


def _routes(login: Login, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def operator(request: Request) -> User:
        return await login.user(request)

    Operator = Annotated[User, Depends(operator)]  # noqa: N806  a type, made of this router's login

    @router.get("/")
    async def overview(user: Operator) -> Response:
        return await pages.overview(user)

    @router.get("/failures")
    async def failures(user: Operator, hours: Hours = 24) -> Response:
        return await pages.failures(user, hours)

    @router.get("/labs")
    async def labs(
        user: Operator,
        search: Text = "",
        system: Text = "",
        state: Literal["all", "open", "failed"] = "all",
        page: Page = 1,
    ) -> Response:
        return await pages.labs(user, search.strip(), system, state, page)

    @router.get("/tunnels")
    async def tunnels(user: Operator, page: Page = 1) -> Response:
        return await pages.tunnels(user, page)

    @router.get("/starts/{start_id}")
    async def story(user: Operator, start_id: StartPath) -> Response:
        return await pages.story(user, start_id)

    @router.get("/oauth_callback")
    async def oauth_callback(request: Request) -> Response:
        return await login.end(request)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in _FILES:
            raise errors.NotFound("There is no such file.")
        return FileResponse(STATIC / name, media_type=_FILES[name])

    return router


def _add_answers_to_errors(app: FastAPI, login: Login, pages: Pages) -> None:
    @app.exception_handler(LoginNeeded)
    async def log_in(request: Request, _error: Exception) -> Response:
        # A script that looks for news must not begin a login that nobody sees.
        if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            return Response("Please log in again.", 401, media_type="text/plain")
        return login.begin(request)

    @app.exception_handler(errors.JSCError)
    async def trouble(_request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.JSCError)
        return pages.trouble(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["loc"][0] == "path":
            return pages.trouble(errors.NotFound("There is nothing at this address."))
        place = str(first["loc"][-1])
        return pages.trouble(errors.InvalidRequest(f"{place}: {first['msg']}.", field=place, allowed=first["msg"]))

    @app.exception_handler(HTTPException)
    async def missing(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            return Response("Only GET is possible here.", 405, media_type="text/plain", headers=error.headers)
        return pages.trouble(errors.NotFound("There is nothing at this address."))


def _add_headers(app: FastAPI, prefix: str) -> None:
    @app.middleware("http")
    async def headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        if request.url.path.startswith(prefix):
            cached = request.url.path.startswith(f"{prefix}static/")
            response.headers["Cache-Control"] = "no-cache" if cached else "no-store"
            response.headers["Content-Security-Policy"] = POLICY
            response.headers["Referrer-Policy"] = "same-origin"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response
