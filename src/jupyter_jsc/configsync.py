# SPDX-License-Identifier: BSD-3-Clause
"""The process that keeps a published configuration at the newest good commit; runs beside the services that read it.

Started by ``jupyter-jsc config sync``; :mod:`jupyter_jsc.config.sync` does the work. It looks at once when a repository
on this machine moves or a webhook says so, else at an interval. Over HTTP it tells what is in force.
"""

import asyncio
import contextlib
import hashlib
import hmac
import random
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, Request
from prometheus_client.core import GaugeMetricFamily
from pydantic import Field

from jupyter_jsc import service
from jupyter_jsc.config import repository
from jupyter_jsc.config.base import Section
from jupyter_jsc.config.mistakes import ConfigurationRefused
from jupyter_jsc.config.repository import Remote
from jupyter_jsc.config.sync import Outcome, Sync
from jupyter_jsc.errors import InvalidRequest, JSCError, NotAuthenticated

log = structlog.get_logger()

_LOOK_EVERY_S = 0.1
_FIRST_PAUSE_S = 1.0
_LARGEST_HOOK = 25 * 1024 * 1024
"""GitHub sends no more."""


class SyncSettings(Section):
    """The options of ``jupyter-jsc config sync``, one field each."""

    repo: str
    """Address of the repository: a path, ``file://``, ``ssh://``, ``user@host:path`` or ``https://``."""
    branch: str = "main"
    """The branch that is in force."""
    into: Path
    """The folder to publish into; services read the link ``current`` in it."""
    once: bool = False
    """Publish the newest commit and end; otherwise run for ever."""
    interval_s: float = Field(default=60.0, ge=1, le=86400)
    """Seconds between two looks at a repository on another machine, give or take a tenth."""
    host: str = "127.0.0.1"
    """Where to answer over HTTP."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """The port of health, metrics and webhook; none: no HTTP."""
    webhook_secret_file: Path | None = None
    """What GitHub signs its webhooks with, or GitLab sends as its token; read again at each call."""
    callers_file: Path | None = None
    """YAML: who else may call the webhook, by name → SHA-256 of the bearer token, hexadecimal."""
    ssh_key_file: Path | None = None
    """Private key for ssh; none: the account's own."""
    known_hosts_file: Path | None = None
    """The host keys that ssh believes; none: the account's and the machine's own."""
    credentials_file: Path | None = None
    """User and password for https, as one line ``https://user:password@host``."""
    ca_file: Path | None = None
    """PEM file of the authority that signed the server's certificate; none: the machine's own set."""

    def remote(self) -> Remote:
        """Return where to fetch from; :class:`InvalidRequest` for an address that must not be used."""
        files = (self.ssh_key_file, self.known_hosts_file, self.credentials_file, self.ca_file)
        return Remote(self.repo, self.branch, *files)


