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

_MOST_KNOWN, _LONGEST_KNOWN = 20_000, 200
"""So many answers are kept, of values so long: many users share projects and groups."""

T = TypeVar("T")


def _is_wild(pattern: str) -> bool:
    """Tell whether *pattern* can fit anything but itself."""
    return any(sign in pattern for sign in "*?[")


class Patterns:
    """Some patterns of :data:`jupyter_jsc.config.base.Pattern`, compiled."""

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = frozenset(patterns)
        wild = sorted(filter(_is_wild, listed))
        self._plain = listed.difference(wild)
        self._wild = re.compile("|".join(map(fnmatch.translate, wild))) if wild else None

    def fits(self, value: str) -> bool:
        """Tell whether *value* fits one of the patterns."""
        return value in self._plain or (self._wild is not None and self._wild.match(value) is not None)


class Lists:
    """Many lists of patterns; says of a value at once which of them it fits. Each list is a bit of a number."""

    def __init__(self) -> None:
        self._bits: dict[tuple[str, ...], int] = {}
        self._lists: list[tuple[Patterns, int]] = []
        self._known: dict[str, int] = {}

    def add(self, patterns: list[str] | None) -> int:
        """Return the bit for *patterns*, the same for the same; 0 for None, which every value fits."""
        if patterns is None:
            return 0
        key = tuple(patterns)
        if key not in self._bits:
            self._bits[key] = self.append(patterns)
        return self._bits[key]

    def append(self, patterns: Iterable[str]) -> int:
        """Return a bit of its own for *patterns*; the first is 1, the next 2, and so on."""
        bit = 1 << len(self._lists)
        self._lists.append((Patterns(patterns), bit))
        self._known.clear()
        return bit

    def fitted_by(self, value: str) -> int:
        """Return the bits of the lists that *value* fits."""
        known = self._known.get(value)
        if known is None:
            known = sum(bit for patterns, bit in self._lists if patterns.fits(value))
            if len(value) <= _LONGEST_KNOWN:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[value] = known
        return known


def united(sets: Iterable[int]) -> int:
    """Return the bits that stand in any of *sets*."""
    found = 0
    for one in sets:
        found |= one
    return found


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
