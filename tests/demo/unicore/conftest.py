# SPDX-License-Identifier: BSD-3-Clause
"""A demo site on a loopback port in the test process, and a client that shows whole answers."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI

from jupyter_jsc.demo.unicore import DemoPartition, Identity, Node, Site, SiteSettings, create_site
from jupyter_jsc.errors import Unavailable


class StaticTokens:
    """Knows tokens by heart; ``broken`` stands for a provider that does not answer."""

    def __init__(self) -> None:
        self.known = {
            "tok-alice": Identity("UID=alice@example.org", {"alice1": ("proj1", "proj2"), "alice2": ("proj3",)}),
            "tok-bob": Identity("UID=bob@example.org", {"bob1": ("proj1",)}),
            "tok-carol": Identity("UID=carol@example.org", {"alice1": ("proj1",)}),
            "tok-nora": Identity("UID=nora@example.org", {}),
        }
        self.broken = False

    async def __call__(self, token: str) -> Identity | None:
        if self.broken:
            raise Unavailable("The identity provider does not answer.")
        return self.known.get(token)


@contextlib.asynccontextmanager
async def serve(app: FastAPI, sock: socket.socket) -> AsyncIterator[None]:
    """Serve *app* on a bound socket until the block ends, its lifespan included."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1)
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve([sock]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        try:
            yield
        finally:
            server.should_exit = True


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Client:
    """Sends requests as one user, without sessions unless told."""

    site: Site
    http: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    def as_(self, token: str | None, **headers: str) -> "Client":
        """Return a client with another credential."""
        own = {} if token is None else {"Authorization": f"Bearer {token}"}
        return replace(self, headers=own | headers)

    async def __call__(self, method: str, path: str = "", *, data: Any = None, **kwargs: Any) -> Answer:
        headers = self.headers | {"Accept": "application/json"} | kwargs.pop("headers", {})
        url = path if path.startswith("http") else self.site.settings.core + path
        async with self.http.request(method, url, headers=headers, data=data, **kwargs) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def submit(self, **description: Any) -> str:
        """Return the URL of a new job."""
        answer = await self("POST", "/jobs", json=description)
        assert answer.status == 201, answer
        return str(answer.headers["Location"])

    async def get(self, path: str) -> Any:
        """Return the JSON of a resource that must be there."""
        answer = await self("GET", path)
        assert answer.status == 200, answer
        return answer.json

    async def until(self, path: str, wanted: Callable[[Any], bool]) -> Any:
        """Return the JSON of a resource once it is as *wanted*."""
        while not wanted(found := await self.get(path)):
            await asyncio.sleep(0.02)
        return found

    async def until_status(self, url: str, *statuses: str) -> Any:
        """Return the job once it has one of the statuses."""
        return await self.until(url, lambda job: job["status"] in statuses)

    async def file(self, url: str, name: str, **headers: str) -> Answer:
        """Return the bytes of a file in a job's directory."""
        storage = url.replace("/jobs/", "/storages/") + "-uspace"
        return await self("GET", f"{storage}/files/{name}", headers={"Accept": "application/octet-stream", **headers})

    async def until_file(self, url: str, name: str, wanted: str = "") -> str:
        """Return the text of a job's file once it is there and holds *wanted*."""
        while (answer := await self.file(url, name)).status != 200 or wanted not in answer.text or not answer.body:
            await asyncio.sleep(0.02)
        return answer.text


def settings(scratch: Path, port: int, **changes: Any) -> SiteSettings:
    """Return a small, hasty site."""
    usual: dict[str, Any] = {
        "name": "DEMO",
        "base_url": f"http://127.0.0.1:{port}/DEMO",
        "scratch": scratch,
        "nodes": tuple(Node(f"dc{number:02}", f"127.30.1.{number}") for number in (1, 2, 3)),
        "login_nodes": (Node("dl01", "127.30.0.1"), Node("dl02", "127.30.0.2")),
        "partitions": (DemoPartition("batch", nodes=3, runtime_s=3600), DemoPartition("gpu", nodes=1, gpus=4)),
        "authenticator": StaticTokens(),
        "queue_delay_s": 0.05,
        "status_lag_s": 0.05,
        "step_s": 0.01,
        "retry_s": 0.05,
        "tsi_retry_s": 0.05,
        "controller_wait_s": 0.05,
        "kill_wait_s": 0.5,
        "notify_timeout_s": 0.5,
    }
    return SiteSettings(**(usual | changes))


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Client]]:
    """Return a function that runs a site with changed settings and gives alice's client of it."""

    @contextlib.asynccontextmanager
    async def make(**changes: Any) -> AsyncIterator[Client]:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            app = create_site(settings(tmp_path / "site", sock.getsockname()[1], **changes))
            async with serve(app, sock), aiohttp.ClientSession() as http:
                yield Client(app.state.site, http).as_("tok-alice")

    return make


@pytest.fixture
async def client(make_site: Callable[..., Any]) -> AsyncIterator[Client]:
    """Alice's client of a running site."""
    async with make_site() as client:
        yield client


@dataclass
class Note:
    """A notification as it arrived."""

    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass
class Receiver:
    """Takes notifications; what it answers can be changed."""

    url: str
    notes: list[Note] = field(default_factory=list)
    answer: Callable[[], web.Response] = web.Response
    hang: asyncio.Event | None = None
    got: asyncio.Condition = field(default_factory=asyncio.Condition)
    redirected: list[Mapping[str, str]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        async with self.got:
            self.notes.append(Note(request.headers, await request.json()))
            self.got.notify_all()
        if self.hang is not None:
            await self.hang.wait()
        return self.answer()

    async def elsewhere(self, request: web.Request) -> web.Response:
        self.redirected.append(request.headers)
        return web.Response()

    async def until(self, count: int) -> None:
        """Return once so many notifications have come."""
        async with self.got:
            await self.got.wait_for(lambda: len(self.notes) >= count)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of notifications on loopback."""
    found = Receiver("")
    app = web.Application()
    app.router.add_post("/note", found.receive)
    app.router.add_get("/elsewhere", found.elsewhere)
    server = TestServer(app)
    async with server:
        found.url = str(server.make_url("/note"))
        yield found
        if found.hang is not None:
            found.hang.set()
