# SPDX-License-Identifier: BSD-3-Clause
"""Ways back to the hub through real sshds: from a port of the jump host to the hub's address, and nowhere else.

Aspects: without any tunnel; the death of a master, of sshd, of TunnelMgr; commits that add, change and remove ways and
jump hosts; operators' switches; refusals of sshd; settings without a hub; masters that answer garbage.
"""

import asyncio
import contextlib
import copy
import getpass
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from bench.processes import SSHD, free_port, process, until_open
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import TunnelMgrSettings
from jupyter_jsc.config.systems import HubForward
from jupyter_jsc.errors import JSCError
from jupyter_jsc.tunnelmgr import masters, mux, ways_back
from jupyter_jsc.tunnelmgr.app import create_app
from jupyter_jsc.tunnelmgr.endpoints import Endpoints
from jupyter_jsc.tunnelmgr.tunnels import Tunnels
from jupyter_jsc.tunnelmgr.ways_back import NO_HUB, NOT_CONNECTED, OPEN, WaysBack
from jupyter_jsc.wire import JumpHostState
from tests.config import small
from tests.config.published import Published
from tests.tunnelmgr.conftest import Keys, echoed, lab, running, wanted

NAME = "jwlogin01"
needs_sshd = pytest.mark.skipif(not SSHD.exists(), reason="needs sshd (Debian's package openssh-server)")


class Sshd:
    """A real sshd on loopback with the account's forced command; a test stops it and starts it again."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._folder = folder
        folder.mkdir()
        self.port = free_port()
        (folder / "host_key").touch(mode=0o600)
        (folder / "host_key").write_bytes(keys.private[NAME])
        (folder / "authorized").write_text(f'restrict,port-forwarding,command="cat" {keys.public["client"]}\n')
        self._up: contextlib.AsyncExitStack | None = None

    async def start(self, **changes: object) -> None:
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": self.port,
            "HostKey": self._folder / "host_key",
            "AuthorizedKeysFile": self._folder / "authorized",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "GatewayPorts": "clientspecified",
        } | changes
        config = self._folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), "utf-8")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [str(SSHD), "-D", "-e", "-f", str(config)]
        self._up = contextlib.AsyncExitStack()
        log = self._folder / "log"
        child = await self._up.enter_async_context(process(command, log, {}))
        await until_open(self.port, child, log)

    async def stop(self) -> None:
        """End it; connections that it has taken live on in processes of their own."""
        if self._up is not None:
            await self._up.aclose()
            self._up = None


@pytest.fixture
async def sshd(tmp_path: Path, keys: Keys) -> AsyncIterator[Sshd]:
    made = Sshd(tmp_path / "sshd", keys)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def hub() -> AsyncIterator[int]:
    """What stands for the hub: it says so to whoever connects; its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            if await reader.read(100):
                writer.write(b"this is the hub")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def settings(settings: TunnelMgrSettings, hub: int) -> TunnelMgrSettings:
    return settings.model_copy(update={"hub_address": f"127.0.0.1:{hub}"})


@pytest.fixture
def way() -> int:
    """The port of the way back."""
    return free_port()


@pytest.fixture
def tree(sshd: Sshd, keys: Keys, way: int) -> small.Tree:
    """One system with one jump host that keeps a way back."""
    jump_host = {
        "host": "127.0.0.1",
        "port": sshd.port,
        "user": getpass.getuser(),
        "host_key": keys.public[NAME],
        "hub_forward": {"listen_host": "127.0.0.1", "listen_port": way},
    }
    system = small.system(jump_hosts={NAME: jump_host}, lab_hosts=["127.31.1.0/24"], hub_urls=["http://jwlogin01:8081"])
    return small.tree(systems={"juwels": system})


class Operator:
    """Publishes changed versions."""

    def __init__(self, published: Published, tree: small.Tree) -> None:
        self._published, self.tree = published, tree
        self._versions = itertools.count(2)

    def change(self, edit: Callable[[small.Tree], object]) -> None:
        self.tree = copy.deepcopy(self.tree)
        edit(self.tree)
        self._published.publish(f"v{next(self._versions)}", self.tree)

    @property
    def hosts(self) -> small.Tree:
        hosts: small.Tree = self.tree["systems"]["juwels"]["jump_hosts"]
        return hosts


