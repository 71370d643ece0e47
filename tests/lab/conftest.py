# SPDX-License-Identifier: BSD-3-Clause
"""A hub on loopback as far as a lab sees it, and the launcher as the process that a job makes of it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest

from jupyter_jsc.lab import launcher

TOKEN = "t0ken-of-this-very-lab"
ADDRESS = "127.41.0.1"
BASE = "/user/alice/bench/"
DROP = 0
"""As an answer: close the connection without one."""


@dataclass
class FakeHub:
    """Speaks what launcher and single-user server need; answers come from ``script`` by the last part of the path."""

    url: str = ""
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    script: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def post(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.tokens.add(request.headers.get("Authorization"))
        kind = request.path.rpartition("/")[2]
        status = self.script[kind].pop(0) if self.script[kind] else 204
        body = await request.json()
        if status == DROP:
            assert request.transport is not None
            request.transport.abort()
        async with self.arrived:
            self.posts.append((kind, body))
            self.arrived.notify_all()
        headers = {"Location": f"{self.url}/elsewhere"} if status in {302, 307} else {}
        return aiohttp.web.Response(status=status or 500, headers=headers)

    async def until(self, reached: Callable[[], Any]) -> None:
        """Return once *reached* holds; asked after each post."""
        async with asyncio.timeout(60), self.arrived:
            await self.arrived.wait_for(reached)

    async def user(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        scope = "access:servers!server=alice/bench"
        return aiohttp.web.json_response(
            {"kind": "user", "name": "alice", "admin": False, "groups": [], "scopes": [scope], "session_id": None}
        )

    async def version(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response({"version": "6.1.1"}, headers={"X-JupyterHub-Version": "6.1.1"})

    async def activity(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(status=204)

    @property
    def codes(self) -> list[str]:
        """The codes of the events, without repetitions of one that was not accepted."""
        return [body["code"] for kind, body in self.posts if kind == "events"]

    @property
    def started(self) -> list[dict[str, Any]]:
        return [body for kind, body in self.posts if kind == "started"]

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[None]:
        """Serve on loopback."""
        app = aiohttp.web.Application()
        app.router.add_post("/hub/api/jsc/starts/s1/{kind}", self.post)
        app.router.add_get("/hub/api", self.version)
        app.router.add_get("/hub/api/", self.version)
        app.router.add_get("/hub/api/user", self.user)
        app.router.add_post("/hub/api/users/alice/activity", self.activity)
        app.router.add_route("*", "/elsewhere", self.post)
        runner = aiohttp.web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    """A hub that answers."""
    fake = FakeHub()
    async with fake.listening():
        yield fake


_FAKE_SERVER = '''
"""Stands where jupyterhub.singleuser stands: listens where it is told and records how it was started."""
import json, os, pathlib, signal, socket, subprocess, sys, time

here = pathlib.Path(os.environ["FAKE_RECORD"])
mode = os.environ.get("FAKE_MODE", "")
given = dict(argument.split("=", 1) for argument in sys.argv[1:])
address, port = given["--ServerApp.ip"], int(given["--ServerApp.port"])
THIEF = (
    "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); s.settimeout(120); "
    "s.accept(); print('met', flush=True)\\n"
    "while True: s.accept()"
)
if mode == "dies":
    print("the last words", file=sys.stderr)
    sys.exit(7)
if mode == "robbed" and not (here / "thief").exists():
    thief = subprocess.Popen(
        [sys.executable, "-c", THIEF, address, str(port)], stdout=subprocess.PIPE, start_new_session=True
    )
    (here / "thief").write_text(json.dumps([thief.pid, port]))
    thief.stdout.readline()
    sys.exit(1)
children = []
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid]
listener = socket.create_server((address, port))
record = {"pid": os.getpid(), "argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(), "children": children}
(here / "record.tmp").write_text(json.dumps(record))
(here / "record.tmp").rename(here / "record.json")
while True:
    listener.accept()[0].close()
    if mode == "brief":
        deadline = time.monotonic() + 60
        while not (here / "leave").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        sys.exit(3)
'''


@dataclass
class JobProcess:
    """A job: its directory, and the launcher that runs in it."""

    directory: Path
    env: dict[str, str]
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def launch(self, *command: str, **env: str) -> None:
        """Start the launcher, by another command than the usual one if given."""
        with (self.directory / "stdout").open("ab") as stdout, (self.directory / "stderr").open("ab") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(command or ("launcher.py",)),
                cwd=self.directory,
                env=self.env | env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    async def ended(self) -> int:
        """Return the exit code."""
        assert self.process is not None
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def terminate(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended()

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text("utf-8", "replace")

    @property
    def record(self) -> dict[str, Any]:
        """How the fake server was started."""
        return dict(json.loads((self.directory / "record.json").read_text("utf-8")))

    async def until(self, reached: Callable[[], Any]) -> None:
        """Return once *reached* holds."""
        async with asyncio.timeout(60):
            while not reached():
                await asyncio.sleep(0.01)


@pytest.fixture
async def job(hub: FakeHub, tmp_path: Path) -> AsyncIterator[JobProcess]:
    """A job whose server is the small stand-in, on the only address of its node."""
    fake = tmp_path / "fake"
    for package in ("jupyterhub", "jupyterlab"):
        (fake / package).mkdir(parents=True)
        (fake / package / "__init__.py").touch()
    (fake / "jupyterhub" / "singleuser.py").write_text(_FAKE_SERVER, "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    made = JobProcess(
        write_job(tmp_path / "job", hub.url),
        {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(fake),
            "FAKE_RECORD": str(tmp_path / "job"),
            "JSC_NODE_NAME": "jwc01",
            "JSC_NODE_ADDRESS": ADDRESS,
        },
    )
    async with kept(made):
        yield made


@contextlib.asynccontextmanager
async def kept(job: JobProcess) -> AsyncIterator[None]:
    """Leave nothing of the job behind."""
    try:
        yield
    finally:
        if job.process is not None and job.process.returncode is None:
            job.process.kill()
            await job.process.wait()


def write_job(directory: Path, hub_url: str, **changes: Any) -> Path:
    """Write a job's directory as the site driver stages it."""
    directory.mkdir(exist_ok=True)
    here = Path(launcher.__file__).parent
    for name in ("launcher.py", "route.py", "prepare.py", "jsc_lab.py"):
        shutil.copy(here / name, directory)
    api = f"{hub_url}/hub/api"
    lab = {
        "lab_id": "lab-" + "a" * 26,
        "start_id": "s1",
        "events_url": f"{api}/jsc/starts/s1/events",
        "started_url": f"{api}/jsc/starts/s1/started",
        "env": {
            "JUPYTERHUB_API_URL": api,
            "JUPYTERHUB_ACTIVITY_URL": f"{api}/users/alice/activity",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice-bench",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=alice/bench"]',
            "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=alice/bench"]',
            "JUPYTERHUB_SERVER_NAME": "bench",
            "JUPYTERHUB_SERVICE_PREFIX": BASE,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:0{BASE}",
            "JUPYTERHUB_USER": "alice",
        },
        "environment": {},
        "runtime_s": None,
        "python": sys.executable,
        "kernels": "",
        "steps": [],
    }
    (directory / "lab.json").write_text(json.dumps(lab | changes), "utf-8")
    secrets = directory / "secrets.json"
    secrets.touch(0o600)
    secrets.write_text(json.dumps({"JUPYTERHUB_API_TOKEN": TOKEN, "JPY_API_TOKEN": TOKEN}), "utf-8")
    return directory


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
