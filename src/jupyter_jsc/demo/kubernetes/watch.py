# SPDX-License-Identifier: BSD-3-Clause
"""The body of a watch: one JSON line a change, bookmarks between, silent at its end. Called by :mod:`.api`."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.objects import ApiError, Kind, Tree, expired
from jupyter_jsc.demo.kubernetes.selectors import Selector
from jupyter_jsc.demo.kubernetes.store import Change, Store

_LOOK_S = 0.25
"""How often the switches are looked at."""


@dataclass(frozen=True)
class Watch:
    """What a caller wants to see."""

    kind: Kind
    namespace: str | None
    selector: Selector
    version: int | None
    """After which version; None: what is there first, then what changes."""
    timeout_s: float
    bookmark_s: float | None
    """How often a bookmark comes; None: never."""


class Watches:
    """All open watches."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._closed = False
        self.open = 0
        """How many are open."""

    def close(self) -> None:
        """End all of them: the server stops."""
        self._closed = True
        self._store.wake()

    async def lines(self, watch: Watch) -> AsyncIterator[bytes]:
        """Yield the lines of one watch."""
        self.open += 1
        try:
            async for kind, tree in self._events(watch):
                yield json.dumps({"type": kind, "object": tree}, separators=(",", ":")).encode() + b"\n"
        except ApiError as error:
            yield json.dumps({"type": "ERROR", "object": error.tree()}).encode() + b"\n"
        finally:
            self.open -= 1

    async def _events(self, watch: Watch) -> AsyncIterator[tuple[str, Tree]]:
        version = self._store.version if watch.version is None else watch.version
        if watch.version is None:
            for tree in self._store.all(watch.kind.plural, watch.namespace):
                if watch.selector(tree):
                    yield "ADDED", tree
        elif self._faults.watches_gone:
            raise expired(version, self._store.version)
        end = time.monotonic() + watch.timeout_s
        marked = time.monotonic()
        while True:
            for change in () if self._silent else self._store.since(version):
                version = change.version
                for event in _seen(change, watch):
                    yield event
            if self._closed or self._faults.watches_end or time.monotonic() >= end:
                break
            if watch.bookmark_s is not None and time.monotonic() - marked >= watch.bookmark_s and not self._silent:
                marked = time.monotonic()
                yield "BOOKMARK", _bookmark(watch.kind, version)
            await self._wait(version, min(end - time.monotonic(), watch.bookmark_s or _LOOK_S))
        if watch.bookmark_s is not None and not self._silent and not self._closed:
            yield "BOOKMARK", _bookmark(watch.kind, version)

    @property
    def _silent(self) -> bool:
        return self._faults.watches_silent or self._faults.hang

    async def _wait(self, version: int, most_s: float) -> None:
        """Return when there is something to look at."""
        if self._silent:
            await asyncio.sleep(min(_LOOK_S, max(most_s, 0)))
            return
        try:
            async with asyncio.timeout(max(min(most_s, _LOOK_S), 0)):
                await self._store.wait(version)
        except TimeoutError:
            pass


def _seen(change: Change, watch: Watch) -> Iterator[tuple[str, Tree]]:
    """Yield the change as this watch sees it: what leaves the selection is deleted, what enters it is added."""
    if change.key.plural != watch.kind.plural or watch.namespace not in {None, change.key.namespace}:
        return
    was = change.before is not None and watch.selector(change.before)
    now = change.type != "DELETED" and watch.selector(change.object)
    names: Mapping[tuple[bool, bool], str] = {
        (False, True): "ADDED",
        (True, True): "MODIFIED",
        (True, False): "DELETED",
    }
    if (was, now) in names:
        yield names[was, now], change.object


def _bookmark(kind: Kind, version: int) -> Tree:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    return {"kind": kind.name, "apiVersion": "v1", "metadata": metadata}
