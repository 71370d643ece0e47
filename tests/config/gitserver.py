# SPDX-License-Identifier: BSD-3-Clause
"""Servers of a centre's git: one that speaks https through git's own CGI program, and one that speaks ssh."""

import asyncio
import base64
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from ssl import SSLContext
from typing import Any

import asyncssh
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
CLOSING = web.AppKey("closing", asyncio.Event)
"""Is set when the test is over; until then an answer may take."""
BACKEND = Path(subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip())


class GitHttps:
    """Serves the repositories in *folder* to one user, on an address of loopback, and remembers what it was told."""

    def __init__(self, folder: Path, user: str, password: str) -> None:
        self.heard: list[str | None] = []
        """The Authorization header of each request."""
        self.processes: set[bytes] = set()
        """Arguments and environments of git's processes while it was asked."""
        self.answer: Answer | None = None
        """What it does in place of its work, once somebody may enter."""
        self._folder = folder
        self.allowed = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    @contextlib.asynccontextmanager
    async def serving(self, context: SSLContext, address: str = "127.0.0.1") -> AsyncIterator[str]:
        """Serve; yield the host and port."""
        app = web.Application(client_max_size=10_000_000)
        app[CLOSING] = asyncio.Event()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, address, 0, ssl_context=context).start()
            yield f"{address}:{runner.addresses[0][1]}"
        finally:
            app[CLOSING].set()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(request.headers.get("Authorization"))
        self.processes.update(await asyncio.to_thread(processes, b"git"))
        if self.heard[-1] != self.allowed:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        return await (self.answer or self.run)(request)

    async def run(self, request: web.Request) -> web.Response:
        """Let git answer, as RFC 3875 has it."""
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            BACKEND / "git-http-backend", stdin=pipe, stdout=pipe, env=environment
        )
        said, _ = await process.communicate(await request.content.read())
        head, _, body = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
        return web.Response(status=int(headers.pop("Status", "200")[:3]), headers=headers, body=body)


@contextlib.asynccontextmanager
async def git_ssh(host_key: Path, authorized_keys: Path, *, hangs: bool = False) -> AsyncIterator[int]:
    """Serve every repository of this account by ssh, or let everybody who has logged in wait; yield the port."""

    async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if hangs:
            await process.stdin.read()
            return
        pipe = asyncio.subprocess.PIPE
        inner = await asyncio.create_subprocess_shell(str(process.command), stdin=pipe, stdout=pipe, stderr=pipe)
        assert inner.stdin
        async with asyncio.TaskGroup() as tasks:
            told = tasks.create_task(_copy(process.stdin, inner.stdin))
            said = [
                tasks.create_task(_copy(inner.stdout, process.stdout)),
                tasks.create_task(_copy(inner.stderr, process.stderr)),
            ]
            await asyncio.gather(*said)
            told.cancel()
        process.exit(await inner.wait())

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[str(host_key)],
        authorized_client_keys=str(authorized_keys),
        process_factory=run,
        encoding=None,
    )
    async with server:
        yield server.get_port()


async def _copy(source: Any, target: Any) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.write_eof()


def processes(text: bytes) -> list[bytes]:
    """Arguments and environment of all processes in whose arguments *text* stands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes()
            if text in arguments:
                found.append(arguments + (folder / "environ").read_bytes())
    return found