@pytest.fixture
def operator(published: Published, tree: small.Tree, made: Current) -> Operator:
    assert made.version == "v1"
    return Operator(published, tree)


def info(tunnels: Tunnels, name: str = NAME) -> str | None:
    return {info.name: info.hub_forward for info in tunnels.jump_hosts()}.get(name)


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.02)


async def leads(port: int, *, to_hub: bool = True) -> None:
    """Return once a connection to that port of the jump host reaches the hub, or nobody."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await echoed(port)
            except OSError:
                answer = b""
            if answer == (b"this " if to_hub else b""):
                return
            await asyncio.sleep(0.05)


async def pid(settings: TunnelMgrSettings, name: str = NAME) -> int:
    connection = await mux.connect(masters.socket_path(settings.runtime_dir, name))
    try:
        return await connection.alive()
    finally:
        connection.close()


@needs_sshd
async def test_the_way_is_there_before_any_tunnel(tunnels: Tunnels, way: int) -> None:
    """A lab must reach the hub to ask for its first tunnel; what it reaches is the hub."""
    await leads(way)
    await until(lambda: info(tunnels) == OPEN)
    assert tunnels.all() == []
    assert tunnels.ways_back.troubles() == {}


@needs_sshd
async def test_a_killed_master_comes_back_with_its_way(tunnels: Tunnels, settings: TunnelMgrSettings, way: int) -> None:
    """Without any tunnel that would call for it."""
    await leads(way)
    killed = await pid(settings)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: info(tunnels) != OPEN)
    await leads(way)
    await until(lambda: info(tunnels) == OPEN)
    assert await pid(settings) != killed


@needs_sshd
async def test_sshd_that_comes_back_gets_the_way_again(
    tunnels: Tunnels, settings: TunnelMgrSettings, sshd: Sshd, way: int
) -> None:
    """While it is away the state says so; nobody has to do anything."""
    await leads(way)
    await sshd.stop()
    os.kill(await pid(settings), signal.SIGKILL)
    await until(lambda: (info(tunnels) or "").startswith(f"{NOT_CONNECTED}: The jump host {NAME} cannot be reached"))
    assert NAME in tunnels.ways_back.troubles()
    await sshd.start()
    await leads(way)
    await until(lambda: info(tunnels) == OPEN)


@needs_sshd
async def test_a_restart_of_tunnelmgr_is_not_seen(made: Current, settings: TunnelMgrSettings, way: int) -> None:
    """An open connection of a lab to the hub goes on, on the same master, which is adopted."""
    try:
        async with running(made, settings) as tunnels:
            await leads(way)
            before = await pid(settings)
            reader, writer = await asyncio.open_connection("127.0.0.1", way)
        await leads(way)
        async with running(made, settings) as tunnels:
            await until(lambda: info(tunnels) == OPEN)
            assert await pid(settings) == before
            writer.write(b"hello")
            async with asyncio.timeout(10):
                assert await reader.read(100) == b"this is the hub"
            writer.close()
    finally:
        await masters.terminate_all(settings.runtime_dir)


@needs_sshd
async def test_a_commit_moves_the_way(tunnels: Tunnels, operator: Operator, way: int) -> None:
    """Another port: the old one is closed, the new one open, on the connection that there is."""
    await leads(way)
    moved = free_port()
    operator.change(lambda _tree: operator.hosts[NAME]["hub_forward"].update(listen_port=moved))
    await leads(moved)
    await leads(way, to_hub=False)
    await until(lambda: info(tunnels) == OPEN)


@needs_sshd
async def test_a_commit_takes_the_way_and_gives_it_back(
    tunnels: Tunnels, operator: Operator, settings: TunnelMgrSettings, way: int
) -> None:
    """Tunnels and the connection are not touched by either."""
    await leads(way)
    before = await pid(settings)
    removed: list[object] = []
    operator.change(lambda _tree: removed.append(operator.hosts[NAME].pop("hub_forward")))
    await leads(way, to_hub=False)
    await until(lambda: info(tunnels) is None)
    operator.change(lambda _tree: operator.hosts[NAME].update(hub_forward=removed[0]))
    await leads(way)
    assert await pid(settings) == before


@needs_sshd
async def test_what_changed_while_tunnelmgr_was_away(
    published: Published, tree: small.Tree, made: Current, settings: TunnelMgrSettings, way: int
) -> None:
    """An adopted master keeps no way that is not wanted any more, whichever port or hub it was for."""
    moved = free_port()
    later = copy.deepcopy(tree)
    later["systems"]["juwels"]["jump_hosts"][NAME]["hub_forward"]["listen_port"] = moved
    nowhere = settings.model_copy(update={"hub_address": f"127.0.0.1:{free_port()}"})
    try:
        async with running(made, nowhere) as tunnels:
            await until(lambda: info(tunnels) == OPEN)
        async with running(made, settings) as tunnels:
            await leads(way)
            before = await pid(settings)
        published.publish("v2", later)
        async with running(Current(published.link), settings):
            await leads(moved)
            await leads(way, to_hub=False)
            assert await pid(settings) == before
    finally:
        await masters.terminate_all(settings.runtime_dir)


@needs_sshd
@pytest.mark.parametrize("system", ["with another jump host", "removed"])
async def test_a_jump_host_that_was_removed_while_tunnelmgr_was_away(
    published: Published, tree: small.Tree, made: Current, settings: TunnelMgrSettings, way: int, system: str
) -> None:
    """Nobody else would end its master, which still led to the hub."""
    later = copy.deepcopy(tree)
    hosts = later["systems"]["juwels"]["jump_hosts"]
    hosts["other"] = hosts.pop(NAME) | {"hub_forward": None}
    if system == "removed":
        later["systems"] = {}
    try:
        async with running(made, settings) as tunnels:
            await until(lambda: info(tunnels) == OPEN)
        published.publish("v2", later)
        async with running(Current(published.link), settings) as tunnels:
            await leads(way, to_hub=False)
            await until(lambda: not tunnels.endpoints.ways_back())
    finally:
        await masters.terminate_all(settings.runtime_dir)


@needs_sshd
async def test_a_removed_jump_host_keeps_its_way_for_its_labs(
    tunnels: Tunnels, operator: Operator, settings: TunnelMgrSettings, answering: int, way: int
) -> None:
    """Its labs still report to the hub; way and connection end with the last tunnel."""
    tunnel = await tunnels.open(lab(), wanted(answering, "127.31.1.1"))
    await leads(way)
    operator.change(lambda _tree: operator.hosts.update(other=operator.hosts.pop(NAME) | {"hub_forward": None}))
    await until(lambda: "other" in {info.name for info in tunnels.jump_hosts()})
    assert info(tunnels) == OPEN
    os.kill(await pid(settings), signal.SIGKILL)
    await until(lambda: info(tunnels) != OPEN)
    await leads(way)
    await tunnels.close(lab(), tunnel.start_id)
    await leads(way, to_hub=False)


@needs_sshd
async def test_draining_keeps_the_way_and_closed_has_none(tunnels: Tunnels, way: int) -> None:
    """Labs behind a draining jump host go on; a closed one has no connection, until it is opened again."""
    await leads(way)
    await tunnels.set_state(NAME, JumpHostState.DRAINING)
    assert info(tunnels) == OPEN
    await tunnels.set_state(NAME, JumpHostState.CLOSED)
    await leads(way, to_hub=False)
    await until(lambda: not tunnels.endpoints.ways_back())
    assert [(info.connected, info.hub_forward) for info in tunnels.jump_hosts()] == [(False, None)]
    await tunnels.set_state(NAME, JumpHostState.OPEN)
    await leads(way)


@needs_sshd
@pytest.mark.parametrize(
    "refusal", [{"PermitListen": "127.0.0.1:1"}, {"AllowTcpForwarding": "local"}], ids=["PermitListen", "local only"]
)
async def test_sshd_that_refuses_the_way(
    tunnels: Tunnels,
    sshd: Sshd,
    settings: TunnelMgrSettings,
    answering: int,
    way: int,
    refusal: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The state says so; tunnels work as ever; once sshd permits it, it is there without anybody's doing."""
    monkeypatch.setattr(ways_back, "_LONGEST_WAIT_S", 1.0)
    await leads(way)
    await sshd.stop()
    os.kill(await pid(settings), signal.SIGKILL)
    await sshd.start(**refusal)
    await until(lambda: (info(tunnels) or "").startswith("refused: remote port forwarding failed"))
    tunnel = await tunnels.open(lab(), wanted(answering, "127.31.1.1"))
    assert await echoed(tunnel.endpoint_port) == b"hello"
    assert list(tunnels.ways_back.troubles()) == [NAME]
    await sshd.stop()
    await sshd.start()
    os.kill(await pid(settings), signal.SIGKILL)
    await until(lambda: info(tunnels) == OPEN)


