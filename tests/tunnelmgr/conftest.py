# SPDX-License-Identifier: BSD-3-Clause
"""A system with two login nodes (asyncssh) or real sshds, and a peer behind them that answers."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from jupyter_jsc import names, service
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import TunnelMgrSettings
from jupyter_jsc.demo.login import LoginNode, generate_key, nodes
from jupyter_jsc.tunnelmgr import masters
from jupyter_jsc.tunnelmgr.app import create_app
from jupyter_jsc.tunnelmgr.tunnels import Tunnels
from jupyter_jsc.wire import OpenTunnel
from tests.config import small
from tests.config.published import Published

NODES = list(small.LOGIN_NODES)
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")


def configuration(ports: dict[str, int], host_keys: dict[str, str]) -> small.Tree:
    """The small configuration, its jump hosts on these ports of loopback."""
    hosts = {
        name: {"host": address, "port": ports[name], "host_key": host_keys[name]}
        for name, address in small.LOGIN_NODES.items()
    }
    return small.tree(systems={"juwels": small.system(jump_hosts=hosts)})


class Keys:
    """The client's key and one host key a node, as files."""

    def __init__(self, folder: Path) -> None:
        self.private: dict[str, bytes] = {}
        self.public: dict[str, str] = {}
        for name in ("client", *NODES):
            self.private[name], self.public[name] = generate_key()
        self.identity_file = folder / "client"
        self.identity_file.touch(mode=0o600)
        self.identity_file.write_bytes(self.private["client"])


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
async def answering() -> AsyncIterator[int]:
    """A peer on the address of the first compute node that sends back what it gets; yields its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1024):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, small.COMPUTE_NODES["jwc01"], 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def login_nodes(keys: Keys) -> AsyncIterator[dict[str, LoginNode]]:
    """Two login nodes; a test may close one."""
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                LoginNode(
                    address,
                    0,
                    host_key=keys.private[name],
                    authorized_key=keys.public["client"],
                    resolve=nodes(small.COMPUTE_NODES),
                )
            )
            for name, address in small.LOGIN_NODES.items()
        }


@pytest.fixture
def settings(tmp_path: Path, keys: Keys) -> TunnelMgrSettings:
    first = 10000 + os.getpid() % 10000
    callers = tmp_path / "callers.yaml"
    callers.write_text("{}")
    return TunnelMgrSettings(
        port=1,
        configuration=tmp_path,
        callers_file=callers,
        database=tmp_path / "tunnels.sqlite",
        runtime_dir=tmp_path / "run",
        identity_file=keys.identity_file,
        first_port=first,
        last_port=first + 200,
    )


@contextlib.asynccontextmanager
async def running(made: Current, settings: TunnelMgrSettings) -> AsyncIterator[Tunnels]:
    """TunnelMgr's tunnels, kept by their task; masters stay afterwards, as in a restart."""
    tunnels = Tunnels(made, settings)
    tasks = [asyncio.create_task(tunnels.run()), asyncio.create_task(made.watch(tunnels.follow))]
    try:
        yield tunnels
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await tunnels.release()


@pytest.fixture
def tree(login_nodes: dict[str, LoginNode], keys: Keys) -> small.Tree:
    """The configuration; a test changes it and publishes it again."""
    return configuration({name: node.port for name, node in login_nodes.items()}, keys.public)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(tmp_path / "published")


@pytest.fixture
def made(published: Published, tree: small.Tree) -> Current:
    return Current(published.publish("v1", tree))


@pytest.fixture
async def tunnels(made: Current, settings: TunnelMgrSettings) -> AsyncIterator[Tunnels]:
    async with running(made, settings) as tunnels:
        yield tunnels
    await masters.terminate_all(settings.runtime_dir)


@pytest.fixture
async def http(made: Current, settings: TunnelMgrSettings) -> AsyncIterator[httpx.AsyncClient]:
    """TunnelMgr's REST service, called by one that it knows."""
    settings.callers_file.write_text(yaml.safe_dump({"demo": service.token_hash("right")}))
    app = create_app(made, settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://t", headers=service.bearer("right")) as http,
    ):
        yield http
    await masters.terminate_all(settings.runtime_dir)


def lab(server: str = "lab") -> str:
    return names.lab_id("demo", "alice", server)


def wanted(port: int, host: str = "jwc01", start_id: str | None = None) -> OpenTunnel:
    return OpenTunnel(start_id=start_id or names.new_start_id(), system="juwels", host=host, port=port)


async def echoed(port: int, text: bytes = b"hello") -> bytes:
    """What comes back through a local port."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(text)
            return await reader.read(len(text))
        finally:
            writer.close()
