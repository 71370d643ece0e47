# SPDX-License-Identifier: BSD-3-Clause
"""The demo's login node keeps a centre's rules: one user, one key, forwards to the system's nodes only."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncssh
import pytest

from jupyter_jsc.demo.login import USER, LoginNode, generate_key, nodes

HOST = "127.33.0.1"
NODE = "127.33.1.1"


@dataclass(frozen=True)
class Reach:
    """A login node, the line its host key must match, and the one key that may enter."""

    node: LoginNode
    key: bytes
    host_key: str

    def connect(self, *, username: str = USER, key: bytes | None = None, **options: object) -> object:
        """Return asyncssh's connection to the node, for ``async with``."""
        known = asyncssh.import_known_hosts(f"[{HOST}]:{self.node.port} {self.host_key}")
        keys = [asyncssh.import_private_key(key or self.key)]
        usual = {"username": username, "client_keys": keys, "known_hosts": known, "agent_path": None, "config": None}
        return asyncssh.connect(HOST, self.node.port, **(usual | options))


@pytest.fixture
async def reach() -> AsyncIterator[Reach]:
    """A login node of a system with one compute node."""
    (host_key, host_line), (key, line) = generate_key(), generate_key()
    async with LoginNode(HOST, 0, host_key=host_key, authorized_key=line, resolve=nodes({"c01": NODE})) as node:
        yield Reach(node, key, host_line)


@contextlib.asynccontextmanager
async def greeter(address: str) -> AsyncIterator[int]:
    """A server on *address* that says ``hello``; its port."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, address, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("wrong", ["user", "key", "password"])
async def test_only_the_one_user_with_the_one_key_enters(reach: Reach, wrong: str) -> None:
    """Another user, another key and any password are refused, and count as no connection."""
    options = {
        "user": {"username": "root"},
        "key": {"key": generate_key()[0]},
        "password": {"client_keys": None, "password": "guess", "preferred_auth": "password"},
    }[wrong]
    with pytest.raises(asyncssh.PermissionDenied):
        async with reach.connect(**options):
            pass
    assert reach.node.connections == 0


async def test_a_forward_leads_to_a_node_of_the_system(reach: Reach) -> None:
    """The name is the cluster's, the address the demo's."""
    async with greeter(NODE) as port, reach.connect() as connection:
        reader, writer = await connection.open_connection("c01", port)
        assert await reader.read() == b"hello"
        writer.close()
    assert reach.node.connections == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", NODE, "c02", ""])
async def test_a_forward_to_a_foreign_host_is_refused(reach: Reach, host: str) -> None:
    """Not even an address of the system: names of nodes only."""
    async with greeter("127.0.0.1") as port, reach.connect() as connection:
        with pytest.raises(asyncssh.ChannelOpenError) as refusal:
            await connection.open_connection(host, port)
    assert refusal.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED


@pytest.mark.parametrize("port", [22, 1023])
async def test_a_forward_to_a_port_of_the_system_is_refused(reach: Reach, port: int) -> None:
    """Ports below 1024 belong to the node, not to a user."""
    async with reach.connect() as connection:
        with pytest.raises(asyncssh.ChannelOpenError) as refusal:
            await connection.open_connection("c01", port)
    assert refusal.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED


async def test_whatever_command_is_asked_for_the_session_is_an_echo(reach: Reach) -> None:
    """The forced command of the account's key: TunnelMgr's heartbeat, and no shell."""
    async with reach.connect() as connection:
        answer = await connection.run("id; cat /etc/passwd", input="beat")
    assert (answer.stdout, answer.exit_status) == ("beat", 0)


async def test_nothing_listens_on_the_login_node_for_a_client(reach: Reach) -> None:
    """Remote forwards, which would give a lab a way in, are refused where there is no way back."""
    async with reach.connect() as connection:
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("", 0, "127.0.0.1", 9)


async def test_a_way_back_leads_to_the_client_from_the_one_place() -> None:
    """A remote forward at the permitted place works; one at another address or port is refused, the connection stays."""
    (host_key, host_line), (key, line) = generate_key(), generate_key()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    listen = (HOST, port)
    async with (
        LoginNode(HOST, 0, host_key=host_key, authorized_key=line, resolve=nodes({}), listen=listen) as node,
        greeter("127.0.0.1") as hub,
        Reach(node, key, host_line).connect() as connection,
    ):
        for host, other in [(HOST, port + 1), ("0.0.0.0", port), ("", port)]:
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port(host, other, "127.0.0.1", hub)
        await connection.forward_remote_port(*listen, "127.0.0.1", hub)
        reader, writer = await asyncio.open_connection(*listen)
        assert await reader.read() == b"hello"
        writer.close()


async def test_a_node_that_goes_down_cuts_its_connections() -> None:
    """As a reboot would: the client sees the end at once."""
    (host_key, host_line), (key, line) = generate_key(), generate_key()
    async with contextlib.AsyncExitStack() as stack:
        async with LoginNode(HOST, 0, host_key=host_key, authorized_key=line, resolve=nodes({})) as node:
            connection = await stack.enter_async_context(Reach(node, key, host_line).connect())
        async with asyncio.timeout(10):
            await connection.wait_closed()