@needs_sshd
async def test_exactly_the_permitted_listener(
    tunnels: Tunnels, sshd: Sshd, settings: TunnelMgrSettings, way: int
) -> None:
    """What the documentation has operators permit is enough."""
    await sshd.stop()
    with contextlib.suppress(JSCError):
        os.kill(await pid(settings), signal.SIGKILL)
    await sshd.start(PermitListen=f"127.0.0.1:{way}", PermitOpen="127.31.1.1:8443")
    await leads(way)
    await until(lambda: info(tunnels) == OPEN)


@needs_sshd
async def test_a_port_that_somebody_else_holds(
    tunnels: Tunnels, operator: Operator, monkeypatch: pytest.MonkeyPatch, way: int
) -> None:
    """It is said, and tried again until it is free."""
    monkeypatch.setattr(ways_back, "_LONGEST_WAIT_S", 0.5)
    await leads(way)
    stranger = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    taken = stranger.sockets[0].getsockname()[1]
    async with stranger:
        operator.change(lambda _tree: operator.hosts[NAME]["hub_forward"].update(listen_port=taken))
        await until(lambda: (info(tunnels) or "").startswith("refused"))
    await leads(taken)


async def test_settings_without_a_hub(made: Current, settings: TunnelMgrSettings) -> None:
    """Nothing is opened and nothing breaks: health names the jump host, and TunnelMgr is ready for the others."""
    app = create_app(made, settings.model_copy(update={"hub_address": ""}))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        async with asyncio.timeout(60):
            while (ready := (await http.get("/health/ready")).json())["details"]["ways_back_not_open"] == {}:
                await asyncio.sleep(0.02)
    assert ready["details"]["ways_back_not_open"] == {NAME: NO_HUB}
    assert (ready["ready"], ready["dependencies"]) == (True, {"jump_hosts": "ok"})


