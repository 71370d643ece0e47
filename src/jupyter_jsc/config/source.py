# SPDX-License-Identifier: BSD-3-Clause
"""A folder of YAML files → one tree of plain data, and what is refused on the way.

Files ``*.yaml`` and ``*.yml`` count, in sub-folders too; hidden files and folders and files with other endings do not.
All are merged mapping by mapping. Nothing outside the folder is ever read: symbolic links in it are refused, while the
folder itself may be reached by one. Called by :mod:`.load`.
"""

import functools
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_jsc.config import document
from jupyter_jsc.config.document import Branch, Budget, Place, Unreadable
from jupyter_jsc.config.findings import Finding, shown_file, written

ENDINGS = (".yaml", ".yml")
FOLDER = "."
"""Stands for the folder itself where a mistake belongs to none of its files."""
WORD = re.compile(r"[\w.-]+")
MAX_FILES = 1000
MAX_FOLDERS = 1000
MAX_FILE_BYTES = 1_000_000
MAX_BYTES = 10_000_000


@dataclass
class Source:
    """What was read."""

    root: str
    """The file of the tree as a whole."""
    tree: Branch = field(default_factory=Branch)
    findings: list[Finding] = field(default_factory=list)
    """What is refused; the rest stands in the tree."""
    unread: list[str | None] = field(default_factory=list)
    """Texts of files that could not be understood, none of which stands in the tree; None: not even a text."""

    @functools.cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(word for text in self.unread if text for word in WORD.findall(text))

    def may_hold(self, name: str) -> bool:
        """Tell whether what could not be understood may define *name*: then its absence is no mistake of its own."""
        return None in self.unread or name in self._words

    def refuse(self, file: str, line: int, message: str, *path: str) -> None:
        """Add a finding at a place."""
        self.findings.append(Finding(path, message, place=Place(file, line)))


def read_folder(folder: Path) -> Source:
    """Return what the files of *folder* say together."""
    source = Source(root=FOLDER)
    files = sorted(_files(folder, source))
    if not files and not source.findings:
        source.refuse(FOLDER, 0, f"{folder} has no file that ends with {' or '.join(ENDINGS)}.")
    budget, left = Budget(), MAX_BYTES
    for file in files[:MAX_FILES]:
        size = _read(folder / file, file, source, budget, left)
        left -= size
    if len(files) > MAX_FILES:
        source.refuse(FOLDER, 0, f"There are more than {MAX_FILES} files.")
        source.unread.append(None)
    return source


def read_file(path: Path) -> Source:
    """Return what one file says, which may be reached by links."""
    source = Source(root=path.name)
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        source.refuse(path.name, 0, _why(error))
        source.unread.append(None)
        return source
    _read(resolved, path.name, source, Budget(), MAX_BYTES)
    return source


def _files(folder: Path, source: Source) -> Iterator[str]:
    """Yield the files that count, relative to *folder*."""
    waiting, seen = [""], 0
    while waiting:
        inside = waiting.pop()
        seen += 1
        if seen > MAX_FOLDERS:
            source.refuse(FOLDER, 0, f"There are more than {MAX_FOLDERS} folders.")
            source.unread.append(None)
            return
        try:
            with os.scandir(folder / inside) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            source.refuse(inside or FOLDER, 0, _why(error))
            source.unread.append(None)
            continue
        for entry in found:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                source.refuse(name, 0, "A symbolic link has no place in a configuration; write the file itself.")
                source.unread.append(None)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(name)
            elif entry.name.endswith(ENDINGS):
                yield name


def _read(path: Path, name: str, source: Source, budget: Budget, left: int) -> int:
    """Add what the file says to *source*; return how many bytes it has."""
    text: str | None = None
    size = 0
    try:
        data = _bytes(path, left)
        size = len(data)
        text = data.decode("utf-8-sig")
        tree, faults = document.read(text, name, budget)
    except OSError as error:
        source.refuse(name, 0, _why(error))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        source.refuse(name, line, "The file is no text in UTF-8.")
    except Unreadable as error:
        source.refuse(name, error.line, error.message)
    else:
        source.findings += [
            Finding(fault.path, fault.message, suggestion=fault.suggestion, at_key=fault.at_key, place=fault.place)
            for fault in faults
        ]
        source.tree = _merged(source.tree, tree, source, ())
        return size
    source.unread.append(text)
    return size


def _bytes(path: Path, left: int) -> bytes:
    """Return what the file holds. Raises OSError; :class:`Unreadable` if it is no usual file or too large."""
    # Neither following a link nor waiting for a pipe, even if the file was changed since the folder was listed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("This is no usual file.")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB.")
    if len(data) > left:
        raise Unreadable(f"Together the files are larger than {MAX_BYTES // 1_000_000} MB.")
    return data


def _merged(first: Branch, second: Branch, source: Source, path: tuple[str, ...]) -> Branch:
    """Return both mappings as one. Neither is changed: aliases may use them elsewhere too."""
    merged = Branch()
    merged.take_all(first)
    for key, value in second.items():
        place = second.places[key]
        if key not in merged:
            merged.take(key, value, place)
        elif isinstance(merged[key], Branch) and isinstance(value, Branch):
            merged.take(key, _merged(merged[key], value, source, (*path, key)), merged.places[key])
        else:
            other = merged.places[key]
            message = f"`{written((*path, key))}` stands in {shown_file(other.file)}:{other.line} already."
            finding = Finding((*path, key), message, at_key=True, place=place)
            source.findings.append(finding)
    return merged


def _why(error: Exception) -> str:
    reason = (error.strerror if isinstance(error, OSError) else "") or "there is a circle of links"
    return f"It cannot be read: {reason}."
