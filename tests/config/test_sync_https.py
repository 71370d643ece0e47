# SPDX-License-Identifier: BSD-3-Clause
"""Following a branch over https, from a server that speaks git's own protocol behind TLS and asks for a password.

Aspects: what is fetched; every way in which it must not be; where the password may not be seen.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from jupyter_jsc.config import repository
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.repository import Remote
from jupyter_jsc.config.sync import Sync
from jupyter_jsc.errors import NotFound, Unavailable
from tests.config import small
from tests.config.git import Git
from tests.config.gitserver import CLOSING, Answer, GitHttps, processes
from tests.tls import authority

USER = "portal"


@dataclass
class Centre:
    """A server with the repository ``remote``, and what is needed to read it."""

    git: Git
    server: GitHttps
    remote: Remote
    password: str
    folder: Path

    @property
    def address(self) -> str:
        return self.remote.url.split("/")[2]

    @property
    def into(self) -> Path:
        return self.folder / "into"

    @property
    def support(self) -> str:
        """What a service would say now."""
        return Current(self.into / "current").configuration.support

    def entrance(self, address: str, password: str) -> Path:
        """A file with a password for an address."""
        path = self.folder / "other credentials"
        path.write_text(f"https://{USER}:{password}@{address}\n")
        return path

    async def update(self, remote: Remote) -> str:
        """Look at the branch once, as a process that has just started; return the commit."""
        sync = Sync(remote, self.into)
        with sync.held():
            return (await sync.update()).commit


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    git = Git(tmp_path / "repositories" / "remote")
    git.commit_tree(small.tree(support="first"))
    password = secrets.token_hex(16)
    server = GitHttps(tmp_path / "repositories", USER, password)
    ca_file, context = authority(tmp_path)
    async with server.serving(context) as address:
        credentials = tmp_path / "credentials"
        credentials.write_text(f"https://{USER}:{password}@{address}\n")
        remote = Remote(f"https://{address}/remote", "main", credentials_file=credentials, ca_file=ca_file)
        yield Centre(git, server, remote, password, tmp_path)


async def test_commits_are_fetched(centre: Centre) -> None:
    """One after the other; the password goes to the server, and stands in its file and nowhere else."""
    sync = Sync(centre.remote, centre.into)
    with capture_logs() as lines, sync.held():
        for text in ("first", "second", "third"):
            commit = centre.git.commit_tree(small.tree(support=text))
            assert ((await sync.update()).commit, sync.in_force, centre.support) == (commit, commit, text)
    assert centre.server.heard[0] is None
    assert set(filter(None, centre.server.heard)) == {centre.server.allowed}
    published = [path.read_bytes() for path in centre.into.rglob("*") if path.is_file()]
    seen = b"".join([*centre.server.processes, *published, repr(lines).encode()])
    assert b"https://" in b"".join(centre.server.processes), "the processes of git were looked at"
    assert centre.password.encode() not in seen
    assert centre.server.allowed.split()[1].encode() not in seen


async def test_a_refused_commit_and_a_missing_branch(centre: Centre) -> None:
    """A server elsewhere makes no difference to what is wrong with a commit, or with the name of a branch."""
    good = await centre.update(centre.remote)
    centre.git.write("all.yaml", "hub: [")
    centre.git.commit()
    sync = Sync(centre.remote, centre.into)
    with sync.held():
        assert ("all.yaml", 1) in {(mistake.file, mistake.line) for mistake in (await sync.update()).mistakes}
        assert sync.in_force == good
    with pytest.raises(NotFound, match="other"):
        await centre.update(replace(centre.remote, branch="other"))


REFUSED: dict[str, tuple[Callable[[Centre], Remote], str]] = {
    "wrong password": (
        lambda centre: replace(centre.remote, credentials_file=centre.entrance(centre.address, "wr0ng")),
        "Authentication failed",
    ),
    "password for another server": (
        lambda centre: replace(centre.remote, credentials_file=centre.entrance("127.0.0.2:1", centre.password)),
        "could not read Username",
    ),
    "no password": (lambda centre: replace(centre.remote, credentials_file=None), "could not read Username"),
    "no file": (
        lambda centre: replace(centre.remote, credentials_file=centre.folder / "nothing"),
        "could not read Username",
    ),
    "no authority": (lambda centre: replace(centre.remote, ca_file=None), "certificate verification failed"),
    "another authority": (
        lambda centre: replace(centre.remote, ca_file=authority(_made(centre.folder / "a"))[0]),
        "certificate verification failed",
    ),
    "another name": (
        lambda centre: replace(centre.remote, url=centre.remote.url.replace("127.0.0.1", "localhost")),
        "does not match",
    ),
    "no such repository": (lambda centre: replace(centre.remote, url=centre.remote.url + "s"), "not found"),
}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def stays_and_heals(centre: Centre) -> None:
    """The first version is in force, and the next commit that can be read replaces it."""
    assert centre.support == "first"
    commit = centre.git.commit_tree(small.tree(support="healed"))
    assert (await centre.update(centre.remote), centre.support) == (commit, "healed")


@pytest.mark.parametrize(("spoilt", "said"), REFUSED.values(), ids=REFUSED)
async def test_a_server_that_cannot_be_read(centre: Centre, spoilt: Callable[[Centre], Remote], said: str) -> None:
    """The error says why and no secret; the last good version stays, and heals."""
    await centre.update(centre.remote)
    centre.server.heard.clear()
    with capture_logs() as lines, pytest.raises(Unavailable, match=said) as caught:
        await centre.update(spoilt(centre))
    for secret in (centre.password, "wr0ng"):
        assert secret not in f"{caught.value}{lines}{centre.server.processes}"
    assert centre.server.allowed not in centre.server.heard or said == "not found"
    await stays_and_heals(centre)


async def test_a_certificate_that_has_expired(centre: Centre) -> None:
    """Nothing is said to the server, not even what is wanted."""
    await centre.update(centre.remote)
    server = GitHttps(centre.folder / "repositories", USER, centre.password)
    ca_file, context = authority(_made(centre.folder / "expired"), expired=True)
    async with server.serving(context) as address:
        entrance = centre.entrance(address, centre.password)
        remote = replace(centre.remote, url=f"https://{address}/remote", ca_file=ca_file, credentials_file=entrance)
        with pytest.raises(Unavailable, match="certificate"):
            await centre.update(remote)
    assert server.heard == []
    await stays_and_heals(centre)


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("where", ["info/refs?service=git-upload-pack", "git-upload-pack"])
async def test_a_server_that_sends_git_elsewhere(centre: Centre, scheme: str, where: str) -> None:
    """Nobody else is asked, let alone told the password, and the error says what happened."""
    await centre.update(centre.remote)
    other = GitHttps(centre.folder / "repositories", USER, centre.password)
    async with other.serving(authority(_made(centre.folder / "other"), address="127.0.0.2")[1], "127.0.0.2") as address:

        async def redirect(request: web.Request) -> web.StreamResponse:
            if request.path_qs.endswith(where):
                raise web.HTTPFound(f"{scheme}://{address}{request.path_qs}")
            return await centre.server.run(request)

        centre.git.commit_tree(small.tree(support="elsewhere"))
        centre.server.answer = redirect
        with pytest.raises(Unavailable, match=r"302|redirect") as caught:
            await centre.update(centre.remote)
    assert centre.password not in str(caught.value)
    assert other.heard == []
    centre.server.answer = None
    await stays_and_heals(centre)


async def never(request: web.Request) -> web.StreamResponse:
    await request.app[CLOSING].wait()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-git-upload-pack-advertisement"})
    await response.prepare(request)
    await response.write(b"001e# service=git-upload-pack\n0000")
    return await never(request)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-git-upload-pack-advertisement"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"001e# service=git-upload-pack\n" * 10)
            await asyncio.sleep(0.01)
    return response


HANGING: dict[str, Answer | None] = {"no TLS": None, "no answer": never, "half an answer": half, "no end": endless}


@pytest.mark.parametrize("answer", HANGING.values(), ids=HANGING)
async def test_a_server_that_hangs(centre: Centre, monkeypatch: pytest.MonkeyPatch, answer: Answer | None) -> None:
    """The time limit holds wherever it hangs; no process is left, and the last good version stays, and heals."""
    await centre.update(centre.remote)
    limit = repository.FETCH_S
    monkeypatch.setattr(repository, "FETCH_S", 1.0)
    centre.server.answer = answer
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        remote = centre.remote if answer else replace(centre.remote, url=f"https://127.0.0.1:{port}/remote")
        with pytest.raises(Unavailable, match="did not answer within 1 s"):
            await centre.update(remote)
        async with asyncio.timeout(60):
            while await asyncio.to_thread(processes, remote.url.encode()):
                await asyncio.sleep(0.05)
    monkeypatch.setattr(repository, "FETCH_S", limit)
    centre.server.answer = None
    await stays_and_heals(centre)


ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
NONSENSE = {
    "a page": (200, "text/html", b"<html>Log in, please</html>"),
    "not git": (200, ADVERTISEMENT, b"\0" * 5000),
    "what a terminal obeys": (200, ADVERTISEMENT, b"0016ERR \x1b[31m\x07stop\n"),
    "down": (503, "text/plain", b"down"),
    "forbidden": (403, "text/plain", b"no"),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_a_server_that_answers_something_else(centre: Centre, kind: str) -> None:
    """A page to log in, rubbish, an outage: said, and over when it is over."""
    await centre.update(centre.remote)

    async def nonsense(_request: web.Request) -> web.StreamResponse:
        status, content_type, body = NONSENSE[kind]
        return web.Response(status=status, body=body, content_type=content_type)

    centre.server.answer = nonsense
    with pytest.raises((Unavailable, NotFound)) as caught:
        await centre.update(centre.remote)
    assert str(caught.value).isprintable()
    centre.server.answer = None
    await stays_and_heals(centre)
