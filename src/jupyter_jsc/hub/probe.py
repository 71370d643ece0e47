# SPDX-License-Identifier: BSD-3-Clause
"""Does a lab answer at its endpoint? Asked by :mod:`.starts` once the tunnel is open."""

from collections.abc import Iterator
from typing import Self

import aiohttp

_FIRST_S = 0.025
_LONGEST_S = 2.0
_TRIES = 20
_LIMIT = aiohttp.ClientTimeout(total=10, connect=5)


class LabProbe:
    """Asks one address. An async context manager."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_LIMIT)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._session.close()

    @staticmethod
    def waits() -> Iterator[float]:
        """Yield how long to wait after each failed try, in seconds: short at first, half a minute in all."""
        wait_s = _FIRST_S
        for _ in range(_TRIES):
            yield wait_s
            wait_s = min(wait_s * 2, _LONGEST_S)

    async def answers(self) -> bool:
        """Return whether there is any HTTP answer; what it says is the lab's business."""
        try:
            async with self._session.get(f"{self._address}/api", allow_redirects=False):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False
