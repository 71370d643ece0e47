# SPDX-License-Identifier: BSD-3-Clause
"""A branch in git → the published tree that services read (:mod:`.current`). Used by :mod:`jupyter_jsc.configsync`.

::

    DIR/current → versions/<commit>     in force
    DIR/versions/<commit>/…             complete and checked; earlier ones stay for labs in use
    DIR/refused.json, refused.txt       the newest commit, if it is not used, and why
    DIR/repository.git, lock            a copy of the branch; held by the one process that writes here

A commit is written beside, checked, moved and only then put in force by flipping the link. Whatever this process dies of
and wherever, the services see the last good version, and the next run goes on.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from jupyter_jsc.config import load
from jupyter_jsc.config.mistakes import ConfigurationRefused, Mistake
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.repository import Entry, Remote, Repository, TooLarge
from jupyter_jsc.config.source import ENDINGS, MAX_BYTES, MAX_FILE_BYTES, MAX_FILES
from jupyter_jsc.errors import Conflict, Unavailable

log = structlog.get_logger()

_LISTED_BYTES = 20_000_000
"""A commit whose list of files is longer is no configuration."""
_TEMPORARY = ".tmp-"
_DAY_S = 86400
_LINK, _SUBMODULE = "120000", "160000"
"""Modes of git's entries that are no files."""
_NOWHERE = "a-link-of-the-commit"
"""Where links lead in a tree that is checked: nobody follows one to what the commit names."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")

Step = Callable[[str], None]
"""Is told each step after it was done; tests end the process there."""


@dataclass(frozen=True)
class Outcome:
    """What came of the newest commit."""

    commit: str
    mistakes: tuple[Mistake, ...] = ()
    """Why it is not in force; none: it is."""


class Sync:
    """Keeps the published tree in *folder* at the newest good commit of a branch."""

    def __init__(self, remote: Remote, folder: Path, *, step: Step = lambda _: None) -> None:
        self.remote = remote
        self.folder = folder.absolute()
        self._repository = Repository(remote, self.folder / "repository.git")
        self._step = step
        self._last: Outcome | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process and clear what a dead one left; :class:`Conflict` if another holds it."""
        self._versions.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict(f"Another process publishes into {self.folder} already.") from error
            for path in [*self._versions.glob(f"{_TEMPORARY}*"), *self.folder.glob(f"{_TEMPORARY}*")]:
                _remove(path)
            yield

    @property
    def in_force(self) -> str | None:
        """The commit that services read; None if there is none yet."""
        version = (self.folder / "current").resolve()
        return version.name if version.parent == self._versions.resolve() and version.is_dir() else None

    async def update(self) -> Outcome:
        """Put the newest commit in force, or keep the last good one and report why. Only while :meth:`held`.

        A refused commit is not looked at again by this process. Raises :class:`~jupyter_jsc.errors.Unavailable` and
        :class:`~jupyter_jsc.errors.NotFound` where the branch cannot be read; then nothing has changed.
        """
        commit = await self._repository.fetch()
        self._step("fetched")
        if self._last is None or self._last.commit != commit or (self._is_good and self.in_force != commit):
            self._last = await self._take(commit)
        return self._last

    @property
    def _is_good(self) -> bool:
        return self._last is not None and not self._last.mistakes

    @property
    def _versions(self) -> Path:
        return self.folder / "versions"

    async def _take(self, commit: str) -> Outcome:
        try:
            files = wanted(await self._repository.entries(commit, _LISTED_BYTES))
            contents = await self._repository.contents(files)
            self._step("read")
            await asyncio.to_thread(self._publish, commit, files, contents)
        except (ConfigurationRefused, TooLarge) as error:
            mistakes = error.mistakes if isinstance(error, ConfigurationRefused) else (_mistake("", error.message),)
            await asyncio.to_thread(self._refuse, commit, mistakes)
            return Outcome(commit, mistakes)
        except OSError as error:
            raise Unavailable(f"The published tree cannot be written: {error.strerror}.") from error
        return Outcome(commit)

    def _publish(self, commit: str, files: Sequence[Entry], contents: Sequence[bytes]) -> None:
        """Write, check, move, flip, clear; each step leaves a state that the next run goes on from."""
        written = self._versions / f"{_TEMPORARY}{commit}"
        _remove(written)
        try:
            _write_tree(written, files, contents, self._versions / (self.in_force or commit))
            self._step("written")
            configuration = load.load(written)
            self._step("checked")
            if not _are_alike(self._versions / commit, written):
                self._discard(self._versions / commit)
                written.rename(self._versions / commit)
                _flush(self._versions)
                self._step("moved")
        finally:
            _remove(written)
        self._flip(commit)
        self._step("flipped")
        for name in ("refused.json", "refused.txt"):
            (self.folder / name).unlink(missing_ok=True)
        self._step("cleared")
        self._prune(configuration)

    def _flip(self, commit: str) -> None:
        before = self.in_force
        if before == commit:
            return
        if before is not None:
            os.utime(self._versions / before)  # from now on it is an earlier version, and its time runs
        link = self.folder / f"{_TEMPORARY}current"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("versions") / commit)
        link.replace(self.folder / "current")
        _flush(self.folder)
        log.info("configuration published", version=commit, before=before)

    def _refuse(self, commit: str, mistakes: Sequence[Mistake]) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        report = {"commit": commit, "when": when, "mistakes": [mistake.document() for mistake in mistakes]}
        lines = [f"{commit} was refused at {when}, {self.in_force or 'nothing'} is in force.", *map(str, mistakes)]
        self._replace("refused.json", json.dumps(report, indent=1, ensure_ascii=False))
        self._replace("refused.txt", "\n".join(lines))
        self._step("refused")
        log.warning("configuration refused", version=commit, mistakes=len(mistakes), first=str(mistakes[0])[:300])

    def _replace(self, name: str, text: str) -> None:
        written = self.folder / f"{_TEMPORARY}{name}"
        written.write_text(text + "\n", "utf-8", errors="backslashreplace")
        written.replace(self.folder / name)

    def _prune(self, configuration: Configuration) -> None:
        """Remove versions that have not been in force for longer than the configuration says."""
        oldest = time.time() - configuration.retention.versions_days * _DAY_S
        for path in self._versions.iterdir():
            if path.name != self.in_force and path.stat().st_mtime < oldest:
                log.info("earlier version removed", version=path.name)
                self._discard(path)

    def _discard(self, version: Path) -> None:
        """Remove a version so that nobody ever sees a part of it, whatever happens to this process."""
        if version.exists():
            gone = self._versions / f"{_TEMPORARY}gone"
            _remove(gone)
            version.rename(gone)
            _remove(gone)


