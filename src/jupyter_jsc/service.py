# SPDX-License-Identifier: BSD-3-Clause
"""What every REST service of ours shares: the gate, errors as problems, health, metrics, one log line a request.

Called by ``manager/app.py``, ``tunnelmgr/app.py``, ``dashboard/app.py`` and ``configsync.py``.
"""

import contextlib
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
import yaml
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.registry import Collector
from starlette.middleware.base import RequestResponseEndpoint

from jupyter_jsc import errors, wire

log = structlog.get_logger()

Probe = Callable[[], Awaitable[str]]
"""Asks one dependency; returns ``ok`` or what is wrong."""

Details = Callable[[], Mapping[str, Any]]
"""Returns facts for ``/health`` that make a service neither ready nor unready, such as the version in force."""

_READER = "dashboard"
"""The caller of this name only looks, so its token changes nothing in whatever hands."""

_OPEN = ("/health/live", "/health/ready", "/metrics")


class Callers:
    """The services that may call us, by the SHA-256 of their tokens; the file is read again when it changes.

    A new version that cannot be read does not replace the last good one; without any, or without a file, nobody may
    call.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._by_name: dict[str, str] = {}

    def identify(self, authorization: str | None) -> str:
        """Return the caller's name, or raise :class:`errors.NotAuthenticated`."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.NotAuthenticated("This service needs a bearer token of a known caller.")
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = [name for name, known in self._table().items() if hmac.compare_digest(known.encode(), digest.encode())]
        if not found:
            raise errors.NotAuthenticated("The bearer token is not known here.")
        return found[0]

    def _table(self) -> Mapping[str, str]:
        if self._path is None:
            return {}
        try:
            stat = self._path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
            if mark != self._seen:
                tree = yaml.safe_load(self._path.read_text("utf-8"))
                self._by_name = {str(name): str(digest) for name, digest in dict(tree).items()}
                self._seen = mark
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            log.warning("callers file cannot be read", path=str(self._path), error=type(error).__name__)
        return self._by_name


def token_hash(token: str) -> str:
    """Return what a callers file holds for *token*."""
    return hashlib.sha256(token.encode()).hexdigest()


def create_app(
    title: str,
    *,
    callers: Callers,
    probes: Mapping[str, Probe],
    lifespan: Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]] | None = None,
    self_authenticated: tuple[str, ...] = (),
    details: Details = dict,
    collectors: Sequence[Collector] = (),
) -> FastAPI:
    """Return an application whose every route needs a known caller, deny by default.

    *self_authenticated* lists path prefixes whose handlers check another credential themselves (the
    receiver of UNICORE's signed notifications). A handler finds the caller in ``request.state.caller``.
    *collectors* add to ``/metrics``.
    """
    app = FastAPI(title=title, lifespan=lifespan, docs_url=None, redoc_url=None)
    registry = CollectorRegistry()
    seconds = Histogram("jsc_request_seconds", "Time to answer.", ("method", "route", "status"), registry=registry)
    for collector in collectors:
        registry.register(collector)

    @app.middleware("http")
    async def gate(request: Request, call_next: RequestResponseEndpoint) -> Response:
        began = time.perf_counter()
        request_id = request.headers.get("x-request-id", "")[:64] or uuid.uuid4().hex[:16]
        path = request.url.path
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                if path not in _OPEN and not path.startswith(self_authenticated or ("\0",)):
                    request.state.caller = callers.identify(request.headers.get("authorization"))
                    if request.state.caller == _READER and request.method != "GET":
                        raise errors.Forbidden("The dashboard may read, and change nothing.")
                response = await call_next(request)
            except errors.JSCError as error:
                response = problem_response(error)
            except Exception:  # the outermost frame of a request: logged, answered without details
                log.exception("request failed", method=request.method, path=path)
                response = problem_response(errors.JSCError(f"Internal error; the log has it under {request_id}."))
            response.headers["x-request-id"] = request_id
            took = time.perf_counter() - began
            route = getattr(request.scope.get("route"), "path", "unknown")
            seconds.labels(request.method, route, response.status_code).observe(took)
            if path not in _OPEN:
                log.info(
                    "request", method=request.method, path=path, status=response.status_code, ms=round(took * 1000, 1)
                )
        return response

    app.add_exception_handler(errors.JSCError, _on_jsc_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    _add_health(app, probes, details, registry)
    return app


def problem_response(error: errors.JSCError) -> JSONResponse:
    """Return *error* as an RFC 9457 problem."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(int(error.retry_after_s))}
    return JSONResponse(error.problem(), error.status, headers, media_type="application/problem+json")


def _add_health(app: FastAPI, probes: Mapping[str, Probe], details: Details, registry: CollectorRegistry) -> None:
    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, Any]:
        return {"live": True, "details": dict(details())}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> Response:
        answers = {name: await probe() for name, probe in probes.items()}
        ready = all(text == "ok" for text in answers.values())
        answer = wire.Readiness(ready=ready, dependencies=answers, details=dict(details()))
        return JSONResponse(answer.model_dump(mode="json"), 200 if answer.ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _on_jsc_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.JSCError)
    return problem_response(error)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    # The value itself is not repeated: a message may carry secrets.
    return problem_response(errors.InvalidRequest(f"{place}: {first['msg']}", field=place, allowed=first["msg"]))


@contextlib.asynccontextmanager
async def no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Open nothing."""
    yield


def bearer(token: str) -> dict[str, Any]:
    """Return the header that :class:`Callers` reads."""
    return {"Authorization": f"Bearer {token}"}
