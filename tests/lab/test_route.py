# SPDX-License-Identifier: BSD-3-Clause
"""Ways to the hub: which is taken, what follows it and what does not, and what happens while there is none.

Aspects: order; peers that are no hub, silent, rude; a hub that comes late; signals while waiting; addresses in the
environment; the token.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.lab import route
from tests.lab.conftest import TOKEN, FakeHub, JobProcess, free_port, write_job

PUBLIC = {
    "JUPYTERHUB_PUBLIC_URL": "/user/alice/bench/",
    "JUPYTERHUB_PUBLIC_HUB_URL": "/hub/",
    "JUPYTERHUB_HOST": "",
    "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/alice/bench/oauth_callback",
}
"""What browsers go to, below the hub's base."""


def nowhere() -> str:
    """An address that nobody listens at."""
    return f"http://127.0.0.1:{free_port()}"


def with_ways(job: JobProcess, own: str, *ways: str) -> None:
    """The job of a hub whose usual address is *own*."""
    write_job(job.directory, own, hub_urls=list(ways))
    about = json.loads((job.directory / "lab.json").read_text("utf-8"))
    about["env"] |= {name: own + path for name, path in PUBLIC.items()}
    about["env"]["SITE_LINK"] = "https://elsewhere.example.org/hub/api"
    (job.directory / "lab.json").write_text(json.dumps(about), "utf-8")


async def running(hub: FakeHub, job: JobProcess) -> dict[str, str]:
    """Return the environment of the server that runs."""
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "record.json").exists)
    return dict(job.record["env"])


@contextlib.asynccontextmanager
async def peer(answer: bytes | None, heard: list[bytes]) -> AsyncIterator[str]:
    """Somebody who answers every request alike, with None never; yields the address."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            if answer is None:
                await ended.wait()
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ended.set()


def said(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_the_lab_goes_where_the_way_leads(hub: FakeHub, job: JobProcess):
    """Events, the report and the server itself take it; what is for browsers, or of others, stays as it is."""
    own = nowhere()
    with_ways(job, own, f"{hub.url}/")
    await job.launch()
    env = await running(hub, job)

    assert (env["JUPYTERHUB_API_URL"], env["JUPYTERHUB_ACTIVITY_URL"]) == (
        f"{hub.url}/hub/api",
        f"{hub.url}/hub/api/users/alice/activity",
    )
    assert {name: env[name] for name in PUBLIC} == {name: own + path for name, path in PUBLIC.items()}
    assert env["SITE_LINK"] == "https://elsewhere.example.org/hub/api"
    assert hub.codes == ["lab_starting", "lab_listening"]
    assert f"The portal is reached at {hub.url}." in job.stderr


async def test_the_first_that_answers_is_taken(hub: FakeHub, job: JobProcess):
    """In the order of the configuration, not the fastest; what does not answer is named."""
    dead, other = nowhere(), FakeHub()
    async with other.listening():
        with_ways(job, nowhere(), dead, hub.url, other.url)
        await job.launch()
        env = await running(hub, job)

    assert env["JUPYTERHUB_API_URL"] == f"{hub.url}/hub/api"
    assert other.posts == []
    assert f"The portal is not reached at {dead}" in job.stderr


async def test_the_usual_address_in_its_turn(hub: FakeHub, job: JobProcess):
    """``direct`` is the hub as it calls itself."""
    other = FakeHub()
    async with other.listening():
        with_ways(job, hub.url, "direct", other.url)
        await job.launch()
        env = await running(hub, job)

    assert env["JUPYTERHUB_API_URL"] == f"{hub.url}/hub/api"
    assert other.posts == []


async def test_nothing_is_asked_without_ways(hub: FakeHub, job: JobProcess):
    """As ever: the usual address, of which nobody doubts."""
    with_ways(job, hub.url)
    await job.launch()
    await running(hub, job)

    assert "The portal is reached" not in job.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        said("200 OK", b"<html>Welcome</html>"),
        said("200 OK", b'{"version": 6}'),
        said("200 OK", b'["version"]'),
        said("200 OK", b"[" * 60000),
        said("404 Not Found", b""),
        said("503 Service Unavailable", b""),
        said("302 Found", b"", "Location: /hub/api"),
        said("200 OK", b"\xff\xfe"),
    ],
    ids=["nothing", "ssh", "page", "no version", "list", "deep", "404", "503", "redirect", "no text"],
)
async def test_who_is_no_hub_is_passed_over(hub: FakeHub, job: JobProcess, answer: bytes):
    """A captive page or another service on the way is no hub, and does not get to see the lab's token."""
    heard: list[bytes] = []
    async with peer(answer, heard) as stranger:
        with_ways(job, nowhere(), stranger, hub.url)
        await job.launch()
        await running(hub, job)

    assert len(heard) == 1
    assert TOKEN.encode() not in heard[0]
    assert f"The portal is not reached at {stranger}" in job.stderr


async def test_who_never_answers_is_not_waited_for(hub: FakeHub, job: JobProcess):
    """A way that leads into a firewall has a limit."""
    async with peer(None, []) as silent:
        with_ways(job, nowhere(), silent, hub.url)
        await job.launch("-c", "import launcher, route, sys; route.WAY_S = 0.2; sys.exit(launcher.main())")
        env = await running(hub, job)

    assert env["JUPYTERHUB_API_URL"] == f"{hub.url}/hub/api"


async def test_a_way_that_opens_late(job: JobProcess):
    """TunnelMgr may be about to make the way again: the lab tries all of them until one is there."""
    hub, port = FakeHub(), free_port()
    with_ways(job, nowhere(), nowhere(), f"http://127.0.0.1:{port}")
    await job.launch()
    await job.until(lambda: "No way leads to the portal yet" in job.stderr)
    async with hub.listening(port):
        await running(hub, job)
        await job.terminate()

    assert hub.codes == ["lab_starting", "lab_listening"]


async def test_sigterm_while_there_is_no_way(job: JobProcess):
    """A start that is cancelled then ends at once, without a server."""
    with_ways(job, nowhere(), "direct", nowhere())
    await job.launch()
    await job.until(lambda: "No way leads to the portal yet" in job.stderr)

    assert await job.terminate() == 128 + signal.SIGTERM
    assert not (job.directory / "record.json").exists()


URLS = st.sampled_from(["http://hub", "https://hub:8081", "http://[fd00::7]:8081", "https://a.b-c.example.org"])


@given(own=URLS, base=URLS, path=st.lists(st.text("ab/?=%", max_size=9)).map("/".join))
def test_only_addresses_of_the_hub_move(own: str, base: str, path: str):
    """The rest of the address stays; a host that only begins like the hub's is another one."""
    assert route.moved(own, own, base) == base
    assert route.moved(f"{own}/{path}", own, base) == f"{base}/{path}"
    for other in (f"{own}.example.org/{path}", f"{own}0/{path}", f"x{own}/{path}"):
        assert route.moved(other, own, base) == other
