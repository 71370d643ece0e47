# SPDX-License-Identifier: BSD-3-Clause
"""One OpenSSH master per jump host: started, adopted, watched by a heartbeat, replaced when it is dead.

A master is a process of its own that outlives TunnelMgr; a new TunnelMgr adopts it by its control socket. Beside
the forwards each master carries one session channel with the account's forced command (``cat``): it is the
heartbeat, and it keeps sshd from holding back small packets of a connection that only forwards.

Called by :mod:`.tunnels`; :mod:`.mux` speaks to the control socket.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import structlog

from jupyter_jsc.config.systems import JumpHost
from jupyter_jsc.errors import HostKeyChanged, Unavailable
from jupyter_jsc.tunnelmgr import mux

log = structlog.get_logger()

_START_S = 20.0
_BEAT_EVERY_S = 1.0
_BEATS_MISSED = 3
_KEY_CHANGED = ("REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed", "No matching host key")


@dataclass(frozen=True)
class Client:
    """How this TunnelMgr uses OpenSSH's client."""

    ssh: str
    identity_file: Path
    runtime_dir: Path


class Master:
    """The connection to one jump host. ``ensure`` makes it, ``watch`` notices its end."""

    def __init__(self, name: str, jump_host: JumpHost, client: Client) -> None:
        self.name = name
        self.jump_host = jump_host
        """Where the next connection goes; may be another place than the present one's."""
        self._client = client
        self._making = asyncio.Lock()
        self._mux: mux.Mux | None = None
        self._made_to = ""
        self._heart: asyncio.subprocess.Process | None = None
        self.last_beat: float | None = None
        """Time of the last heartbeat on the loop's clock."""

    @property
    def connected(self) -> bool:
        """Whether forwards can be opened right now."""
        return self._mux is not None

    @property
    def outdated(self) -> bool:
        """Whether the connection was made to another address or key than the jump host has now."""
        return self._mux is not None and self._made_to != self._known_hosts

    async def ensure(self) -> mux.Mux:
        """Return the connection to a living master with a beating heart: the present one, one adopted, a new one.

        Raises :class:`HostKeyChanged` and :class:`Unavailable`.
        """
        async with self._making:
            if self._mux is not None:
                return self._mux
            try:
                connection = await self._adopt() or await self._start()
            except OSError as error:
                raise Unavailable("OpenSSH's client cannot be run.", jump_host=self.name, reason=str(error)) from error
            try:
                await self._begin_heartbeat()
            except Unavailable:
                connection.close()
                await self._kill()
                raise
            self._mux = connection
            log.info("jump host connected", jump_host=self.name)
            return connection

    async def watch(self) -> None:
        """Return when this master is dead: its heart missed three beats, its process ended, or it was dropped.

        One that was made since is not touched.
        """
        heart, missed = self._heart, 0
        while missed < _BEATS_MISSED and heart is not None and heart is self._heart and heart.returncode is None:
            try:
                async with asyncio.timeout(_BEAT_EVERY_S):
                    await self._beat(heart)
            except TimeoutError:
                missed += 1
                continue
            except (OSError, EOFError):
                break
            missed = 0
            await asyncio.sleep(_BEAT_EVERY_S)
        log.warning("jump host lost", jump_host=self.name, missed_beats=missed)
        if heart is self._heart:
            await self.drop()

    async def drop(self) -> None:
        """End the master and forget it; its forwards are gone."""
        async with self._making:
            if self._mux is not None:
                self._mux.close()
                self._mux = None
            await self._kill()
            await self._end_heart()

    async def release(self) -> None:
        """Let go of the master without ending it: the next TunnelMgr adopts it."""
        if self._mux is not None:
            self._mux.close()
            self._mux = None
        await self._end_heart()

    @property
    def _socket(self) -> Path:
        return socket_path(self._client.runtime_dir, self.name)

    @property
    def _common(self) -> list[str]:
        address = f"{self.jump_host.user}@{self.jump_host.host}"
        return ["-F", "none", "-S", str(self._socket), "-p", str(self.jump_host.port), address]

    @property
    def _known_hosts(self) -> str:
        """The file that pins the key; its first line is for :attr:`outdated`, which also holds for an adopted master."""
        host = self.jump_host
        return f"# {host.user}@{host.host} {host.port}\n{self.name} {host.host_key}\n"

    async def _adopt(self) -> mux.Mux | None:
        if not self._socket.exists():
            return None
        try:
            connection = await mux.connect(self._socket)
            await connection.alive()
        except Unavailable:
            await self._kill()
            return None
        self._made_to = _text(self._socket.with_suffix(".known"))
        return connection

    async def _start(self) -> mux.Mux:
        """Start a new master; it is in the background and authenticated once the command returns."""
        known_hosts = self._socket.with_suffix(".known")
        errors_file = self._socket.with_suffix(".err")
        self._made_to = self._known_hosts
        _write_private(known_hosts, self._made_to)
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known_hosts),
            "GlobalKnownHostsFile": "none",
            "UpdateHostKeys": "no",
            "HostKeyAlias": self.name,
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self._client.identity_file),
            "PreferredAuthentications": "publickey",
            "Ciphers": "aes128-gcm@openssh.com,aes256-gcm@openssh.com",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "ControlPersist": "yes",
            "ForwardAgent": "no",
            "ForwardX11": "no",
        }
        arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        with errors_file.open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                *(self._client.ssh, "-M", "-N", "-f", *arguments, *self._common),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(_START_S):
                code = await process.wait()
        except TimeoutError as error:
            process.kill()
            raise Unavailable(f"The jump host {self.name} does not answer.") from error
        if code != 0:
            raise self._why(errors_file)
        return await mux.connect(self._socket)

    def _why(self, errors_file: Path) -> Unavailable | HostKeyChanged:
        said = errors_file.read_text("utf-8", "replace")[-2000:]
        last = said.strip().splitlines()[-1][:200] if said.strip() else ""
        if any(text in said for text in _KEY_CHANGED):
            log.error("host key is not the pinned one", jump_host=self.name)
            return HostKeyChanged(
                f"The jump host {self.name} shows another host key than the one that is pinned. Nothing was sent to it; "
                "the operators must check it.",
                jump_host=self.name,
            )
        return Unavailable(
            f"The jump host {self.name} cannot be reached at the moment.", jump_host=self.name, said=last
        )

    async def _begin_heartbeat(self) -> None:
        """Open the session channel through the master, and see its first beat.

        ``ProxyCommand=false`` keeps this client from connecting by itself, without our checks, if the master is gone.
        """
        self._heart = heart = await asyncio.create_subprocess_exec(
            *(self._client.ssh, "-T", "-o", "ControlMaster=no", "-o", "ProxyCommand=false", *self._common),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(mux.REQUEST_S):
                await self._beat(heart)
        except (TimeoutError, OSError, EOFError) as error:
            await self._end_heart()
            raise Unavailable(
                f"The jump host {self.name} refuses the heartbeat session.", jump_host=self.name
            ) from error

    async def _beat(self, heart: asyncio.subprocess.Process) -> None:
        if heart.stdin is None or heart.stdout is None:
            raise EOFError
        heart.stdin.write(b"\n")
        await heart.stdin.drain()
        await heart.stdout.readexactly(1)
        self.last_beat = asyncio.get_running_loop().time()

    async def _end_heart(self) -> None:
        """End the session's client. A master that hangs holds its pipes, and so asyncio's wait for it: not for ever."""
        heart, self._heart = self._heart, None
        self.last_beat = None
        if heart is not None:
            with contextlib.suppress(ProcessLookupError):
                heart.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(mux.REQUEST_S):
                    await heart.wait()

    async def _kill(self) -> None:
        await _terminate(self._socket)
        self._socket.unlink(missing_ok=True)


def socket_path(runtime_dir: Path, name: str) -> Path:
    """Return the control socket of a jump host; short, as Unix sockets have at most 108 bytes."""
    return runtime_dir / f"m{hashlib.sha256(name.encode()).hexdigest()[:12]}"


async def terminate_all(runtime_dir: Path) -> None:
    """End every master of this folder. Called at the end of ``jupyter-jsc tunnelmgr --stop-masters``."""
    for path in list(runtime_dir.glob("m????????????")):  # noqa: ASYNC240  a handful of names, at the end of a process
        await _terminate(path)
        path.unlink(missing_ok=True)


async def terminate(runtime_dir: Path, name: str) -> None:
    """End the master of one jump host, whoever started it."""
    path = socket_path(runtime_dir, name)
    await _terminate(path)
    path.unlink(missing_ok=True)


async def _terminate(path: Path) -> None:
    """End the master behind a control socket: asked first, killed if it does not listen.

    A master that hangs would keep the local ports of its tunnels, and with them everybody who connects there.
    """
    ended = False
    with contextlib.suppress(Unavailable):
        connection = await mux.connect(path)
        try:
            ended = await connection.terminate()
        finally:
            connection.close()
    if not ended:
        for pid in _processes_of(path):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _processes_of(path: Path) -> list[int]:
    """Return our own processes whose command line names this control socket; none where there is no ``/proc``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            named = os.fsencode(path) in (folder / "cmdline").read_bytes()
            if named and folder.stat().st_uid == os.geteuid() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")
