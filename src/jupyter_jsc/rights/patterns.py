# SPDX-License-Identifier: BSD-3-Clause
"""Shell-style patterns made fast, and what is computed once for each configuration.

Configurations are frozen but not hashable (they hold mappings), so what belongs to one is kept by its identity and
goes with it.
"""

import fnmatch
import re
import weakref
from collections.abc import Callable, Iterable
from typing import TypeVar

from jupyter_jsc.config.model import Configuration

T = TypeVar("T")


class Patterns:
    """Some patterns of :data:`jupyter_jsc.config.base.Pattern`, compiled; equal if they are the same patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)
        wild = [pattern for pattern in self._patterns if any(sign in pattern for sign in "*?[")]
        self._plain = frozenset(self._patterns).difference(wild)
        self._wild = re.compile("|".join(map(fnmatch.translate, wild))) if wild else None

    def fits(self, value: str) -> bool:
        """Tell whether *value* fits one of the patterns."""
        return value in self._plain or (self._wild is not None and self._wild.match(value) is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patterns) and self._patterns == other._patterns

    def __hash__(self) -> int:
        return hash(self._patterns)


def per_configuration(make: Callable[[Configuration], T]) -> Callable[[Configuration], T]:
    """Return *make* as a function that computes once for each configuration, as long as that is in use.

    What *make* returns must not hold the configuration itself, only parts of it.
    """
    kept: dict[int, tuple[weakref.ref[Configuration], T]] = {}

    def get(configuration: Configuration) -> T:
        key = id(configuration)
        if (found := kept.get(key)) is not None:
            return found[1]
        made = make(configuration)
        kept[key] = weakref.ref(configuration, lambda _: kept.pop(key, None)), made
        return made

    return get
