# SPDX-License-Identifier: BSD-3-Clause
"""Labs in a cluster by the driver alone, against the demo's API in a process of its own, whose pods run in name only.

How long 200 starts at once take, what a lab's whole life and a thousand idle labs cost the API, and a question about these.
"""

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiohttp
import uvicorn
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.table import Row, median, percentile, row
from jupyter_jsc import names, wire
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import System
from jupyter_jsc.demo.kubernetes import ClusterSettings, Namespace, Node, User, create_cluster
from jupyter_jsc.sites.kubernetes import KubernetesSite, access

AT_ONCE = 200
IDLE = 1000
_IDLE_S = 60.0
_POLLS = 20
_TOKEN = "bench"
_AMOUNT = {"label": "x", "minimum": 1, "maximum": 9, "default": 1}
_CLOUD = System.model_validate(
    {
        "label": "CLOUD",
        "kind": "kubernetes",
        "manager": "k8smgr",
        "kubernetes": {},
        "jump_hosts": {"ssh": {"host": "127.0.0.1", "host_key": "ssh-ed25519 AAAA"}},
        "lab_hosts": ["svc-*.userlabs.svc"],
        "partitions": {
            "small": {"kind": "interactive", "resources": dict.fromkeys(("cpus", "memory", "home"), _AMOUNT)}
        },
    }
)
_PORTAL = Configuration.model_validate(
    {
        "hub": "bench",
        "identity_providers": {"centre": {"label": "Centre"}},
        "managers": {"k8smgr": {"url": "http://127.0.0.1:2"}},
        "tunnelmgr": {"url": "http://127.0.0.1:3"},
        "systems": {"cloud": _CLOUD},
        "options": {
            "lab": {"label": "Lab", "container": {"images": {"a": {"label": "A", "image": "example.org/lab:1"}}}}
        },
    }
)


async def run() -> list[Row]:
    """Return the rows."""
    with tempfile.TemporaryDirectory(prefix="jsc-bench-") as name:
        async with _cluster(Path(name)) as url, _driver(Path(name), url) as driver:
            await _until_running(driver, [reference(lab) for lab in await _started(driver, ["first"])])
            labs, took_s, each_ms = await _at_once(driver, url)
            references = [reference(lab) for lab in labs]
            await _until_running(driver, references)
            before = await _requests(url)
            await asyncio.gather(*map(driver.stop, references))
            stopping = (await _requests(url) - before) / AT_ONCE
            starting = each_ms.pop()
            many = [reference(lab) for lab in await _started(driver, (f"idle{number}" for number in range(IDLE)))]
            await _until_running(driver, many)
            before = await _requests(url)
            await asyncio.sleep(_IDLE_S)
            idle = (await _requests(url) - before) / _IDLE_S
            polls = [await _poll_ms(driver, many) for _ in range(_POLLS)]
    return [
        row(f"{AT_ONCE} starts at once, all accepted", "ms", took_s * 1000, AT_ONCE),
        row("one of these, p50", "ms", median(each_ms), AT_ONCE),
        row("one of these, p95", "ms", percentile(each_ms, 0.95), AT_ONCE),
        row("API requests of a lab from start to stop", "", starting + stopping, AT_ONCE),
        row(f"API requests a second with {IDLE} idle labs", "1/s", idle, 1),
        row(f"asking about {IDLE} labs, p50", "ms", median(polls), _POLLS),
    ]


async def _at_once(driver: KubernetesSite, url: str) -> tuple[list[wire.StartLab], float, list[float]]:
    """Return labs that were started at once, the seconds for all, the milliseconds of each, and last its requests."""
    labs = [start_lab(f"user{number}") for number in range(AT_ONCE)]
    each_ms: list[float] = []

    async def one(lab: wire.StartLab) -> None:
        began = time.perf_counter()
        await driver.start(lab, None)
        each_ms.append((time.perf_counter() - began) * 1000)

    before, began = await _requests(url), time.perf_counter()
    await asyncio.gather(*map(one, labs))
    took_s = time.perf_counter() - began
    return labs, took_s, [*each_ms, (await _requests(url) - before) / AT_ONCE]


async def _started(driver: KubernetesSite, users: Iterable[str]) -> list[wire.StartLab]:
    labs = [start_lab(user) for user in users]
    await asyncio.gather(*(driver.start(lab, None) for lab in labs))
    return labs


async def _until_running(driver: KubernetesSite, labs: list[wire.LabRef]) -> None:
    while {found.state for found in (await driver.poll(labs)).values()} != {wire.State.RUNNING}:  # noqa: ASYNC110  it looks as a hub does
        await asyncio.sleep(0.2)


async def _poll_ms(driver: KubernetesSite, labs: list[wire.LabRef]) -> float:
    began = time.perf_counter()
    await driver.poll(labs)
    return (time.perf_counter() - began) * 1000


def start_lab(user: str) -> wire.StartLab:
    """Return a small lab of *user*."""
    resources = {"cpus": 1, "memory": 1, "home": 1}
    return wire.StartLab(
        lab_id=names.lab_id("bench", user, "lab"),
        start_id=names.new_start_id(),
        hub="bench",
        user=user,
        options=wire.Options(system="cloud", option="lab", partition="small", resources=resources),
        env={},
        secrets={},
        events_url="http://127.0.0.1:9/events",
        started_url="http://127.0.0.1:9/started",
    )


def reference(lab: wire.StartLab) -> wire.LabRef:
    """Return how a hub names *lab*."""
    return wire.LabRef(lab_id=lab.lab_id, start_id=lab.start_id, system="cloud", hub="bench")


@contextlib.asynccontextmanager
async def _driver(folder: Path, url: str) -> AsyncIterator[KubernetesSite]:
    place = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": {"token": _TOKEN}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(place))
    async with KubernetesSite("cloud", _CLOUD, _PORTAL, await access(folder / "kubeconfig")) as driver:
        yield driver


@contextlib.asynccontextmanager
async def _cluster(folder: Path) -> AsyncIterator[str]:
    """Run the demo's API as a process of its own; its address."""
    arguments = (sys.executable, "-m", "bench.kubernetes", str(folder))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def _requests(url: str) -> int:
    """Return how many requests there were so far, watches included."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/requests") as answer:
        return int((await answer.json())["requests"])


def _serve(folder: Path) -> None:
    nodes = tuple(Node(f"node{number}", {"cpu": "999", "memory": "9Ti", "pods": "999"}) for number in range(3))
    settings = ClusterSettings(folder, {_TOKEN: User("bench")}, (Namespace("userlabs"),), nodes, processes=False)
    cluster = create_cluster(settings)

    async def count(_request: Request) -> JSONResponse:
        return JSONResponse({"requests": sum(cluster.requests.values())})

    cluster.app.router.routes.append(Route("/requests", count))
    config = uvicorn.Config(cluster.app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
