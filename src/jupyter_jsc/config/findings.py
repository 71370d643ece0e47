# SPDX-License-Identifier: BSD-3-Clause
"""What reading and checking find wrong, and how it becomes :class:`.mistakes.Mistake` with its place and value.

Everything that looks at a configuration (:mod:`.source`, :mod:`.structure`, :mod:`.references`, :mod:`.checks`) yields
findings about paths; only :func:`mistakes` knows how places and values are shown.
"""

import difflib
import itertools
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from jupyter_jsc.config.document import Branch, Path, Place
from jupyter_jsc.config.mistakes import Mistake

MOST_MISTAKES = 500
MOST_COMPARED = 300
LONGEST_VALUE = 60
SECRET = re.compile(r"passw|secret|token|credential|private|api_?key|identity_file", re.IGNORECASE)
USER_OF_URL = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Finding:
    """Something wrong at a path of the tree."""

    path: Path
    message: str
    allowed: str = ""
    suggestion: str = ""
    among: Collection[str] = ()
    """Names one of which may have been meant by ``word``; compared only for mistakes that are shown."""
    word: str = ""
    at_key: bool = False
    """Whether the key itself is wrong and not what stands under it."""
    place: Place | None = None
    """Where, if it cannot be looked up in the tree."""
    misses: tuple[str, ...] = ()
    """Names that would mend it if they stood elsewhere, e.g. in a file that could not be understood."""


def mistakes(found: Iterable[Finding], tree: Branch, *, root: str) -> list[Mistake]:
    """Return the mistakes in the order of their places, one for each value; *root* is the file of the tree as a whole.

    The first finding about a value counts: what is read wrong is not also of a wrong type. At most
    :data:`MOST_MISTAKES`, then one that says how many more there are.
    """
    first: dict[tuple[Any, ...], Finding] = {}
    for finding in found:
        first.setdefault(_identity(finding, tree), finding)
    known = sorted(_mistake(finding, tree, root) for finding in list(first.values())[:MOST_MISTAKES])
    if (more := len(first) - MOST_MISTAKES) > 0:
        known.append(Mistake(known[-1].file, known[-1].line, "", f"There are {more} more mistakes; mend these first."))
    return known


def closest(word: str, words: Collection[str]) -> str:
    """Return the one of *words* that was probably meant, or an empty text; of very many, none."""
    if len(words) > MOST_COMPARED:
        return ""
    by_lower = {known.lower(): known for known in words}
    near = difflib.get_close_matches(word[:100].lower(), by_lower, 1)
    return by_lower[near[0]] if near else ""


def shown(value: Any) -> str:
    """Return *value* as people read it, cut, on one line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = value[: LONGEST_VALUE + 1] if isinstance(value, str) else json.dumps(value)
    text = USER_OF_URL.sub("//…@", text)
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def listed(names: Collection[str], most: int = 30) -> str:
    """Return *names* as one text, cut after *most*."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, itertools.islice(names, most))) + more


def written(path: Path) -> str:
    """Return *path* as people write it: ``groups.course.members[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")


def is_secret(path: Path) -> bool:
    """Tell whether what stands at *path* may be a secret, by the names of its keys."""
    return any(isinstance(part, str) and SECRET.search(part) for part in path)


def inside(node: Any, part: str | int) -> bool:
    """Tell whether *node* has the key or position *part*."""
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node)


def value_at(tree: Any, path: Path) -> Any:
    """Return what stands at *path*; None if nothing does."""
    for part in path:
        if not inside(tree, part):
            return None
        tree = tree[part]
    return tree


def sections(tree: Any, *path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the sections of the mapping at *path* with their keys; whatever else stands there is passed over."""
    around = value_at(tree, path)
    if not isinstance(around, dict):
        return []
    return [(key, section) for key, section in around.items() if isinstance(section, dict)]


def place_at(tree: Branch, path: Path, root: str) -> Place:
    """Return file and line of the deepest part of *path* that is there; *root* and 0 for the tree itself."""
    place, node = Place(root, 0), tree
    for part in path:
        if not inside(node, part):
            break
        place, node = node.places[part], node[part]  # type: ignore[index]
    return place


def _identity(finding: Finding, tree: Branch) -> tuple[Any, ...]:
    """Return what only one mistake is told about: a value, however many aliases lead there; of keys, each fault."""
    if finding.at_key and finding.place:
        return finding.path, finding.place, finding.message
    if not finding.path:
        return (finding.message, finding.place)
    around = value_at(tree, finding.path[:-1])
    value = around[finding.path[-1]] if inside(around, finding.path[-1]) else None
    if isinstance(value, dict | list) and not finding.at_key:
        return (id(value),)
    return id(around), finding.path[-1], finding.at_key


def _mistake(finding: Finding, tree: Branch, root: str) -> Mistake:
    place = finding.place or place_at(tree, finding.path, root)
    value = "" if finding.at_key else _value(tree, finding.path)
    return Mistake(
        shown_file(place.file),
        place.line,
        written(finding.path),
        finding.message,
        value,
        finding.allowed,
        finding.suggestion or closest(finding.word, finding.among),
    )


def _value(tree: Branch, path: Path) -> str:
    if not path or (value := value_at(tree, path)) is None:
        return ""
    return "(hidden)" if is_secret(path) else shown(value)


def shown_file(file: str) -> str:
    """Return a file's name with whatever cannot be printed escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in file)
