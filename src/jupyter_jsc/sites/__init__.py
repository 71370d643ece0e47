# SPDX-License-Identifier: BSD-3-Clause
"""Site drivers: one package per kind of site. A new kind is one new driver and its test.

A driver is an async context manager that fulfils :class:`Site`; ``cli`` hands its class to ``manager.app``, which makes
one per configured system. Drivers never import each other.
"""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from pydantic import SecretStr

from jupyter_jsc.wire import LabRef, LabState, StartAnswer, StartLab, SystemHealth


class Site(Protocol):
    """How a manager reaches one system. Every call may be repeated; every error is one of ours."""

    async def __aenter__(self) -> Self:
        """Open what the driver needs."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    async def start(self, lab: StartLab, credential: SecretStr | None) -> StartAnswer:
        """Return the handle of the lab's job: the one of this start id if there is one already, else a new one.

        *credential* is the user's; None for systems without accounts, which get to see nothing of it.
        """

    async def poll(self, labs: Sequence[LabRef]) -> Mapping[str, LabState]:
        """Return the states by start id; what cannot be found out is ``unknown``. Never raises for a lab."""

    async def stop(self, lab: LabRef) -> None:
        """End every job of this start and prove it; also without a handle."""

    async def log(self, lab: LabRef) -> str:
        """Return the last lines of the lab's output."""

    async def health(self) -> SystemHealth:
        """Return whether the site takes jobs."""


@runtime_checkable
class Signing(Protocol):
    """A site that signs notifications."""

    async def certificate(self) -> bytes:
        """Return the PEM certificate whose key signs them."""


Tell = Callable[[str, str], None]
"""Takes hub and start id of a lab about which something changed; returns at once."""


@runtime_checkable
class Telling(Protocol):
    """A site that hears by itself of what changes."""

    def on_change(self, tell: Tell) -> None:
        """Have *tell* called from now on; a call is a hint, what changed is asked for by poll."""
