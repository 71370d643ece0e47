# SPDX-License-Identifier: BSD-3-Clause
"""Forwards on one SSH master: ours over its control socket, ``ssh -O forward``, and one ``ssh -L`` each.

The peers are measured on a sample; one process a forward is scaled to the thousand.
"""

import asyncio
import contextlib
import getpass
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from bench import processes
from bench.table import Row, median, row
from jupyter_jsc.config.systems import JumpHost
from jupyter_jsc.tunnelmgr.masters import Client, Master, socket_path, terminate_all
from jupyter_jsc.tunnelmgr.mux import Forward, Mux

_MANY = 1000
_CONTROL_SAMPLE = 30
_PROCESS_SAMPLE = 10
_FIRST_PORT = 20000


async def run() -> list[Row]:
    """Return the rows: open one, close one, a thousand."""
    with tempfile.TemporaryDirectory(prefix="jsc-") as name:
        folder = Path(name)
        async with processes.ssh_server(folder) as port, _master(folder, port) as (master, connection):
            opened, closed, all_s = await _ours(connection)
            control = await _control(master)
            single = await _processes(folder, port)
    count = f"{_MANY:,} opened and closed"
    return [
        row(
            "open one forward, p50 (peer: ssh -O forward)",
            "ms",
            median(opened) * 1e3,
            _MANY,
            peer=median(control) * 1e3,
        ),
        row("open one forward, p50 (peer: one ssh -L)", "ms", median(opened) * 1e3, _MANY, peer=median(single) * 1e3),
        row("close one forward, p50", "ms", median(closed) * 1e3, _MANY),
        row(f"{count} (peer: ssh -O, scaled from {_CONTROL_SAMPLE})", "s", all_s, 1, peer=2 * median(control) * _MANY),
        row(
            f"{count} (peer: one ssh -L each, scaled from {_PROCESS_SAMPLE})",
            "s",
            all_s,
            1,
            peer=median(single) * _MANY,
        ),
    ]


@contextlib.asynccontextmanager
async def _master(folder: Path, port: int) -> AsyncIterator[tuple[str, Mux]]:
    host_key = (folder / "host_key.pub").read_text("ascii").strip()
    jump_host = JumpHost(host="127.0.0.1", port=port, user=getpass.getuser(), host_key=host_key)
    master = Master("bench", jump_host, Client("ssh", folder / "key", folder))
    connection = await master.ensure()
    try:
        yield str(socket_path(folder, "bench")), connection
    finally:
        await master.release()
        await terminate_all(folder)


async def _ours(connection: Mux) -> tuple[list[float], list[float], float]:
    forwards = [Forward("127.0.0.1", port, "127.0.0.1", 9) for port in _free_ports(_MANY)]
    began = time.perf_counter()
    opened = [await _timed(lambda forward=forward: connection.open_forward(forward)) for forward in forwards]
    closed = [await _timed(lambda forward=forward: connection.close_forward(forward)) for forward in forwards]
    return opened, closed, time.perf_counter() - began


async def _timed(act: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


async def _control(control: str) -> list[float]:
    """Return the times of ``ssh -O forward``, one process a request to the same master."""
    command = ("ssh", "-F", "none", "-S", control, "-O", "forward")
    return [await _ended(*command, *_forward(number), "bench") for number in _free_ports(_CONTROL_SAMPLE)]


async def _processes(folder: Path, port: int) -> list[float]:
    """Return the times from the start of one ``ssh -L`` to its listening port."""
    took = []
    for number in _free_ports(_PROCESS_SAMPLE):
        address = f"{getpass.getuser()}@127.0.0.1"
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
        command = [
            "ssh",
            "-F",
            "none",
            *options,
            "-i",
            str(folder / "key"),
            "-p",
            str(port),
            "-N",
            *_forward(number),
            address,
        ]
        began = time.perf_counter()
        log = folder / "ssh.log"
        async with processes.process(command, log, {"HOME": str(folder)}) as child:
            await processes.until_open(number, child, log)
            took.append(time.perf_counter() - began)
    return took


def _forward(port: int) -> tuple[str, str]:
    return "-L", f"127.0.0.1:{port}:127.0.0.1:9"


async def _ended(*command: str) -> float:
    began = time.perf_counter()
    child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL, env=dict(os.environ))
    if await child.wait() != 0:
        raise RuntimeError(f"{command[0]} failed")
    return time.perf_counter() - began


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in range(_FIRST_PORT, 32000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found
