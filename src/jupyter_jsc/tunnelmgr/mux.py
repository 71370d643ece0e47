# SPDX-License-Identifier: BSD-3-Clause
"""OpenSSH's multiplexing protocol (PROTOCOL.mux), spoken to the control socket of a master.

Encoding and decoding are pure functions; :class:`Mux` is one connection with one request in flight. Every request
may be repeated. Called by :mod:`.masters`.
"""

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from jupyter_jsc.errors import Conflict, Unavailable

HELLO, ALIVE_CHECK, TERMINATE = 0x00000001, 0x10000004, 0x10000005
OPEN_FORWARD, CLOSE_FORWARD = 0x10000006, 0x10000007
OK, DENIED, FAILURE, ALIVE = 0x80000001, 0x80000002, 0x80000003, 0x80000005
VERSION = 4
LOCAL, REMOTE = 1, 2
LARGEST_PACKET = 64 * 1024
REQUEST_S = 5.0
"""Time limit of one request, seconds."""


@dataclass(frozen=True)
class Forward:
    """Listen here, connect there; a remote one listens there and connects here."""

    listen_host: str
    listen_port: int
    host: str
    port: int
    kind: int = LOCAL


@dataclass(frozen=True)
class Reply:
    """What a master answered: type, request id, and the rest of the packet."""

    kind: int
    request_id: int
    rest: bytes

    @property
    def reason(self) -> str:
        """The reason of a refusal, cut at 200 characters; empty if there is none that can be read."""
        try:
            return take_string(self.rest)[0].decode("utf-8", "replace")[:200]
        except ValueError:
            return ""

    @property
    def number(self) -> int:
        """The number that follows the request id, e.g. the master's process id."""
        if len(self.rest) < 4:
            raise ValueError("the packet ends before its number")
        return int(struct.unpack_from(">I", self.rest)[0])


def string(text: str) -> bytes:
    """Return *text* as the protocol's ``string``."""
    data = text.encode()
    return struct.pack(">I", len(data)) + data


def take_string(data: bytes) -> tuple[bytes, bytes]:
    """Return the first ``string`` of *data* and what follows it; :class:`ValueError` if it is cut."""
    if len(data) < 4:
        raise ValueError("the packet ends before a string")
    (length,) = struct.unpack_from(">I", data)
    if len(data) < 4 + length:
        raise ValueError("the packet ends inside a string")
    return data[4 : 4 + length], data[4 + length :]


def packet(kind: int, *numbers: int, tail: bytes = b"") -> bytes:
    """Return a whole packet: length, type, numbers, tail."""
    body = struct.pack(f">{1 + len(numbers)}I", kind, *numbers) + tail
    return struct.pack(">I", len(body)) + body


def forward_packet(kind: int, request_id: int, forward: Forward) -> bytes:
    """Return the packet that opens or closes a forward."""
    listen = string(forward.listen_host) + struct.pack(">I", forward.listen_port)
    connect = string(forward.host) + struct.pack(">I", forward.port)
    return packet(kind, request_id, forward.kind, tail=listen + connect)


def parse(body: bytes) -> Reply:
    """Return the reply in a packet's *body* (without its length); :class:`ValueError` if it is none."""
    if len(body) < 8:
        raise ValueError("the packet is too short for a reply")
    kind, request_id = struct.unpack_from(">II", body)
    return Reply(kind, request_id, body[8:])


class Mux:
    """A connection to one master. Made by :func:`connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._turn = asyncio.Lock()

    async def hello(self) -> None:
        """Exchange versions; must be first."""
        async with _limited():
            self._writer.write(packet(HELLO, VERSION))
            await self._writer.drain()
            hello = parse(await self._read())
        if (hello.kind, hello.request_id) != (HELLO, VERSION):
            raise Unavailable("The SSH master does not speak version 4 of its protocol.")

    async def alive(self) -> int:
        """Return the process id of the master."""
        request_id = next(self._ids)
        reply = await self._ask(request_id, packet(ALIVE_CHECK, request_id))
        if reply.kind != ALIVE:
            raise Unavailable("The SSH master does not answer the alive check.")
        try:
            return reply.number
        except ValueError as error:
            raise Unavailable("The SSH master's answer to the alive check is cut.") from error

    async def open_forward(self, forward: Forward) -> None:
        """Make the master listen for *forward*; the same one again changes nothing.

        Raises :class:`Conflict` if the listener's port is taken, by another forward or another program; for a remote
        forward also if the SSH server does not permit it: it does not say which.
        """
        request_id = next(self._ids)
        reply = await self._ask(request_id, forward_packet(OPEN_FORWARD, request_id, forward))
        if reply.kind != OK:
            raise Conflict("The port is taken or not permitted.", port=forward.listen_port, reason=reply.reason)

    async def close_forward(self, forward: Forward) -> None:
        """Make the master listen no more; one that is not there is closed already."""
        request_id = next(self._ids)
        reply = await self._ask(request_id, forward_packet(CLOSE_FORWARD, request_id, forward))
        if reply.kind not in {OK, FAILURE}:
            raise Unavailable("The SSH master refuses to close a forward.", reason=reply.reason)

    async def terminate(self) -> bool:
        """Ask the master to end, with all its connections; return whether it did."""
        try:
            async with self._turn, _limited():
                self._writer.write(packet(TERMINATE, next(self._ids)))
                await self._writer.drain()
                while await self._reader.read(LARGEST_PACKET):
                    pass
        except Unavailable as error:
            return error.detail.get("cause") != "TimeoutError"
        return True

    def close(self) -> None:
        """Close the connection; the master goes on."""
        self._writer.close()

    async def _ask(self, request_id: int, data: bytes) -> Reply:
        async with self._turn, _limited():
            self._writer.write(data)
            await self._writer.drain()
            reply = parse(await self._read())
        if reply.request_id != request_id:
            self.close()
            raise Unavailable("The SSH master answered another request.")
        return reply

    async def _read(self) -> bytes:
        (length,) = struct.unpack(">I", await self._reader.readexactly(4))
        if not 4 <= length <= LARGEST_PACKET:
            raise ValueError("the packet has an impossible length")
        return await self._reader.readexactly(length)


@contextlib.asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    """Turn everything that a control socket can do wrong into :class:`Unavailable`."""
    try:
        async with asyncio.timeout(REQUEST_S):
            yield
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        raise Unavailable("The SSH master does not answer.", cause=type(error).__name__) from error


async def connect(path: Path) -> Mux:
    """Return a connection to the master behind the control socket *path*, or raise :class:`Unavailable`."""
    async with _limited():
        reader, writer = await asyncio.open_unix_connection(path)
    mux = Mux(reader, writer)
    try:
        await mux.hello()
    except Unavailable:
        mux.close()
        raise
    return mux
