# SPDX-License-Identifier: BSD-3-Clause
"""The clients against a real server that behaves badly: errors by class, retries where they help, limits."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import stamina
from aiohttp import web
from pydantic import SecretStr

from jupyter_jsc import client, errors, names, wire

LAB = wire.LabRef(
    lab_id=names.lab_id("h", "u", "s"),
    start_id=names.new_start_id(),
    system="juwels",
    credential=SecretStr("user-token"),
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """A server whose answers a test lists; the last one repeats. Keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Handler] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), await request.read()))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        return await answer(request)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield peer
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _no_pauses() -> AsyncIterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
async def manager(peer: Peer, tmp_path: Path) -> AsyncIterator[client.ManagerClient]:
    (tmp_path / "token").write_text("hub-token\n")
    async with client.ManagerClient(peer.url, tmp_path / "token", timeout_s=0.5) as manager:
        yield manager


def answer(status: int = 200, text: str = "", kind: str = "application/json") -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=kind)

    return handler


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.close()
    return web.Response()


BAD = {
    "500 with HTML": answer(500, "<h1>no</h1>", "text/html"),
    "503": answer(503),
    "cut JSON": answer(200, '{"states": {'),
    "HTML": answer(200, "<html>", "text/html"),
    "another shape": answer(200, "[1]"),
    "nothing in time": hang,
    "connection cut": cut,
}


@pytest.mark.parametrize("handler", BAD.values(), ids=BAD)
async def test_what_is_no_answer_is_unavailable(peer: Peer, manager: client.ManagerClient, handler: Handler) -> None:
    """A caller cannot mistake trouble for a statement about labs."""
    peer.answers = [handler]
    with pytest.raises(errors.Unavailable):
        await manager.systems()


async def test_unavailable_is_tried_again(peer: Peer, manager: client.ManagerClient) -> None:
    """A passing fault is not seen by the caller."""
    peer.answers = [answer(503), cut, answer(204)]
    await manager.stop(LAB)
    assert len(peer.requests) == 3


async def test_a_refusal_is_not_tried_again(peer: Peer, manager: client.ManagerClient) -> None:
    """What the other side said for good comes out as the same class, at once."""
    refusal = errors.SiteRefused("Choose fewer nodes.", code="range")
    peer.answers = [answer(refusal.status, json.dumps(refusal.problem()), "application/problem+json")]
    with pytest.raises(errors.SiteRefused, match="fewer nodes"):
        await manager.stop(LAB)
    assert len(peer.requests) == 1


async def test_credentials_travel_in_headers_only(peer: Peer, manager: client.ManagerClient) -> None:
    """Neither the service's nor the user's token stands in an address."""
    peer.answers = [answer(204)]
    await manager.stop(LAB)
    [(method, url, headers, body)] = peer.requests
    assert (method, body) == ("DELETE", b"")
    assert "token" not in url
    assert headers["Authorization"] == "Bearer hub-token"
    assert headers[wire.CREDENTIAL_HEADER] == "user-token"


async def test_a_new_token_is_read_without_a_restart(peer: Peer, manager: client.ManagerClient, tmp_path: Path) -> None:
    """Rotation needs no restart on the caller's side."""
    peer.answers = [answer(204)]
    await manager.stop(LAB)
    (tmp_path / "token").write_text("newer")
    await manager.stop(LAB)
    assert peer.requests[-1][2]["Authorization"] == "Bearer newer"
