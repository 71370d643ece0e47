# SPDX-License-Identifier: BSD-3-Clause
"""One YAML text → plain data that knows the line of each key.

A safe part of YAML 1.1: mappings with names as keys, lists, texts, truth values, decimal numbers, anchors and merge
keys. Times stay texts, which the model reads. Whatever else YAML could mean (tags, other keys, several documents,
octal or sexagesimal numbers) is refused or is a text, so that nothing is misread silently. The text is walked event by
event, without recursion, and counted as it would be with all aliases written out, so no text takes long or much memory.
Called by :mod:`.source` for each file.
"""

import re
from typing import Any, NamedTuple

import yaml

from jupyter_jsc.errors import InvalidRequest

MAX_DEPTH = 40
MAX_NODES = 200_000
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Some platforms have no wheel with libyaml; the other parser is slower and says the same."""

Path = tuple[str | int, ...]
"""Keys and positions from the root of the tree."""

WORDS: dict[str, bool | None] = {
    **{form: True for word in ("true", "yes", "on") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("false", "no", "off") for form in (word, word.title(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
BROKEN = re.compile(r"[-+]?[0-9]{1,17}\.[0-9]{0,17}(?:[eE][-+][0-9]{1,3})?")
UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE


class Place(NamedTuple):
    """Where something stands."""

    file: str
    line: int


class Branch(dict[str, Any]):
    """A mapping that knows where its keys stand."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Place] = {}

    def take(self, key: str, value: Any, place: Place) -> None:
        """Set *key*, which stands at *place*."""
        self[key] = value
        self.places[key] = place

    def take_all(self, other: "Branch") -> None:
        """Set all keys of *other*."""
        self.update(other)
        self.places.update(other.places)


class Items(list[Any]):
    """A list that knows where its items stand."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []


class Unreadable(InvalidRequest):
    """A text cannot be understood as a whole; :mod:`.source` makes a mistake of it."""

    title = "Unreadable text"

    def __init__(self, message: str, /, *, line: int = 0, **detail: Any) -> None:
        super().__init__(message, **detail)
        self.line = line


class Fault(NamedTuple):
    """Something in a text that is refused, while the rest can be read."""

    path: Path
    place: Place
    message: str
    suggestion: str = ""
    at_key: bool = False


class Budget:
    """How many keys and values a whole configuration may still have, with all aliases written out."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self, nodes: int, line: int) -> None:
        """Take *nodes* off, or raise :class:`Unreadable`."""
        self.left -= nodes
        if self.left < 0:
            raise Unreadable(f"With all aliases written out there are more than {MAX_NODES} values.", line=line)


def read(text: str, file: str, budget: Budget) -> tuple[Branch, list[Fault]]:
    """Return the mapping in *text* and what is refused in it; an empty mapping for an empty text.

    Raises :class:`Unreadable`.
    """
    _check_signs(text)
    reader = _Reader(file, budget)
    # The constructor reads the start of the text already, so it raises too.
    try:
        loader = LOADER(text)
        try:
            reader.run(loader)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        line, message = _said(error, text)
        raise Unreadable(message, line=line) from error
    except ValueError as error:  # PyYAML's parser in Python raises it for some escapes, e.g. "\U00110000"
        raise Unreadable("The YAML cannot be read from here on.", line=reader.line) from error
    return reader.root, reader.faults


def _check_signs(text: str) -> None:
    if found := UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise Unreadable(f"The sign U+{ord(found.group()):04X} has no place in a text file.", line=line)
    # Handling many directives takes the parser very long, and none is of use here.
    if text.startswith("%") or "\n%" in text:
        line = text.count("\n", 0, 0 if text.startswith("%") else text.index("\n%") + 1) + 1
        raise Unreadable("A line that begins with % is a YAML directive, which has no use here.", line=line)


