# SPDX-License-Identifier: BSD-3-Clause
"""OpenSSH's mux protocol: encoding, a real master in front of a real sshd, and masters that answer garbage."""

import asyncio
import contextlib
import getpass
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.processes import SSHD, ssh_server
from jupyter_jsc.config.systems import JumpHost
from jupyter_jsc.errors import Conflict, Unavailable
from jupyter_jsc.tunnelmgr import mux
from jupyter_jsc.tunnelmgr.masters import Client, Master, terminate_all
from jupyter_jsc.tunnelmgr.mux import Forward, Mux
from tests.tunnelmgr.conftest import echoed

FORWARD = Forward("127.0.0.1", 20001, "jwc01", 8888)


def test_a_forward_is_encoded_as_openssh_documents_it() -> None:
    """PROTOCOL.mux: length, type, request id, kind, then listen and connect, big endian."""
    expected = (
        b"\x00\x00\x00\x2a"
        b"\x10\x00\x00\x06"
        b"\x00\x00\x00\x07"
        b"\x00\x00\x00\x01"
        b"\x00\x00\x00\x09127.0.0.1"
        b"\x00\x00\x4e\x21"
        b"\x00\x00\x00\x05jwc01"
        b"\x00\x00\x22\xb8"
    )
    assert mux.forward_packet(mux.OPEN_FORWARD, 7, FORWARD) == expected


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    """A decoder meets any input with a value or a ValueError, never anything else."""
    for decode in (mux.parse, mux.take_string):
        with contextlib.suppress(ValueError):
            decode(data)
    with contextlib.suppress(ValueError):
        assert len(mux.parse(data).reason) <= 200


@given(st.text())
def test_a_string_comes_back(text: str) -> None:
    """What is encoded is decoded, and the rest is left."""
    assert mux.take_string(mux.string(text) + b"rest") == (text.encode(), b"rest")


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Mux]:
    """A master in front of a real sshd whose account has the forced command ``cat``."""
    if not SSHD.exists():
        pytest.skip("needs sshd (Debian's package openssh-server)")
    async with ssh_server(tmp_path) as port:
        host_key = (tmp_path / "host_key.pub").read_text().strip()
        jump_host = JumpHost(host="127.0.0.1", port=port, user=getpass.getuser(), host_key=host_key)
        master = Master("real", jump_host, Client("ssh", tmp_path / "key", tmp_path))
        yield await master.ensure()
        await master.release()
        await terminate_all(tmp_path)


@pytest.fixture
async def peer() -> AsyncIterator[int]:
    """A server behind the sshd that echoes; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_real_master_opens_and_closes(connection: Mux, peer: int) -> None:
    """Alive, open, the same again, bytes pass, close, close again."""
    assert await connection.alive() > 1
    forward = Forward("127.0.0.1", free_port(), "127.0.0.1", peer)
    for _ in range(2):
        await connection.open_forward(forward)
    assert await echoed(forward.listen_port) == b"hello"
    for _ in range(2):
        await connection.close_forward(forward)
    with pytest.raises(OSError):
        await echoed(forward.listen_port)


async def test_a_real_master_says_that_a_port_is_taken(connection: Mux, peer: int) -> None:
    """By another target of ours, or by a stranger; the connection goes on."""
    forward = Forward("127.0.0.1", free_port(), "127.0.0.1", peer)
    await connection.open_forward(forward)
    for port in (forward.listen_port, peer):
        with pytest.raises(Conflict):
            await connection.open_forward(Forward("127.0.0.1", port, "127.0.0.1", 9))
    assert await connection.alive() > 1


async def test_a_real_master_ends_when_asked(connection: Mux) -> None:
    """Terminate is seen to have happened."""
    assert await connection.terminate()
    with pytest.raises(Unavailable):
        await connection.alive()


HELLO = mux.packet(mux.HELLO, mux.VERSION)
GARBAGE = {
    "nothing": b"",
    "http": b"HTTP/1.1 200 OK\r\n\r\n",
    "huge length": b"\xff\xff\xff\xff" + b"x" * 100,
    "zero length": b"\x00\x00\x00\x00" * 4,
    "cut": HELLO[:6],
    "another version": mux.packet(mux.HELLO, 3),
    "hello, then nothing": HELLO,
    "hello, then another id": HELLO + mux.packet(mux.ALIVE, 99, 7),
    "hello, then a short answer": HELLO + mux.packet(mux.ALIVE, 1),
    "hello, then an unknown type": HELLO + mux.packet(0x80000042, 1),
    "hello, then a refusal": HELLO + mux.packet(mux.FAILURE, 1, tail=b"\x00\x00\xff\xffcut"),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_unavailable(tmp_path: Path, answer: bytes) -> None:
    """Whatever a socket answers, the caller gets one of our errors, in time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            await reader.read(1)
        writer.close()

    await refused(tmp_path, serve)


async def test_silence_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that accepts and says nothing has a limit."""
    monkeypatch.setattr(mux, "REQUEST_S", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    await refused(tmp_path, serve)


async def test_no_socket_is_unavailable(tmp_path: Path) -> None:
    """A control socket that is not there, or that nobody listens on."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Unavailable):
            await mux.connect(path)


async def refused(folder: Path, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
    server = await asyncio.start_unix_server(serve, folder / "s")
    async with server:
        with pytest.raises((Unavailable, Conflict)):
            connection = await mux.connect(folder / "s")
            try:
                await connection.alive()
            finally:
                connection.close()


def test_numbers_are_read_from_their_place() -> None:
    """The process id follows the request id."""
    assert mux.parse(struct.pack(">III", mux.ALIVE, 1, 4711)).number == 4711
