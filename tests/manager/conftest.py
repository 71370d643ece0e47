# SPDX-License-Identifier: BSD-3-Clause
"""The manager with a faulty little site, over HTTP in the test process."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest
import yaml
from fastapi import FastAPI
from pydantic import SecretStr

from jupyter_jsc import names, service, wire
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.settings import ManagerSettings
from jupyter_jsc.config.systems import System, SystemKind
from jupyter_jsc.errors import InvalidRequest, SiteUnavailable
from jupyter_jsc.manager import app as manager
from tests.config import small
from tests.config.published import Published

LAB, START = names.lab_id("demo", "alice", "lab"), names.new_start_id()


class SmallSite:
    """A site that counts what is asked of it; ``gate`` holds up starts."""

    def __init__(self, made_of: System | None = None) -> None:
        self.made_of = made_of
        self.closed = asyncio.Event()
        self.jobs: dict[str, str | None] = {}
        self.asked_by: list[str | None] = []
        self.submitted: Counter[str] = Counter()
        self.software: object = None
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed.set()

    async def start(self, lab: wire.StartLab, credential: SecretStr | None) -> wire.StartAnswer:
        self.calls.append("start")
        self.software = lab.options.software
        if self.down:
            raise SiteUnavailable("JUWELS does not answer.", retry_after_s=3)
        if lab.start_id not in self.jobs:
            await self.gate.wait()
            self.submitted[lab.start_id] += 1
            self.jobs[lab.start_id] = credential.get_secret_value() if credential else None
        handle = wire.Handle(url=f"http://site/jobs/{lab.start_id}")
        return wire.StartAnswer(handle=handle, site_token=SecretStr("site-token") if credential else None)

    async def poll(self, labs: Sequence[wire.LabRef]) -> Mapping[str, wire.LabState]:
        self.asked_by += [lab.hub for lab in labs]
        return {lab.start_id: wire.LabState(state="running" if lab.start_id in self.jobs else "ended") for lab in labs}

    async def stop(self, lab: wire.LabRef) -> None:
        self.calls.append("stop")
        self.asked_by.append(lab.hub)
        self.jobs.pop(lab.start_id, None)

    async def log(self, lab: wire.LabRef) -> str:
        self.asked_by.append(lab.hub)
        return f"output of {lab.start_id}"

    async def health(self) -> wire.SystemHealth:
        return wire.SystemHealth(available=not self.down)


class Drivers:
    """Makes small sites; keeps them by system, the newest last."""

    def __init__(self) -> None:
        self.made: defaultdict[str, list[SmallSite]] = defaultdict(list)
        self.broken = False

    def __call__(self, name: str, system: System, configuration: Configuration) -> SmallSite:
        if self.broken:
            raise InvalidRequest("The certificate authority's file is missing.")
        assert configuration.systems[name] is system
        self.made[name].append(SmallSite(system))
        return self.made[name][-1]


@pytest.fixture
def drivers() -> Drivers:
    return Drivers()


@pytest.fixture
def site(http: httpx.AsyncClient, drivers: Drivers) -> SmallSite:
    """The driver of the system, while the manager runs."""
    return drivers.made["juwels"][-1]


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(tmp_path / "published")


@pytest.fixture
def current(published: Published) -> Current:
    return Current(published.publish("v1", small.tree()))


@pytest.fixture
def settings(tmp_path: Path) -> ManagerSettings:
    callers = tmp_path / "callers.yaml"
    callers.write_text(yaml.safe_dump({"demo": service.token_hash("hub-token"), "other": service.token_hash("other")}))
    return ManagerSettings(port=1, configuration=tmp_path, callers_file=callers, public_url="http://manager", hubs={})


@contextlib.asynccontextmanager
async def over_http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, its lifespan running."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://m", headers=service.bearer("hub-token")) as http,
    ):
        yield http


@pytest.fixture
async def http(current: Current, settings: ManagerSettings, drivers: Drivers) -> AsyncIterator[httpx.AsyncClient]:
    async with over_http(manager.create_app(current, settings, {SystemKind.UNICORE: drivers})) as http:
        yield http


OPTIONS = {
    "system": "juwels",
    "option": "lab",
    "account": "alice1",
    "project": "hai",
    "partition": "batch",
    "resources": {"nodes": 1, "runtime": 60},
}


def body(start_id: str = START, **changes: object) -> dict[str, object]:
    """A StartLab as a hub sends it."""
    return {
        "lab_id": LAB,
        "start_id": start_id,
        "hub": "demo",
        "user": "alice",
        "options": OPTIONS,
        "env": {},
        "secrets": {"JUPYTERHUB_API_TOKEN": "s3cr3t"},
        "events_url": "http://hub/events",
        "started_url": "http://hub/started",
    } | changes


def path(start_id: str = START, suffix: str = "") -> str:
    return f"/v1/labs/{LAB}/starts/{start_id}{suffix}"


CREDENTIAL = {wire.CREDENTIAL_HEADER: "user-token"}
