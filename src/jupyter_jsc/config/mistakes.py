# SPDX-License-Identifier: BSD-3-Clause
"""What is wrong with a configuration: each mistake with its place, and the error that carries them all."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from jupyter_jsc.errors import InvalidRequest


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong."""

    file: str
    """Relative to the folder of the configuration; ``.`` if it belongs to no single file."""
    line: int
    """From 1; 0 if it belongs to the whole file."""
    path: str
    """The key's path, e.g. ``systems.juwels.partitions.devel``; empty for the file itself."""
    message: str
    """What is wrong, in one sentence."""
    value: str = ""
    """The value that stands there, cut; empty if there is none."""
    allowed: str = ""
    """What may stand there; empty if that says nothing."""
    suggestion: str = ""
    """What was probably meant; empty if nothing comes near."""

    def document(self) -> dict[str, Any]:
        """Return the mistake as JSON."""
        return asdict(self)

    def __str__(self) -> str:
        place = ":".join(filter(None, [self.file, str(self.line or "")]))
        words = [f"{place}: " if place else "", f"{self.path}: " if self.path else "", self.message]
        words += [f" Allowed: {self.allowed}." if self.allowed else ""]
        words += [f" Did you mean {self.suggestion}?" if self.suggestion else ""]
        return "".join(words)


class ConfigurationRefused(InvalidRequest):
    """A configuration is not used, because of the ``mistakes`` in it."""

    title = "Configuration refused"
    mistakes: tuple[Mistake, ...] = ()

    @classmethod
    def of(cls, mistakes: Sequence[Mistake]) -> Self:
        """Return the error whose message lists *mistakes*, a line each."""
        many = f"{len(mistakes)} mistakes" if len(mistakes) != 1 else "a mistake"
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        error = cls(f"The configuration has {many}:\n{lines}")
        error.mistakes = tuple(mistakes)
        return error
