# SPDX-License-Identifier: BSD-3-Clause
"""A branch of a git repository, read with git's own command: the newest commit, its files, their contents.

Called by :mod:`.sync`. The copy is shallow and bare, a cache that is made anew after any failure; nothing is ever checked
out, so no hook, filter, submodule or symbolic link of the repository does anything here. Credentials come from files and
stand neither in arguments nor in addresses.
"""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_jsc.errors import InvalidRequest, NotFound, Unavailable

FETCH_S = 120.0
"""Time limit of a fetch."""
_READ_S = 30.0
_MOST_SAID = 64 * 1024
_FETCHES = 500
"""After so many fetches the copy is made anew, in place of git's own tidying."""
_INCOMING = "refs/incoming"
_INHERITED = ("PATH", "TMPDIR", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
_BRANCH = re.compile(r"(?![-/])(?!.*(\.\.|//|@\{|/\.|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\]{1,200}(?<![./])")
_SHORT_SSH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^\x00-\x20]+")
_FAILED_OUTSIDE = "Could not read from remote repository."
"""What git says when ssh failed; ssh has said why in the line before."""
_PLAIN_PATH = re.compile(r"""[^"%$\\\x00-\x1f]+""")
"""Paths that mean the same to ssh's configuration as to everybody else."""


@dataclass(frozen=True)
class Remote:
    """Where the configuration comes from, and with which credentials."""

    url: str
    """A path, ``file://``, ``ssh://``, ``host:path`` or ``https://``."""
    branch: str
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    credentials_file: Path | None = None
    """For https, as git's credential-store writes it: one ``https://user:password@host`` a line."""
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Raise :class:`InvalidRequest` for an address that has a password in it or needs another protocol."""
        if not _BRANCH.fullmatch(self.branch):
            raise InvalidRequest(f"branch: {self.branch!r} is no name of a branch.", field="branch")
        _check_url(self.url)
        for path in (self.ssh_key_file, self.known_hosts_file, self.credentials_file, self.ca_file):
            if path is not None and not _PLAIN_PATH.fullmatch(str(path)):
                raise InvalidRequest(f"{str(path)!r}: quotes, %, $ and backslashes cannot be in this path.")

    @property
    def folder(self) -> Path | None:
        """The repository on this machine; None if it is elsewhere."""
        if "://" in self.url:
            return Path(urlsplit(self.url).path) if self.url.startswith("file://") else None
        return None if _SHORT_SSH.fullmatch(self.url) else Path(self.url).absolute()


@dataclass(frozen=True)
class Entry:
    """A file of a commit, as git lists it."""

    mode: str
    """``100644`` a file, ``120000`` a symbolic link, ``160000`` a submodule."""
    object_id: str
    size: int
    path: bytes


class TooLarge(InvalidRequest):
    """Git answers more than was asked for."""

    title = "Too large"


class Repository:
    """The copy of one branch in *folder*."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.remote = remote
        self._folder = folder
        self._fetches = 0

    async def fetch(self) -> str:
        """Return the newest commit of the branch, with its files at hand.

        Raises :class:`NotFound` if the branch is not there and :class:`Unavailable` for everything else.
        """
        if not 0 < self._fetches < _FETCHES:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            await self._git("init", "--quiet", "--bare", "--template=", str(self._folder))
        self._fetches, fetches = 0, self._fetches
        source = str(self.remote.folder) if self.remote.folder and "://" not in self.remote.url else self.remote.url
        await self._git(
            *("fetch", "--quiet", "--depth=1", "--force", "--no-tags", "--no-recurse-submodules", "--update-shallow"),
            *("--no-auto-maintenance", "--", source, f"+refs/heads/{self.remote.branch}:{_INCOMING}"),
            limit_s=FETCH_S,
        )
        commit = (
            (await self._git("rev-parse", "--verify", "--quiet", f"{_INCOMING}^{{commit}}")).decode("ascii").strip()
        )
        self._fetches = fetches + 1
        return commit

    async def entries(self, commit: str, most_bytes: int) -> list[Entry]:
        """Return everything in a commit; :class:`TooLarge` if the list of it has more than *most_bytes*."""
        listed = await self._git("ls-tree", "-r", "-z", "-l", "--full-tree", commit, most_bytes=most_bytes)
        return [_entry(line) for line in listed.split(b"\0") if line]

    async def contents(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return what is in some files."""
        most = sum(entry.size + 200 for entry in entries)
        wanted = "".join(f"{entry.object_id}\n" for entry in entries).encode("ascii")
        answer = await self._git("cat-file", "--batch", stdin=wanted, most_bytes=most)
        found, place = [], 0
        for entry in entries:
            head = f"{entry.object_id} blob {entry.size}\n".encode("ascii")
            begin = place + len(head)
            if answer[place:begin] != head:
                self._fetches = 0
                raise Unavailable("The copy of the repository is damaged and is made anew.")
            found.append(answer[begin : begin + entry.size])
            place = begin + entry.size + 1
        return found

    async def _git(
        self, command: str, *arguments: str, stdin: bytes = b"", most_bytes: int = _MOST_SAID, limit_s: float = _READ_S
    ) -> bytes:
        """Return what a git command writes. No process of it is left afterwards."""
        place = () if command == "init" else ("-C", str(self._folder))
        process = await asyncio.create_subprocess_exec(
            *("git", *place, *_options(self.remote), command, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=await asyncio.to_thread(self._environment),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(limit_s), asyncio.TaskGroup() as tasks:
                tasks.create_task(_feed(process, stdin))
                said = tasks.create_task(_read(process, process.stderr, _MOST_SAID))
                answer = tasks.create_task(_read(process, process.stdout, most_bytes))
                code = await process.wait()
        except TimeoutError as error:
            raise Unavailable(f"The repository did not answer within {limit_s:.0f} s.") from error
        finally:
            await _end(process)
        if len(answer.result()) > most_bytes:
            raise TooLarge("The commit has too many files.")
        if code != 0:
            self._fetches = 0
            raise _why(said.result().decode("utf-8", "replace"), self.remote)
        return answer.result()

    def _environment(self) -> dict[str, str]:
        """Return an environment without this user's and this machine's settings of git.

        Git refuses repositories of other users on the same machine; the one that operators name is meant.
        """
        settings = self._folder.with_suffix(".config")
        safe = str(self.remote.folder.resolve()) if self.remote.folder else ""
        wanted = f'[safe]\n\tdirectory = "{_escaped(safe)}"\n\tdirectory = "{_escaped(safe)}/.git"\n' if safe else ""
        if not settings.exists() or settings.read_text("utf-8") != wanted:
            settings.write_text(wanted, "utf-8")
        return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
            "HOME": str(self._folder.parent),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(settings),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:ssh:https",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_SSH_COMMAND": shlex.join(ssh_command(self.remote)),
            "GIT_SSH_VARIANT": "ssh",
        }


def marks(folder: Path, branch: str) -> tuple[object, ...]:
    """Return something that differs once a branch of a repository on this machine has moved. Reads no content."""
    inner = folder / ".git" if (folder / ".git").is_dir() else folder
    return tuple(map(_mark, (inner / "refs/heads" / branch, inner / "packed-refs", inner / "reftable/tables.list")))


def ssh_command(remote: Remote) -> list[str]:
    """Return the ssh command that git uses: no question is asked, and no unknown host is believed."""
    options: dict[str, str] = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ForwardAgent": "no",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
    }
    if remote.known_hosts_file is not None:
        options |= {"UserKnownHostsFile": f'"{remote.known_hosts_file.absolute()}"', "GlobalKnownHostsFile": "none"}
    if remote.ssh_key_file is not None:
        options |= {"IdentitiesOnly": "yes", "IdentityFile": f'"{remote.ssh_key_file.absolute()}"'}
    return ["ssh", "-F", "none", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


def _check_url(url: str) -> None:
    if re.search(r"[\x00-\x20\x7f]", url) or url.startswith("-") or not url:
        raise InvalidRequest("repo: this is no address of a repository.", field="repo")
    if "://" not in url:
        if "::" in url:
            raise InvalidRequest("repo: only paths, file, ssh and https can be fetched from.", field="repo")
        return
    try:
        parts = urlsplit(url)
        password, user = parts.password, parts.username
    except ValueError as error:
        raise InvalidRequest("repo: this is no address of a repository.", field="repo") from error
    if parts.scheme not in {"file", "ssh", "https"}:
        raise InvalidRequest("repo: only paths, file, ssh and https can be fetched from.", field="repo")
    if password or (user and parts.scheme == "https") or parts.query or parts.fragment:
        raise InvalidRequest(
            "repo: an address is seen by everybody on this machine, so no password or token may stand in it. Write "
            "`https://user:password@host` into a file that only this process may read, and name it with --credentials.",
            field="repo",
        )


def _options(remote: Remote) -> list[str]:
    settings = {
        "core.hooksPath": "/dev/null",
        "core.bigFileThreshold": "1m",  # what is larger never lies in memory as a whole
        "gc.auto": "0",
        "http.followRedirects": "false",
        "credential.helper": "",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    if remote.ca_file is not None:
        options += ["-c", f"http.sslCAInfo={remote.ca_file.absolute()}"]
    if remote.credentials_file is not None:
        # Asked only, never told: by itself git would delete from the file what a server refuses once.
        store = f"git credential-store --file={shlex.quote(str(remote.credentials_file.absolute()))} get"
        options += ["-c", f'credential.helper=!f() {{ if [ "$1" = get ]; then {store}; fi; }}; f']
    return options


def _entry(line: bytes) -> Entry:
    facts, _, path = line.partition(b"\t")
    mode, _kind, object_id, size = facts.decode("ascii").split()
    return Entry(mode, object_id, int(size) if size.isdecimal() else 0, path)


def _why(said: str, remote: Remote) -> NotFound | Unavailable:
    if "couldn't find remote ref" in said:
        return NotFound(f"The repository has no branch {remote.branch!r}.")
    lines = [line for line in map(_printable, said.splitlines()) if line]
    at = next((at for at, line in enumerate(lines) if line.startswith(("fatal:", "error:"))), len(lines) - 1)
    if at > 0 and lines[at].endswith(_FAILED_OUTSIDE):
        at -= 1
    return Unavailable(f"The repository cannot be read: {lines[at][:300] if lines else 'git does not say why.'}")


def _printable(line: str) -> str:
    return "".join(sign for sign in line.expandtabs(1) if sign.isprintable()).strip()


def _mark(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _read(process: asyncio.subprocess.Process, stream: asyncio.StreamReader | None, most: int) -> bytes:
    """Return what comes, at most a little more than *most*; then the process is ended."""
    assert stream is not None
    found = bytearray()
    while chunk := await stream.read(64 * 1024):
        found += chunk
        if len(found) > most:
            _kill(process)
            break
    return bytes(found)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """End git with the ssh and the helpers that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