def _said(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Return the line, within the text, and what the parser says."""
    if not isinstance(error, yaml.MarkedYAMLError) or (mark := error.problem_mark or error.context_mark) is None:
        return 1, "The YAML cannot be read."
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)
    if "\t" in lines[line][: mark.column + 1]:
        return line + 1, "A tab stands here; YAML is indented by spaces."
    began = error.context_mark.line if error.context_mark else line
    context = f" {error.context}" if error.context else ""
    context += f" that begins in line {began + 1}" if context and began < line else ""
    problem = f"The YAML cannot be read{context}: {error.problem}."
    return line + 1, "".join(sign for sign in problem if sign.isprintable())


def plain(text: str) -> str | int | float | bool | None:
    """Return what *text* means without quotes."""
    if text in WORDS:
        return WORDS[text]
    if text[0] in "-+0123456789":
        if WHOLE.fullmatch(text):
            return int(text)
        if BROKEN.fullmatch(text):
            return float(text)
    return text


class _Frame:
    """A mapping or list that is being read."""

    __slots__ = ("anchor", "as_key", "height", "key", "line", "merged", "merges", "node", "size", "start")

    def __init__(self, node: Branch | Items, anchor: str | None, start: int, *, as_key: bool) -> None:
        self.node = node
        self.anchor = anchor
        self.start = start
        self.as_key = as_key
        self.key: Any = None
        self.line = start
        self.size = 1
        self.height = 0
        self.merges = False
        self.merged: list[Branch] = []


_SKIP, _MERGE = object(), object()


class _Reader:
    """Events of the parser → one tree."""

    def __init__(self, file: str, budget: Budget) -> None:
        self.root = Branch()
        self.faults: list[Fault] = []
        self.line = 1
        self._file = file
        self._budget = budget
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._documents = 0

    def run(self, loader: Any) -> None:
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        event = loader.get_event()
        while event is not None and type(event) is not yaml.StreamEndEvent:
            if handler := handlers.get(type(event)):
                self.line = event.start_mark.line + 1
                handler(event)
            event = loader.get_event()

    def _document(self, _event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise Unreadable("A second document begins here; use a second file instead.", line=self.line)

    def _wants_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].key is None and type(self._stack[-1].node) is Branch

    def _scalar(self, event: Any) -> None:
        value = event.value
        self._budget.spend(1 + len(value) // 1000, self.line)
        # Behind an escape too: half a sign cannot be written, a NUL stands in no variable and no line of a shell.
        if UNPRINTABLE.search(value):
            raise Unreadable("A text holds an escape for a sign that has no place in it.", line=self.line)
        if event.tag is not None:
            self._refuse_tag(event)
        if self._wants_key():
            self._key(value, unquoted=event.implicit[0])
            return
        value = plain(value) if event.implicit[0] else value
        if event.anchor:
            self._anchors[event.anchor] = (value, 1, 0)
        self._put(value, self.line, 1, 0)

    def _key(self, key: str, *, unquoted: bool) -> None:
        frame = self._stack[-1]
        frame.line = self.line
        if unquoted and key == "<<":
            if frame.merges:
                self._fault("There is a second `<<` here; write `<<: [*a, *b]`.")
            frame.key, frame.merges = (_SKIP if frame.merges else _MERGE), True
            return
        frame.key = key
        if unquoted and not isinstance(plain(key), str):
            kind = {bool: "a truth value", type(None): "nothing"}.get(type(plain(key)), "a number")
            self._fault(f"The key `{key}` means {kind} in YAML; put it in quotes.", f'"{key}"', at_key=True)
        if key in frame.node:
            first = frame.node.places[key].line  # type: ignore[call-overload]
            self._fault(f"This key stands in line {first} already.", at_key=True)
            frame.key = _SKIP

    def _begin(self, event: Any) -> None:
        as_key = self._wants_key()
        self._budget.spend(1, self.line)
        if event.tag is not None:
            self._refuse_tag(event)
        if as_key:
            self._fault("A key must be a name, not a mapping or a list.")
        if len(self._stack) >= MAX_DEPTH:
            raise Unreadable(f"Mappings and lists are nested more than {MAX_DEPTH} deep.", line=self.line)
        node = Branch() if type(event) is yaml.MappingStartEvent else Items()
        self._stack.append(_Frame(node, event.anchor, self.line, as_key=as_key))

    def _end(self, _event: Any) -> None:
        frame = self._stack.pop()
        if frame.merged and isinstance(frame.node, Branch):
            _apply(frame.merged, frame.node)
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.node, frame.size, frame.height)
        if frame.as_key:
            self._stack[-1].key = _SKIP
        else:
            self._put(frame.node, frame.start, frame.size, frame.height)

    def _alias(self, event: Any) -> None:
        name, value, size, height = event.anchor, None, 1, 0
        said = name[:60]
        if any(frame.anchor == name for frame in self._stack):
            self._fault(f"`*{said}` stands inside of what it names.")
        elif name not in self._anchors:
            self._fault(f"`*{said}` names nothing above: there is no `&{said}`.")
        else:
            value, size, height = self._anchors[name]
        self._budget.spend(size, self.line)
        if len(self._stack) + height > MAX_DEPTH:
            raise Unreadable(
                f"With `*{said}`, mappings and lists are nested more than {MAX_DEPTH} deep.", line=self.line
            )
        if self._wants_key():
            self._fault("A key must be a name, not an alias.")
            self._stack[-1].key = _SKIP
        else:
            self._put(value, self.line, size, height)

    def _put(self, value: Any, line: int, size: int, height: int) -> None:
        if not self._stack:
            self._finish(value, line)
            return
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.node, Items):
            frame.node.append(value)
            frame.node.places.append(Place(self._file, line))
            return
        if frame.key is _MERGE:
            self._merge(frame, value)
        elif frame.key is not _SKIP:
            frame.node.take(frame.key, value, Place(self._file, frame.line))
        frame.key = None

    def _merge(self, frame: _Frame, value: Any) -> None:
        branches = value if isinstance(value, Items) else [value]
        if all(isinstance(branch, Branch) for branch in branches):
            frame.merged.extend(branches)
        else:
            self._fault("`<<` needs a mapping, or a list of mappings.")

    def _finish(self, value: Any, line: int) -> None:
        if isinstance(value, Branch):
            self.root = value
        elif value is not None:
            raise Unreadable("The file must be a mapping of names to values.", line=line)

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:60]
        self._fault(f"The tag `{tag}` has no use here; leave it out.")

    def _fault(self, message: str, suggestion: str = "", *, at_key: bool = False) -> None:
        path: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.node, Items):
                path.append(len(frame.node))
            elif isinstance(frame.key, str):
                path.append(frame.key)
        self.faults.append(Fault(tuple(path), Place(self._file, self.line), message, suggestion, at_key))


def _apply(merged: list[Branch], node: Branch) -> None:
    """Put what is merged before the node's own keys, which win; of two merged ones the first wins."""
    own = Branch()
    own.take_all(node)
    node.clear()
    for branch in reversed(merged):
        node.take_all(branch)
    node.take_all(own)
