# SPDX-License-Identifier: BSD-3-Clause
"""Following a branch over ssh: from a real sshd where there is one, and from asyncssh's server everywhere.

Aspects: what is fetched, with a key from a file and a pinned host key; every way in which it must not be.
"""

import asyncio
import contextlib
import getpass
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bench.processes import SSHD, free_port, process, until_open
from jupyter_jsc.config import repository
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.repository import Remote
from jupyter_jsc.config.sync import Sync
from jupyter_jsc.errors import NotFound, Unavailable
from tests.config import small
from tests.config.git import Git
from tests.config.gitserver import git_ssh, processes

HOST = "127.0.0.1"
SERVERS = ["asyncssh", *(["sshd"] if SSHD.exists() else [])]
"""The last one is what most tests ask."""
SETTINGS = """\
ListenAddress 127.0.0.1
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""


@dataclass
class Centre:
    """A server with the repository, and what is needed to read it."""

    git: Git
    remote: Remote
    folder: Path

    @property
    def into(self) -> Path:
        return self.folder / "into"

    async def update(self, remote: Remote) -> str:
        """Look at the branch once, as a process that has just started; return the commit."""
        sync = Sync(remote, self.into)
        with sync.held():
            return (await sync.update()).commit

    async def stays_and_heals(self) -> None:
        """The first version is in force, and the next commit that can be read replaces it."""
        assert Current(self.into / "current").configuration.support == "first"
        commit = self.git.commit_tree(small.tree(support="healed"))
        assert await self.update(self.remote) == commit
        assert Current(self.into / "current").configuration.support == "healed"


def keys(folder: Path, *names: str) -> None:
    for name in names:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)


def pinned(folder: Path, port: int, key: str = "host_key") -> Path:
    """A known_hosts file that says which key the server has."""
    path = folder / f"known hosts {key}"
    path.write_text(f"[{HOST}]:{port} {(folder / f'{key}.pub').read_text()}")
    return path


@contextlib.asynccontextmanager
async def sshd(folder: Path) -> AsyncIterator[int]:
    """Run the system's own server for this account; yield its port."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what Debian's service makes before it starts sshd
    port, log = free_port(), folder / "sshd.log"
    places = f"Port {port}\nHostKey {folder / 'host_key'}\nAuthorizedKeysFile {folder / 'key.pub'}\n"
    (folder / "sshd_config").write_text(SETTINGS + places)
    async with process([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], log, {}) as child:
        await until_open(port, child, log)
        yield port


@pytest.fixture
async def centre(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Centre]:
    kind = getattr(request, "param", SERVERS[-1])
    keys(tmp_path, "key", "other", "host_key", "another_host_key")
    git = Git(tmp_path / "remote")
    git.commit_tree(small.tree(support="first"))
    server = sshd(tmp_path) if kind == "sshd" else git_ssh(tmp_path / "host_key", tmp_path / "key.pub")
    async with server as port:
        url = f"ssh://{getpass.getuser()}@{HOST}:{port}{git.folder}"
        yield Centre(git, Remote(url, "main", tmp_path / "key", pinned(tmp_path, port)), tmp_path)


@pytest.mark.parametrize("centre", SERVERS, indirect=True)
async def test_commits_are_fetched(centre: Centre) -> None:
    """One after the other, with the key of the file and no other."""
    sync = Sync(centre.remote, centre.into)
    with sync.held():
        for text in ("first", "second", "third"):
            commit = centre.git.commit_tree(small.tree(support=text))
            assert ((await sync.update()).commit, sync.in_force) == (commit, commit)
            assert Current(centre.into / "current").configuration.support == text
    with pytest.raises(NotFound, match="other"):
        await centre.update(replace(centre.remote, branch="other"))


def port_of(centre: Centre) -> int:
    return int(centre.remote.url.split(":")[2].split("/")[0])


REFUSED: dict[str, tuple[Callable[[Centre], Remote], str]] = {
    "another host key": (
        lambda centre: replace(
            centre.remote, known_hosts_file=pinned(centre.folder, port_of(centre), "another_host_key")
        ),
        "Host key verification failed",
    ),
    "an unknown host": (
        lambda centre: replace(centre.remote, known_hosts_file=centre.folder / "nothing"),
        "Host key verification failed",
    ),
    "another key": (lambda centre: replace(centre.remote, ssh_key_file=centre.folder / "other"), "Permission denied"),
    "no key": (lambda centre: replace(centre.remote, ssh_key_file=centre.folder / "nothing"), "Permission denied"),
    "nobody listens": (
        lambda centre: replace(centre.remote, url=f"ssh://git@{HOST}:{free_port()}/x"),
        "Connection refused",
    ),
    "no such repository": (
        lambda centre: replace(centre.remote, url=f"{centre.remote.url}s"),
        "does not appear to be a git repository",
    ),
}


@pytest.mark.parametrize(("spoilt", "said"), REFUSED.values(), ids=REFUSED)
async def test_a_server_that_cannot_be_read(centre: Centre, spoilt: Callable[[Centre], Remote], said: str) -> None:
    """The error says why, as ssh does; the last good version stays, and heals."""
    await centre.update(centre.remote)
    with capture_logs() as lines, pytest.raises(Unavailable, match=said) as caught:
        await centre.update(spoilt(centre))
    assert "PRIVATE KEY" not in f"{caught.value}{lines}"
    await centre.stays_and_heals()


@pytest.mark.parametrize("logged_in", [False, True])
async def test_a_server_that_hangs(centre: Centre, monkeypatch: pytest.MonkeyPatch, logged_in: bool) -> None:
    """Before or after the login: the time limit holds, no ssh is left, and the last good version stays, and heals."""
    await centre.update(centre.remote)
    limit = repository.FETCH_S
    monkeypatch.setattr(repository, "FETCH_S", 2.0)
    async with contextlib.AsyncExitStack() as stack:
        if logged_in:
            server = git_ssh(centre.folder / "host_key", centre.folder / "key.pub", hangs=True)
            port = await stack.enter_async_context(server)
        else:
            silent = await stack.enter_async_context(await asyncio.start_server(lambda *_: None, HOST, 0))
            port = silent.sockets[0].getsockname()[1]
        url = f"ssh://{getpass.getuser()}@{HOST}:{port}/hanging"
        hanging = replace(centre.remote, url=url, known_hosts_file=pinned(centre.folder, port))
        with pytest.raises(Unavailable, match="did not answer within 2 s"):
            await centre.update(hanging)
        async with asyncio.timeout(60):
            while [one for one in await asyncio.to_thread(processes, b"/hanging") if str(port).encode() in one]:
                await asyncio.sleep(0.05)
    monkeypatch.setattr(repository, "FETCH_S", limit)
    pinned(centre.folder, port_of(centre))
    await centre.stays_and_heals()