@pytest.fixture
async def garbled(tmp_path: Path) -> AsyncIterator[Callable[[bytes], WaysBack]]:
    """Ways back over a master that answers each request with what a test says; first it says hello."""
    answers: list[bytes] = [b""]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(mux.packet(mux.HELLO, mux.VERSION))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(12)
            await reader.read(1000)
            writer.write(answers[0])
            await writer.drain()
        writer.close()

    async def reach(_name: str) -> mux.Mux:
        return await mux.connect(tmp_path / "s")

    endpoints = Endpoints(tmp_path / "records", 2000, 2001)

    def ways(answer: bytes) -> WaysBack:
        answers[0] = answer
        return WaysBack(endpoints, "127.0.0.1:8081", reach, reach)

    server = await asyncio.start_unix_server(serve, tmp_path / "s")
    async with server:
        yield ways
    endpoints.close()


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"", NOT_CONNECTED),
        (b"HTTP/1.1 200 OK\r\n\r\n", NOT_CONNECTED),
        (mux.packet(mux.OK, 99), NOT_CONNECTED),
        (mux.packet(mux.DENIED, 1, tail=mux.string("no\nway")), "refused"),
        (mux.packet(mux.FAILURE, 1, tail=b"\0\0\xff\xff"), "refused"),
        (mux.packet(mux.OK, 1), OPEN),
    ],
)
async def test_whatever_a_master_answers(
    garbled: Callable[[bytes], WaysBack], answer: bytes, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state says what it was, and trying goes on."""
    monkeypatch.setattr(ways_back, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(ways_back, "_LONGEST_WAIT_S", 0.01)
    ways = garbled(answer)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(kept(ways))
        await until(lambda: (ways.state(NAME) or "").startswith(state) and ways.state(NAME) != "not connected")
        keeping.cancel()


async def kept(ways: WaysBack) -> None:
    async with asyncio.TaskGroup() as tasks:
        ways.run(tasks, {NAME: HubForward()})
        await asyncio.Event().wait()
