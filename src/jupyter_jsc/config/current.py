# SPDX-License-Identifier: BSD-3-Clause
"""The configuration in force: one frozen object, swapped when another version is published.

A published tree is a folder ``versions/<commit>`` that the link ``current`` leads to (:mod:`.sync`). A folder that is no
link is read once and stays. Used by the hub and by every service.
"""

import asyncio
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from prometheus_client.core import GaugeMetricFamily

from jupyter_jsc.config import load
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.errors import InvalidRequest

log = structlog.get_logger()

Changed = Callable[[], Awaitable[None]]

_LOOK_EVERY_S = 0.05
_AGAIN_S = 10.0
"""After so long a version that could not be used is looked at again: the disk may have been at fault."""
_KEPT = 32
"""So many versions stay in memory, so that one that is pruned on disk does not get lost for labs in use."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A version comes with requests and becomes a path: never a separator, never a dot in front."""


@dataclass(frozen=True)
class _Published:
    version: str
    configuration: Configuration
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


class Current:
    """The configuration that a process uses now. Also a Prometheus collector: register it where metrics are answered."""

    def __init__(self, folder: Path) -> None:
        """Read the version that is in force; :class:`~.mistakes.ConfigurationRefused` if it cannot be used."""
        self._folder = folder
        resolved = folder.resolve()
        self._now = _Published(_name(resolved), load.load(resolved))
        self._unusable: dict[str, float] = {}
        """Version → when it may be looked at again."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Configuration] = OrderedDict({self.version: self.configuration})
        log.info("configuration in force", version=self.version)

    @property
    def version(self) -> str:
        """The commit that is in force; the folder's name if it is no published tree."""
        return self._now.version

    @property
    def configuration(self) -> Configuration:
        """The configuration that is in force."""
        return self._now.configuration

    @property
    def since(self) -> datetime:
        """When this process took it over."""
        return self._now.since

    def details(self) -> dict[str, str]:
        """Return what ``/health/ready`` says of it."""
        return {"configuration": self.version, "configuration_since": self.since.isoformat()}

    def of(self, version: str) -> Configuration:
        """Return another version, or the one in force where that one is not kept any more or cannot be read."""
        return self.find(version) or self.configuration

    def find(self, version: str) -> Configuration | None:
        """Return a version, or None if it is not kept here (any more, or yet) or cannot be read.

        The first time it is read from disk, which takes some 0.1 s: call it in a thread where that matters.
        """
        now = self._now
        if version == now.version:
            return now.configuration
        if not _VERSION.fullmatch(version):
            return None
        with self._lock:
            found = self._kept.get(version)
        if found is None and self._is_due(version) and (folder := self._target(version)):
            found = self._read(folder)
        if found is not None:
            self._keep(version, found)
        return found

    async def watch(self, changed: Changed) -> None:
        """Swap in each new version soon after it is published, and call *changed* after each; for ever.

        A version that cannot be used is logged once and looked at again after a while; until then the last good one stays.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            folder = self._newer()
            if folder is None:
                continue
            configuration = await asyncio.to_thread(self._read, folder)
            if configuration is None:
                continue
            self._now = _Published(_name(folder), configuration)
            self._keep(self.version, configuration)
            log.info("configuration in force", version=self.version)
            try:
                await changed()
            except Exception:  # the loop's outermost frame: what one version breaks, the next one may heal
                log.exception("configuration not taken over completely", version=self.version)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the version and its time; called by the Prometheus registry."""
        info = GaugeMetricFamily("jsc_configuration_info", "The version in force.", labels=["version"])
        info.add_metric([self.version], 1)
        yield info
        since = "jsc_configuration_since_seconds"
        yield GaugeMetricFamily(since, "When this process took it over (Unix time).", value=self.since.timestamp())

    def _newer(self) -> Path | None:
        """Return the published folder, if it is another than the one in force and may be usable."""
        try:
            target = self._folder.parent / self._folder.readlink()
        except OSError:  # no link, or not there for a moment
            return None
        name = _name(target)
        return target if name != self.version and self._is_due(name) and target.is_dir() else None

    def _is_due(self, version: str) -> bool:
        return time.monotonic() >= self._unusable.get(version, 0)

    def _read(self, folder: Path) -> Configuration | None:
        """Return the configuration in *folder*, or None, which the log says once."""
        name = _name(folder)
        try:
            configuration = load.load(folder)
        except Exception as error:  # whatever a version holds or a disk does must not end the watch
            if name not in self._unusable:
                known = isinstance(error, InvalidRequest | OSError)
                reason = error.message if isinstance(error, InvalidRequest) else type(error).__name__
                log.warning(
                    "configuration not usable, the last good one stays", version=name, reason=reason, exc_info=not known
                )
            if folder.is_dir():  # one that vanished while it was read may be back at once
                self._unusable[name] = time.monotonic() + _AGAIN_S
            return None
        self._unusable.pop(name, None)
        return configuration

    def _target(self, version: str) -> Path | None:
        """Return the folder of a version, which lies beside the one that the link leads to."""
        try:
            folder = (self._folder.parent / self._folder.readlink()).parent / version
        except OSError:
            return None
        return folder if folder.is_dir() else None

    def _keep(self, version: str, configuration: Configuration) -> None:
        with self._lock:
            self._kept[version] = configuration
            self._kept.move_to_end(version)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def _name(folder: Path) -> str:
    return folder.name[:64]  # as long as the messages between services allow
