# SPDX-License-Identifier: BSD-3-Clause
"""One kind of object of a namespace, as the API server has it: a list, then a watch, and a list again in any doubt.

Called by :mod:`.watch`. It never gives up: after an outage of whatever length it is right again within seconds. A watch ends
silently when a connection dies, so each is short, has a deadline on our side, and is followed by another; the whole is listed
again at intervals, and whenever somebody asks for it.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from jupyter_jsc.errors import JSCError, SiteUnavailable
from jupyter_jsc.sites.kubernetes.api import Api, Pause
from jupyter_jsc.sites.kubernetes.objects import Tree
from jupyter_jsc.sites.kubernetes.refusals import Expired

log = structlog.get_logger()

WATCH_S = 50.0
"""Length of one watch; its end, too, proves that the server is there."""
LIST_EVERY_S = 600.0
SOONEST_LIST_S = 2.0
"""So long lies between the beginnings of two lists."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0

Clock = Callable[[], float]


class Keeper(Protocol):
    """Keeps what a mirror sees."""

    def listed(self, items: Iterable[Tree]) -> None:
        """Have these and no others."""

    def changed(self, tree: Tree) -> None:
        """Have this one, new or as it is now."""

    def deleted(self, tree: Tree) -> None:
        """Have this one, in its last state, no more."""


class Mirror:
    """Follows one kind of object and tells its keeper."""

    def __init__(
        self,
        api: Api,
        kind: str,
        selector: Mapping[str, str],
        keeper: Keeper,
        *,
        clock: Clock | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._api = api
        self._kind = kind
        self._selector = selector
        self._keeper = keeper
        self._clock = clock or asyncio.get_running_loop().time
        self._pause = pause
        self._heard_at: float | None = None
        self._list_began = float("-inf")
        self._wanted = False
        self._patience: asyncio.Timeout | None = None
        self.complete_since: float | None = None
        """When the last complete list began, by the clock; what was there before and is in neither list nor watch is gone."""
        self.trouble: JSCError | None = None
        """Why the server is not followed at the moment."""

    def age_s(self) -> float:
        """Return how long ago the server was heard; infinite if never."""
        return float("inf") if self._heard_at is None else self._clock() - self._heard_at

    def want_list(self) -> None:
        """Have everything listed again soon."""
        if not self._wanted and self._patience is not None:
            early_s = max(self._soonest() - self._clock(), 0.0)
            self._patience.reschedule(asyncio.get_running_loop().time() + early_s)
        self._wanted = True

    async def run(self) -> None:
        """Follow, for ever."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                await self._round()
                wait_s = _FIRST_WAIT_S
                continue
            except Expired:
                log.info("watch too old, listing again", system=self._api.label, kind=self._kind)
                delay_s = 0.0
            except JSCError as error:
                self._say(error)
                delay_s = max(error.retry_after_s or 0.0, random.uniform(wait_s / 2, wait_s))
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            except Exception as error:  # the loop's outermost frame: no shape of an answer may end it
                log.exception("watch failed, listing again", system=self._api.label, kind=self._kind)
                self.trouble = SiteUnavailable(f"{self._api.label} answers with {type(error).__name__}.")
                delay_s = _LONGEST_WAIT_S
            await self._pause(max(delay_s, self._soonest() - self._clock()))

    async def _round(self) -> None:
        """List everything, then follow until it is time to list again."""
        self._wanted = False
        self._list_began = self._clock()
        items, version = await self._api.list_all(self._kind, self._selector)
        self._keeper.listed(items)
        self.complete_since = self._list_began
        self._heard()
        until = self._list_began + random.uniform(0.8, 1.0) * LIST_EVERY_S
        while self._clock() < until and not self._wanted:
            version = await self._follow(version)
        if (early_s := self._soonest() - self._clock()) > 0:
            await self._pause(early_s)

    async def _follow(self, version: str) -> str:
        """Take changes in until the watch ends or a list is wanted; return the version to go on from."""
        began = self._clock()
        try:
            async with asyncio.timeout(None) as self._patience:
                async with contextlib.aclosing(
                    self._api.watch(self._kind, self._selector, version, WATCH_S)
                ) as changes:
                    async for change in changes:
                        version = self._take(change) or version
                        self._heard()
        except TimeoutError:
            return version
        finally:
            self._patience = None
        self._heard()
        if self._clock() - began < 1.0:
            await self._pause(1.0)  # a server that ends watches at once is not asked in a circle
        return version

    def _take(self, change: Tree) -> str | None:
        """Pass a change on; return its version."""
        tree = change.get("object")
        if not isinstance(tree, dict) or not isinstance(tree.get("metadata"), dict):
            raise SiteUnavailable(f"{self._api.label} sent a change that is none.")
        match change.get("type"):
            case "ADDED" | "MODIFIED":
                self._keeper.changed(tree)
            case "DELETED":
                self._keeper.deleted(tree)
            case "BOOKMARK":
                pass
            case _:
                raise SiteUnavailable(f"{self._api.label} sent a change of an unknown kind.")
        found = tree["metadata"].get("resourceVersion")
        return str(found) if found else None

    def _soonest(self) -> float:
        return self._list_began + SOONEST_LIST_S

    def _heard(self) -> None:
        self._heard_at = self._clock()
        if self.trouble is not None:
            log.info("cluster is followed again", system=self._api.label, kind=self._kind)
            self.trouble = None

    def _say(self, error: JSCError) -> None:
        if self.trouble is None or self.trouble.message != error.message:
            log.warning("cluster is not followed", system=self._api.label, kind=self._kind, reason=error.message)
        self.trouble = error
