# SPDX-License-Identifier: BSD-3-Clause
"""What is measured, as processes: the stock server, the stock chain in front of it, and our demo.

Each is an async context manager that leaves nothing behind. Used by :mod:`bench.latency` and :mod:`bench.start`.
"""

import asyncio
import contextlib
import getpass
import os
import re
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
SSHD = Path("/usr/sbin/sshd")
STOCK_BASE = "/user/bench/stock/"
_QUIET = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_START_S = 120.0


@dataclass(frozen=True)
class Stock:
    """A running stock server."""

    port: int
    token: str
    own_start_s: float
    """From the start of its process to the first 200."""


@dataclass(frozen=True)
class Demo:
    """The running demo."""

    address: str
    """With a slash at the end."""
    pid: int
    start_s: float
    """From the start of its process to the line that says where it is."""


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def process(
    command: Sequence[str], log: Path, env: Mapping[str, str], *, number: int = signal.SIGTERM, end_s: float = 15
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command with its output in *log*; afterwards it has ended, by signal *number* or by force."""
    inherited = {name: os.environ[name] for name in _QUIET if name in os.environ}
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            *command, env=inherited | dict(env), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(number)
        try:
            async with asyncio.timeout(end_s):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


async def until_open(port: int, child: asyncio.subprocess.Process, log: Path) -> None:
    """Return once the port accepts connections; RuntimeError with the log if the process ends."""
    async with asyncio.timeout(_START_S):
        while True:
            with contextlib.suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            if child.returncode is not None:
                raise RuntimeError(tail(log))
            await asyncio.sleep(0.02)


def tail(log: Path) -> str:
    """Return the last lines of a process that did not do what it should."""
    return log.read_text("utf-8", "replace")[-2000:]


async def until_200(url: str, session: aiohttp.ClientSession, pause_s: float = 0.02) -> None:
    """Return with the first 200 of *url*."""
    async with asyncio.timeout(_START_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url, allow_redirects=False) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(pause_s)


@contextlib.asynccontextmanager
async def stock_server(folder: Path) -> AsyncIterator[Stock]:
    """Run JupyterLab as it comes, on loopback."""
    port, token = free_port(), secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
        *(f"--ServerApp.base_url={STOCK_BASE}", "--ServerApp.allow_root=True", f"--ServerApp.root_dir={folder}"),
    ]
    began = time.perf_counter()
    async with (
        process(command, folder / "stock.log", {"HOME": str(folder), "JUPYTER_TOKEN": token}),
        aiohttp.ClientSession() as session,
    ):
        await until_200(f"http://127.0.0.1:{port}{STOCK_BASE}api", session)
        yield Stock(port, token, time.perf_counter() - began)


@contextlib.asynccontextmanager
async def stock_chain(folder: Path, target: int) -> AsyncIterator[int]:
    """Run configurable-http-proxy in front of ``ssh -L`` in front of *target*; yield the proxy's port."""
    front, api, tunnel = free_port(), free_port(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        sshd = await stack.enter_async_context(ssh_server(folder))
        ssh = [
            *("ssh", "-N", "-F", "none", "-p", str(sshd), "-i", str(folder / "key"), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "StrictHostKeyChecking=accept-new"),
            *("-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{tunnel}:127.0.0.1:{target}"),
            f"{getpass.getuser()}@127.0.0.1",
        ]
        log = folder / "ssh.log"
        await until_open(tunnel, await stack.enter_async_context(process(ssh, log, {"HOME": str(folder)})), log)
        proxy = [
            str(ROOT / "node_modules" / ".bin" / "configurable-http-proxy"),
            *("--ip", "127.0.0.1", "--port", str(front), "--api-ip", "127.0.0.1", "--api-port", str(api)),
            *("--default-target", f"http://127.0.0.1:{tunnel}"),
        ]
        log, env = folder / "proxy.log", {"CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16)}
        await until_open(front, await stack.enter_async_context(process(proxy, log, env)), log)
        yield front


@contextlib.asynccontextmanager
async def ssh_server(folder: Path) -> AsyncIterator[int]:
    """Run an SSH server that takes ``key`` of *folder*: the real sshd, or the demo's login node; yield its port."""
    port, log = free_port(), folder / "sshd.log"
    for name in ("key", "host_key"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        async with process(keygen, log, {}) as child:
            await child.wait()
    env = {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    async with process(_ssh_server_command(folder, port), log, env) as child:
        await until_open(port, child, log)
        yield port


def _ssh_server_command(folder: Path, port: int) -> list[str]:
    if not SSHD.exists():
        return [sys.executable, "-m", "bench.login", str(folder), str(port)]
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "key.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "ForceCommand": "cat",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()), "utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what Debian's service makes before it starts sshd
    return [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]


@contextlib.asynccontextmanager
async def demo(folder: Path, queue_delay_s: float) -> AsyncIterator[Demo]:
    """Run ``jupyter-jsc demo`` in *folder*; yield once it has said where it is."""
    log = folder.with_name(f"{folder.name}.log")
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "jupyter_jsc.cli", "demo", "--folder", str(folder)]
    command += ["--queue-delay", str(queue_delay_s)]
    began = time.perf_counter()
    env = {"HOME": str(folder.parent), "PYTHONUNBUFFERED": "1"}
    async with process(command, log, env, number=signal.SIGINT, end_s=60) as child:
        async with asyncio.timeout(3 * _START_S):
            while not (ready := re.search(r"jupyter-jsc is ready at (\S+)", log.read_text("utf-8", "replace"))):
                if child.returncode is not None:
                    raise RuntimeError(tail(log))
                await asyncio.sleep(0.02)
        yield Demo(ready[1], child.pid, time.perf_counter() - began)


def memory_mb(pid: int) -> dict[str, float]:
    """Return the proportional memory (PSS) of a process and all its descendants by command, in megabytes (10⁶)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    members = {pid}
    while more := {child for child, parent in parents.items() if parent in members} - members:
        members |= more
    found: dict[str, float] = {}
    for member in members:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text("ascii")
            command = Path(f"/proc/{member}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
            found[f"{member} {command[:100]}"] = (
                int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0]) / 976.5625
            )
    return found