async def run(settings: SyncSettings) -> None:
    """Publish once, or for ever until SIGTERM or SIGINT.

    Once: raises :class:`ConfigurationRefused` if the newest commit cannot be used, and whatever kept it from being read.
    """
    sync = Sync(settings.remote(), settings.into)
    with sync.held():
        if settings.once:
            outcome = await sync.update()
            if outcome.mistakes:
                raise ConfigurationRefused.of(outcome.mistakes)
        elif settings.port is None:
            await _until_signal(Follower(sync, settings.interval_s))
        else:
            app = create_app(Follower(sync, settings.interval_s), settings)
            config = uvicorn.Config(
                app,
                settings.host,
                settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
            await uvicorn.Server(config).serve()


class Follower:
    """Looks at the remote whenever it may have moved. Also a Prometheus collector."""

    def __init__(self, sync: Sync, interval_s: float) -> None:
        self._sync = sync
        self._interval_s = interval_s
        self._told = asyncio.Event()
        self._failures = 0
        self._problem = ""
        self._looked: datetime | None = None
        self._outcome: Outcome | None = None

    def tell(self) -> None:
        """Look now. What is told while it looks makes it look once more."""
        self._told.set()

    async def run(self) -> None:
        """Follow the remote for ever; trouble with it is waited out, with ever longer pauses up to the interval."""
        while True:
            self._told.clear()
            marks = await self._marks()
            await self._look()
            await self._wait(marks)

    async def ready(self) -> str:
        """Return ``ok`` once any version is in force; a refused commit or a silent remote leave the last good one."""
        return "ok" if self._sync.in_force else "no version is in force yet"

    def details(self) -> Mapping[str, Any]:
        """Return what is in force, and what is wrong with the newest commit or the remote."""
        refused = self._outcome if self._outcome is not None and self._outcome.mistakes else None
        return {
            "configuration": self._sync.in_force,
            "refused": refused.commit if refused else None,
            "mistakes": [str(mistake) for mistake in refused.mistakes[:20]] if refused else [],
            "remote": self._problem or "ok",
            "looked": self._looked.isoformat() if self._looked else None,
        }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures; called by the Prometheus registry."""
        info = GaugeMetricFamily("jsc_configuration_info", "The version that is published.", labels=["version"])
        info.add_metric([self._sync.in_force or ""], 1)
        yield info
        mistakes = len(self._outcome.mistakes) if self._outcome is not None else 0
        yield GaugeMetricFamily(
            "jsc_sync_mistakes", "Mistakes in the newest commit; 0: it is in force.", value=mistakes
        )
        yield GaugeMetricFamily("jsc_sync_failures", "Looks at the remote that failed in a row.", value=self._failures)
        looked = self._looked.timestamp() if self._looked else 0
        yield GaugeMetricFamily("jsc_sync_looked_seconds", "When the remote was read last (Unix time).", value=looked)

    async def _look(self) -> None:
        try:
            self._outcome = await self._sync.update()
        except JSCError as error:
            self._failed(error.message)
        except Exception:  # the loop's outermost frame: one commit must not end it
            log.exception("configuration not synchronised")
            self._failed("internal error; the log has it")
        else:
            self._failures, self._problem = 0, ""
            self._looked = datetime.now(UTC)

    def _failed(self, problem: str) -> None:
        self._failures += 1
        if problem != self._problem:
            log.warning("repository not read, the last good version stays", reason=problem)
        self._problem = problem

    async def _wait(self, marks: object) -> None:
        """Return when the remote may have moved; after a failure not at once, whoever tells."""
        limit = self._interval_s * random.uniform(0.9, 1.1)
        if self._failures:
            pause = _FIRST_PAUSE_S * random.uniform(0.5, 1)
            limit = min(limit, pause * 2 ** min(self._failures, 20))
            await asyncio.sleep(pause)
        look_every = None if self._sync.remote.folder is None else _LOOK_EVERY_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while await self._marks() == marks:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(look_every):
                            await self._told.wait()
                            return

    async def _marks(self) -> object:
        folder = self._sync.remote.folder
        return await asyncio.to_thread(repository.marks, folder, self._sync.remote.branch) if folder else None


def create_app(follower: Follower, settings: SyncSettings) -> FastAPI:
    """Return the HTTP side; *follower* runs while it does."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(follower.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    callers = service.Callers(settings.callers_file)
    app = service.create_app(
        "Configuration",
        callers=callers,
        probes={"configuration": follower.ready},
        lifespan=lifespan,
        self_authenticated=("/v1/webhook",),
        details=follower.details,
        collectors=[follower],
    )

    @app.post("/v1/webhook", status_code=202)
    async def webhook(request: Request) -> dict[str, bool]:
        secret = await asyncio.to_thread(_secret, settings.webhook_secret_file)
        await check_sender(request, secret, callers)
        follower.tell()
        return {"accepted": True}

    return app


async def check_sender(request: Request, secret: bytes, callers: service.Callers) -> None:
    """Raise :class:`NotAuthenticated` unless GitHub, GitLab or a known caller sent the request; without a secret only the last.

    GitHub: "Validating webhook deliveries" (HMAC of the body); GitLab: "Webhooks", secret token.
    """
    headers = request.headers
    if secret and (signature := headers.get("x-hub-signature-256")):
        digest = hmac.new(secret, digestmod=hashlib.sha256)
        size = 0
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
            if size > _LARGEST_HOOK:
                raise InvalidRequest(f"A webhook has at most {_LARGEST_HOOK} bytes.")
        if not hmac.compare_digest(f"sha256={digest.hexdigest()}".encode(), signature.encode("latin-1")):
            raise NotAuthenticated("The signature of the webhook is wrong.")
    elif secret and (token := headers.get("x-gitlab-token")):
        if not hmac.compare_digest(secret, token.encode("latin-1")):
            raise NotAuthenticated("The token of the webhook is wrong.")
    else:
        callers.identify(headers.get("authorization"))


def _secret(path: Path | None) -> bytes:
    try:
        return path.read_bytes().strip() if path is not None else b""
    except OSError as error:
        log.warning("webhook secret cannot be read", path=str(path), error=type(error).__name__)
        return b""


async def _until_signal(follower: Follower) -> None:
    task = asyncio.ensure_future(follower.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
