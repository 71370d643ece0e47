# SPDX-License-Identifier: BSD-3-Clause
"""The client of the identity provider: what is no answer ends at once, and nothing else is followed or read."""

import asyncio
import contextlib
import socket
import struct

import aiohttp
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest

from jupyter_jsc.hub.provider import ProviderClient


@contextlib.asynccontextmanager
async def provider(answer):
    """A server that reads the head of a request and then calls *answer* with the writer; the address is given."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"


def reset(writer):
    """Reset the connection instead of closing it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(head, body=b""):
    return lambda writer: writer.write(head.encode() + b"\r\n\r\n" + body)


async def fetch(url, **options):
    return await ProviderClient().fetch(HTTPRequest(url, method="POST", body="a=b"), **options)


async def test_an_answer_comes_with_status_headers_and_body():
    """As tornado's client would give it, for oauthenticator."""
    async with provider(says("HTTP/1.1 200 Fine\r\nX-Y: z\r\nContent-Length: 2", b"{}")) as url:
        answer = await fetch(url)
        assert (200, "Fine", "z", b"{}") == (answer.code, answer.reason, answer.headers["X-Y"], answer.body)


@pytest.mark.parametrize("answer", [reset, lambda writer: None, says("nonsense")], ids=["reset", "closed", "nonsense"])
async def test_what_is_no_answer_ends_at_once(answer):
    """No waiting for a time limit: the user is told, or the next try begins."""
    async with provider(answer) as url:
        with pytest.raises(aiohttp.ClientError):
            await fetch(url)


async def test_an_error_is_raised_or_returned():
    """Who judges the answer itself asks for it."""
    async with provider(says("HTTP/1.1 400 Bad\r\nContent-Length: 2", b"{}")) as url:
        with pytest.raises(HTTPClientError, match="400"):
            await fetch(url)
        assert 400 == (await fetch(url, raise_error=False)).code


async def test_a_redirect_is_not_followed():
    """Tokens go to the provider's own address and nowhere else."""
    async with provider(says("HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0")) as url:
        assert 302 == (await fetch(url, raise_error=False)).code


@pytest.mark.parametrize("length", ["Content-Length: 2000000\r\n", ""], ids=["told", "not told"])
async def test_an_endless_answer_is_refused(length):
    """No provider fills the hub's memory."""
    async with provider(says(f"HTTP/1.1 200 OK\r\n{length}Connection: close", b"x" * 2_000_000)) as url:
        with pytest.raises(HTTPClientError, match="too long"):
            await fetch(url)
