# SPDX-License-Identifier: BSD-3-Clause
"""The driver against a site: the demo's endpoint in the test process, or a real server.

Tests that take ``place`` run against both. A real one is named by ``UNICORE_URL`` (``https://…/rest/core``) and
``UNICORE_TOKEN``, or ``UNICORE_USER`` and ``UNICORE_PASSWORD``; where needed by ``UNICORE_ACCOUNT``,
``UNICORE_PROJECT``, ``UNICORE_QUEUE`` and ``UNICORE_CA``. Tests that break the site need the demo's endpoint.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from jupyter_jsc import names, wire
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import ServiceOption
from jupyter_jsc.config.systems import System
from jupyter_jsc.demo.unicore import Site, create_site
from jupyter_jsc.sites.unicore import UnicoreSite
from tests.demo.unicore.conftest import serve, settings

ALICE, BOB, NORA = SecretStr("tok-alice"), SecretStr("tok-bob"), SecretStr("tok-nora")

SETUP_ONLY = str(Path(__file__).with_name("setup_only"))
"""Stands for the interpreter of the launcher; a real server's nodes must see this file, too."""


def option(*setup: str) -> ServiceOption:
    """A service option whose job is these shell lines."""
    return ServiceOption(label="x", setup=list(setup))


OPTIONS = {
    "waits": option("echo started; exec sleep 600"),
    "fails": option("echo 'no module named jupyter' >&2", "exit 3"),
    "ends": option("exit 0"),
    "killed": option("kill -9 0"),
    "shows": option("env; cat lab.json; ls -l; sleep 600"),
}


def system(url: str, *, notifications: bool = False, ca_file: str = "", queue: str = "batch") -> System:
    """The site as the portal's configuration describes it."""
    runtime = {"label": "Runtime", "minimum": 1, "maximum": 600, "default": 10}
    nodes = {"label": "Nodes", "minimum": 1, "maximum": 9, "default": 1}
    return System.model_validate(
        {
            "label": "DEMO",
            "manager": "unicoremgr",
            "unicore": {"url": url, "notifications": notifications, "ca_file": ca_file},
            "jump_hosts": {"dl01": {"host": "127.30.0.1", "host_key": "ssh-ed25519 AAAA"}},
            "lab_hosts": ["dc*", "dl*"],
            "account_keys": {"demo": ["batch", "login"]},
            "launcher_python": SETUP_ONLY,
            "partitions": {
                "batch": {"queue": queue, "resources": {"nodes": nodes, "runtime": runtime}},
                "nowhere": {"queue": "nosuchqueue", "resources": {"nodes": nodes, "runtime": runtime}},
                "gpu": {"resources": {"gpus": nodes, "nodes": nodes, "runtime": runtime}},
                "login": {"kind": "interactive", "login_node": "dl*"},
            },
        }
    )


def configuration(place: System, **more: object) -> Configuration:
    """A portal with this one system and the options above, and *more*."""
    service = {"url": "http://127.0.0.1:9"}
    usual: dict[str, object] = {
        "hub": "demo",
        "identity_providers": {"demo": {"label": "Demo"}},
        "managers": {"unicoremgr": service},
        "tunnelmgr": service,
        "systems": {"demo": place},
        "options": OPTIONS,
    }
    return Configuration.model_validate(usual | more)


def driver_of(
    place: System, pause: Callable[[float], Awaitable[None]] = asyncio.sleep, **options: ServiceOption
) -> UnicoreSite:
    """The driver of this system, with these options beside the usual ones."""
    portal = configuration(place, options=OPTIONS | options)
    return UnicoreSite("demo", place, portal, "http://127.0.0.1:9", pause=pause)


@dataclass(frozen=True)
class Request:
    """A request as it reached the site."""

    method: str
    path: str
    """Below the REST base."""
    query: QueryParams
    headers: Headers


@dataclass
class Traffic:
    """All requests to a site; ``after`` is called when one has been answered."""

    requests: list[Request] = field(default_factory=list)
    after: Callable[[Request], None] | None = None

    def watch(self, app: ASGIApp, prefix: str) -> ASGIApp:
        """Return *app*, watched."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            query = QueryParams(scope["query_string"])
            path = scope["path"].removeprefix(prefix)
            request = Request(scope["method"], path, query, Headers(scope=scope))
            self.requests.append(request)
            await app(scope, receive, send)
            if self.after is not None:
                self.after(request)

        return watched


@pytest.fixture
def traffic() -> Traffic:
    """What the driver sends to ``site``."""
    return Traffic()


@contextlib.asynccontextmanager
async def demo_site(folder: Path, traffic: Traffic, **changes: object) -> AsyncIterator[Site]:
    """The demo's endpoint, hasty, with changed settings."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        app = create_site(settings(folder, sock.getsockname()[1], **changes))
        site: Site = app.state.site
        async with serve(traffic.watch(app, site.settings.prefix), sock):
            yield site


