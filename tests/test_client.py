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
from tests.tls import authority

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
    with stamina.set_testing(True, attempts=3, cap=True):
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


async def body_cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"system": ')
    assert request.transport
    request.transport.close()
    return response


async def elsewhere(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


@pytest.mark.parametrize("handler", [body_cut, elsewhere, answer(404), answer(200, "")])
async def test_what_stands_in_between_says_nothing_about_labs(
    peer: Peer, manager: client.ManagerClient, handler: Handler
) -> None:
    """A proxy's redirect or 404 and a broken transfer are trouble, and no token follows a redirect."""
    peer.answers = [handler]
    with pytest.raises(errors.Unavailable):
        await manager.systems()
    assert {url for _method, url, _headers, _body in peer.requests} == {"/v1/systems"}


async def test_nobody_listens(tmp_path: Path) -> None:
    """A service that is not there is unavailable."""
    (tmp_path / "token").write_text("hub-token")
    async with client.TunnelClient("http://127.0.0.1:1", tmp_path / "token") as tunnels:
        with pytest.raises(errors.Unavailable):
            await tunnels.close(LAB.lab_id, LAB.start_id)


@pytest.mark.parametrize("cls", [errors.Conflict, errors.NotFound, errors.HostKeyChanged, errors.CredentialRefused])
async def test_a_problem_comes_out_as_its_class(
    peer: Peer, manager: client.ManagerClient, cls: type[errors.JSCError]
) -> None:
    """Whatever the other side raised is raised here, with its facts."""
    peer.answers = [answer(cls.status, json.dumps(cls("Sentence.", fact=1).problem()), "application/problem+json")]
    with pytest.raises(cls, match="Sentence") as caught:
        await manager.stop(LAB)
    assert (caught.value.detail, len(peer.requests)) == ({"fact": 1}, 1)


async def test_polls_and_logs_are_asked_once(peer: Peer, manager: client.ManagerClient) -> None:
    """Whoever asks regularly needs no repetition in between."""
    peer.answers = [answer(503)]
    with pytest.raises(errors.Unavailable):
        await manager.poll([LAB])
    with pytest.raises(errors.Unavailable):
        await manager.log(LAB)
    assert len(peer.requests) == 2


async def test_a_start_carries_its_secrets_in_the_body(peer: Peer, manager: client.ManagerClient) -> None:
    """The masked values of a message are written out for the manager, and only there."""
    peer.answers = [answer(200, '{"handle": {"url": "https://site/1"}, "new": 1}')]
    lab = wire.StartLab.model_validate(
        {
            "lab_id": LAB.lab_id,
            "start_id": LAB.start_id,
            "hub": "demo",
            "user": "alice",
            "options": {"system": "juwels", "option": "lab"},
            "env": {},
            "secrets": {"JUPYTERHUB_API_TOKEN": "s3cr3t"},
            "events_url": "http://hub/e",
            "started_url": "http://hub/s",
        }
    )
    started = await manager.start(lab, SecretStr("user-token"))
    [(method, url, headers, body)] = peer.requests
    assert started.handle.url == "https://site/1"
    assert (method, url) == ("PUT", f"/v1/labs/{LAB.lab_id}/starts/{LAB.start_id}")
    assert json.loads(body)["secrets"] == {"JUPYTERHUB_API_TOKEN": "s3cr3t"}
    assert (headers[wire.CREDENTIAL_HEADER], b"user-token" in body) == ("user-token", False)


async def test_no_credential_is_no_header(peer: Peer, manager: client.ManagerClient) -> None:
    """A system without accounts gets none, not an empty one."""
    peer.answers = [answer(204)]
    await manager.stop(LAB.model_copy(update={"credential": None}))
    assert wire.CREDENTIAL_HEADER not in peer.requests[0][2]


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


async def test_the_version_of_a_start_travels_in_the_query(peer: Peer, manager: client.ManagerClient) -> None:
    """A manager finds a system that was removed since."""
    peer.answers = [answer(204)]
    await manager.stop(LAB.model_copy(update={"configuration": "v1"}))
    assert peer.requests[0][1].endswith("?system=juwels&configuration=v1")


async def test_a_private_authority_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    """TLS is verified always: against the named file, or else against the machine's own set."""
    (tmp_path / "token").write_text("hub-token")
    ca_file, context = authority(tmp_path)
    app = web.Application()
    app.router.add_get("/v1/systems", answer(200, "{}"))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    async with client.ManagerClient(url, tmp_path / "token", ca_file=str(ca_file)) as manager:
        assert await manager.systems() == {}
    for other in ("", str(tmp_path / "none"), str(tmp_path / "token")):
        async with client.ManagerClient(url, tmp_path / "token", ca_file=other) as manager:
            with pytest.raises(errors.Unavailable):
                await manager.systems()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"live": true, "details": {"configuration": "abc"}}', "abc"),
        ('{"live": true}', ""),
        ("[]", ""),
        ('{"details": 5}', ""),
        (json.dumps({"details": {"configuration": "x" * 1000}}), "x" * 64),
    ],
    ids=["tells", "older", "list", "odd", "long"],
)
async def test_a_services_version_is_what_it_tells(
    peer: Peer, manager: client.ManagerClient, text: str, version: str
) -> None:
    """Or nothing; an older one does not tell."""
    peer.answers = [answer(text=text)]
    assert version == await manager.version()


@pytest.mark.parametrize("text", ["{}", "5", '[{"lab_id": "x"}]', '{"labs": 3}', "<html>"])
async def test_nonsense_for_operators_is_unavailable(peer: Peer, tmp_path: Path, text: str) -> None:
    """No answer of any shape comes out as something else."""
    (tmp_path / "token").write_text("dashboard-token")
    peer.answers = [answer(text=text)]
    async with (
        client.TunnelClient(peer.url, tmp_path / "token") as tunnels,
        client.OperatorClient(peer.url, tmp_path / "token") as hub,
    ):
        for question in (tunnels.all, tunnels.jump_hosts, hub.overview, hub.open_starts, hub.labs):
            with pytest.raises(errors.Unavailable):
                await question()
        with pytest.raises(errors.Unavailable):
            await hub.story(LAB.start_id)
    assert {"Bearer dashboard-token"} == {headers["Authorization"] for _, _, headers, _ in peer.requests}


async def test_a_start_that_is_not_there_comes_out_as_not_found(peer: Peer, tmp_path: Path) -> None:
    """The hub's problem is the same error here, asked once."""
    (tmp_path / "token").write_text("dashboard-token")
    peer.answers = [answer(404, json.dumps(errors.NotFound("There is no such start.").problem()))]
    async with client.OperatorClient(peer.url, tmp_path / "token") as hub:
        with pytest.raises(errors.NotFound):
            await hub.story(LAB.start_id)
    assert f"/jsc/operators/starts/{LAB.start_id}" == peer.requests[0][1]
    assert 1 == len(peer.requests)
