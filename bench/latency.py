# SPDX-License-Identifier: BSD-3-Clause
"""How long a kernel's answer takes: stock server, stock chain, our whole chain.

One request at a time over one websocket, by the same client everywhere (:class:`bench.portal.Kernel`).
"""

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from bench import processes
from bench.labs import running_lab
from bench.portal import Kernel
from bench.table import Row, percentile, row

REQUESTS = 200
_WARM_UP = 20
_KINDS = {"kernel_info": ("kernel_info_request", {}), "execute 1+1": ("execute_request", {"code": "1+1"})}

Times = dict[str, list[float]]
"""By kind of request: milliseconds of each."""


async def run() -> list[Row]:
    """Return the rows of the comparison."""
    with tempfile.TemporaryDirectory(prefix="jsc-bench-") as name:
        folder = Path(name)
        async with processes.stock_server(folder) as stock:
            async with stock_kernel(stock.port, stock.token) as kernel:
                direct = await measure(kernel)
            async with processes.stock_chain(folder, stock.port) as port, stock_kernel(port, stock.token) as kernel:
                chain = await measure(kernel)
        async with (
            processes.demo(folder / "demo", queue_delay_s=0) as demo,
            running_lab(demo.address) as (user, server),
            user.kernel(server) as kernel,
        ):
            ours = await measure(kernel)
    peers = {"stock, proxy and ssh -L": chain, "stock, direct": direct}
    return [
        row(
            f"{kind} {label}, against {peer}",
            "ms",
            percentile(ours[kind], share),
            REQUESTS,
            peer=percentile(times[kind], share),
        )
        for peer, times in peers.items()
        for kind in _KINDS
        for label, share in (("p50", 0.5), ("p95", 0.95))
    ]


async def measure(kernel: Kernel) -> Times:
    """Return the milliseconds of each request, by kind."""
    found: Times = {}
    for name, (kind, content) in _KINDS.items():
        for _ in range(_WARM_UP):
            await kernel.ask(kind, content)
        found[name] = []
        for _ in range(REQUESTS):
            began = time.perf_counter()
            await kernel.ask(kind, content)
            found[name].append((time.perf_counter() - began) * 1000)
    return found


@contextlib.asynccontextmanager
async def stock_kernel(port: int, token: str) -> AsyncIterator[Kernel]:
    """Start a kernel of the stock server and connect to it."""
    base = f"http://127.0.0.1:{port}{processes.STOCK_BASE}api/kernels"
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        async with session.post(base, json={"name": "python3"}) as response:
            response.raise_for_status()
            kernel = await response.json()
        async with session.ws_connect(f"{base}/{kernel['id']}/channels") as socket:
            yield Kernel(socket)
        async with session.delete(f"{base}/{kernel['id']}") as response:
            response.raise_for_status()