@pytest.fixture
async def site(tmp_path: Path, traffic: Traffic) -> AsyncIterator[Site]:
    """The demo's endpoint, hasty."""
    async with demo_site(tmp_path / "site", traffic) as site:
        yield site


async def no_pause(_seconds: float) -> None:
    """The second look comes at once."""
    await asyncio.sleep(0.01)


@pytest.fixture
async def driver(site: Site) -> AsyncIterator[UnicoreSite]:
    """The driver of the demo's endpoint."""
    async with driver_of(system(site.settings.core), pause=no_pause) as driver:
        yield driver


@dataclass(frozen=True)
class Place:
    """A site that the same tests run against: its driver and a user's token."""

    driver: UnicoreSite
    token: SecretStr
    account: str | None
    project: str | None

    def lab(self, chosen: str = "waits", **options: object) -> wire.StartLab:
        """A lab of this place's user."""
        return start_lab(chosen, account=self.account, project=self.project, **options)


NAMED = "UNICORE_URL" in os.environ and bool({"UNICORE_TOKEN", "UNICORE_USER"} & set(os.environ))
REAL = [pytest.param("real", marks=pytest.mark.real_unicore)]


@pytest.fixture(params=["demo", *(REAL if NAMED else [])])
async def place(request: pytest.FixtureRequest, driver: UnicoreSite) -> AsyncIterator[Place]:
    """The demo's endpoint, and the server that ``UNICORE_URL`` names."""
    if request.param == "demo":
        yield Place(driver, ALICE, "alice1", "proj1")
        return
    url, ca_file = os.environ["UNICORE_URL"].rstrip("/"), os.environ.get("UNICORE_CA", "")
    token = os.environ.get("UNICORE_TOKEN") or await token_by_password(url, ca_file)
    account, project = os.environ.get("UNICORE_ACCOUNT"), os.environ.get("UNICORE_PROJECT")
    made = system(url, ca_file=ca_file, queue=os.environ.get("UNICORE_QUEUE", "batch"))
    async with driver_of(made) as real:
        yield Place(real, SecretStr(token), account, project)


async def token_by_password(url: str, ca_file: str) -> str:
    """Return a token of the server's own for ``UNICORE_USER``: the driver, like the portal, knows bearers only."""
    auth = (os.environ["UNICORE_USER"], os.environ.get("UNICORE_PASSWORD", ""))
    verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
    accept = {"Accept": "text/plain"}
    async with httpx.AsyncClient(auth=auth, verify=verify, timeout=20, headers=accept) as http:
        answer = await http.get(f"{url}/token", params={"lifetime": 3600, "renewable": "true"})
        return answer.raise_for_status().text.strip()


def start_lab(chosen: str = "waits", *, start_id: str = "", **options: object) -> wire.StartLab:
    """A lab on one node for ten minutes, with something secret."""
    usual: dict[str, object] = {
        "system": "demo",
        "option": chosen,
        "account": "alice1",
        "project": "proj1",
        "partition": "batch",
        "resources": {"nodes": 1, "runtime": 10},
    }
    return wire.StartLab(
        lab_id=names.lab_id("demo", "alice", "lab"),
        start_id=start_id or names.new_start_id(),
        hub="demo",
        user="alice",
        options=wire.Options.model_validate(usual | options),
        env={"JUPYTERHUB_USER": "alice"},
        secrets={"JUPYTERHUB_API_TOKEN": SecretStr("s3cr3t-api-token")},
        events_url="http://127.0.0.1:9/events",
        started_url="http://127.0.0.1:9/started",
    )


def reference(lab: wire.StartLab, answer: wire.StartAnswer | None, credential: SecretStr | None = ALICE) -> wire.LabRef:
    """How the hub would name the lab."""
    return wire.LabRef(
        lab_id=lab.lab_id,
        start_id=lab.start_id,
        system="demo",
        handle=answer.handle if answer else None,
        credential=credential,
        account=lab.options.account,
        project=lab.options.project,
    )


async def until(driver: UnicoreSite, lab: wire.LabRef, *states: wire.State) -> wire.LabState:
    """The lab's state once it is one of *states*."""
    async with asyncio.timeout(120):
        while True:
            state = (await driver.poll([lab]))[lab.start_id]
            if state.state in states:
                return state
            await asyncio.sleep(0.02)