def wanted(entries: Sequence[Entry]) -> list[Entry]:
    """Return the files of a commit that make a configuration. Pure.

    Hidden files and folders, and files with other endings, do not count. Links are among them: the loader refuses them
    with all the rest. Raises :class:`ConfigurationRefused` for submodules, paths that lead elsewhere, and more than may
    be read; nothing has been read by then.
    """
    mistakes: list[Mistake] = []
    files: list[Entry] = []
    for entry in entries:
        name = entry.path.decode("utf-8", "backslashreplace")
        parts = name.split("/")
        if any(part.startswith(".") and part not in {".", ".."} for part in parts):
            continue
        if not name.endswith(ENDINGS) and entry.mode not in {_LINK, _SUBMODULE}:
            continue
        if reason := _why_not(entry, parts):
            mistakes.append(_mistake(name, reason))
        else:
            files.append(entry)
    if not files and not mistakes:
        mistakes.append(_mistake("", f"The commit has no file that ends with {' or '.join(ENDINGS)}."))
    if len(files) > MAX_FILES:
        mistakes.append(_mistake("", f"There are more than {MAX_FILES} files."))
    if sum(entry.size for entry in files) > MAX_BYTES:
        mistakes.append(_mistake("", f"The files have more than {MAX_BYTES // 1_000_000} MB together."))
    if mistakes:
        raise ConfigurationRefused.of(mistakes)
    return files


def _why_not(entry: Entry, parts: Sequence[str]) -> str:
    if entry.mode == _SUBMODULE:
        return "A submodule has no place in a configuration; its files would be missing."
    if any(part in {"", ".", ".."} or _CONTROL.search(part) or len(part) > 200 for part in parts) or len(parts) > 20:
        return "The path leads elsewhere, is too long or has characters that no name of a file needs."
    return f"The file has more than {MAX_FILE_BYTES // 1_000_000} MB." if entry.size > MAX_FILE_BYTES else ""


def _mistake(file: str, message: str) -> Mistake:
    return Mistake(_CONTROL.sub("?", file)[:300], 0, "", message)


def _write_tree(folder: Path, files: Sequence[Entry], contents: Sequence[bytes], before: Path) -> None:
    """Write the files so that they survive a loss of power; a commit whose paths contradict each other is refused.

    A file that is the same in *before*, another version, is that one: waiting for the disk takes longer than all else.
    """
    folder.mkdir()
    folders = {folder}
    for entry, content in zip(files, contents, strict=True):
        name = os.fsdecode(entry.path)
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.mode == _LINK:
                path.symlink_to(_NOWHERE)
            elif _holds(before / name, content):
                path.hardlink_to(before / name)
            else:
                _write(path, content)
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigurationRefused.of([_mistake(path.name, "The commit has this path twice.")]) from error
        folders.update(parent for parent in path.parents if parent.is_relative_to(folder))
    for each in folders:
        _flush(each)


def _are_alike(one: Path, other: Path) -> bool:
    """Tell whether both folders hold the same: a version that somebody changed is none."""
    first, second = ({path.relative_to(top): path for path in top.rglob("*") if path.is_file()} for top in (one, other))
    return first.keys() == second.keys() and all(_holds(first[name], second[name].read_bytes()) for name in second)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
