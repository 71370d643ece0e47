# SPDX-License-Identifier: BSD-3-Clause
"""Names of one part that stand in another: each must be there.

Walks the raw tree along the model's annotations (:class:`.base.Reference`), so that broken references are found beside
whatever else is wrong. Called by :mod:`.load`.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from jupyter_jsc.config.document import Path
from jupyter_jsc.config.findings import Finding, listed, shown
from jupyter_jsc.config.shapes import Shape, shape_of


def broken(model: type[BaseModel], tree: dict[str, Any]) -> Iterator[Finding]:
    """Yield each reference in *tree* that leads nowhere. What has no form to follow is left to :mod:`.structure`."""
    yield from _Walk(tree).into(tree, shape_of(model), (), tree)


class _Walk:
    """One walk over one tree; what targets are is kept, as many references share one."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[str, dict[str, None] | None] = {}

    def into(self, value: Any, shape: Shape | None, path: Path, section: dict[str, Any]) -> Iterator[Finding]:
        """Yield what is broken at and below *path*; *section* is what holds the field, for ``./`` and ``{field}``."""
        if shape is None or not shape.refers:
            return
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from self.into(item, shape.item, (*path, number), section)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if shape.key is not None and shape.key.target:
                    yield from self._check(key, shape.key, (*path, key), section, at_key=True)
                here = value if shape.fields else section
                yield from self.into(inner, shape.fields.get(key, shape.value), (*path, key), here)
        elif isinstance(value, str) and shape.target:
            yield from self._check(value, shape, path, section, at_key=False)

    def _check(
        self, value: str, shape: Shape, path: Path, section: dict[str, Any], *, at_key: bool
    ) -> Iterator[Finding]:
        names = self._names(shape.target, section)
        if names is not None and value not in names:
            message = f"`{shown(value)}` is none of {_what(shape.target, section)}."
            allowed = listed(names) or "nothing, as there are none"
            misses = (value,) if names else (value, shape.target.split("/")[-1])
            yield Finding(path, message, allowed, among=names, word=value, at_key=at_key, misses=misses)

    def _names(self, target: str, section: dict[str, Any]) -> dict[str, None] | None:
        """Return the keys that *target* leads to; None if it cannot be followed, which is a mistake of its own."""
        if target.startswith("./"):
            return _keys([section], target[2:].split("/"), section)
        if "{" in target:
            return _keys([self._root], target.split("/"), section)
        if target not in self._known:
            self._known[target] = _keys([self._root], target.split("/"), section)
        return self._known[target]


def _keys(nodes: list[Any], parts: list[str], section: dict[str, Any]) -> dict[str, None] | None:
    for part in parts:
        if part == "*":
            nodes = [inner for node in nodes if isinstance(node, dict) for inner in node.values()]
            continue
        name = section.get(part[1:-1]) if part.startswith("{") else part
        if not isinstance(name, str):
            return None
        found = [node[name] for node in nodes if isinstance(node, dict) and name in node]
        # Behind a name that leads nowhere nothing can be said; a part that is simply not given has no keys.
        if part.startswith("{") and not found:
            return None
        nodes = found
    if any(node is not None and not isinstance(node, dict) for node in nodes):
        return None
    return dict.fromkeys(key for node in nodes if node is not None for key in node)


def _what(target: str, section: dict[str, Any]) -> str:
    """Return the target in words: ``the partitions of juwels``."""
    parts = target.removeprefix("./").split("/")
    words = f"the {parts[-1].replace('_', ' ')}"
    for part in reversed(parts[:-1]):
        if part.startswith("{"):
            words += f" of {shown(section.get(part[1:-1]))}"
        elif part == "*":
            words += " of any system"
    return words + (" here" if target.startswith("./") else "")
