# SPDX-License-Identifier: BSD-3-Clause
"""Real git repositories: one with a work tree, as an operator has it, with ways to commit what no operator would; and a
bare one, as a server has it, into which thousands of commits are made in a second.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "operator@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


class Git:
    """The repository in *folder*, with the branch ``main``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self("init", "--quiet", "--initial-branch=main", "--template=")

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run a git command and return what it says."""
        return _run(self.folder, *arguments, stdin=stdin)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file of the work tree."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, *options: str) -> str:
        """Commit everything in the work tree; return the commit."""
        self("add", "--all")
        self("commit", "--quiet", "--allow-empty", "--message=change", *options)
        return self("rev-parse", "HEAD")

    def commit_tree(self, tree: Mapping[str, object], *options: str) -> str:
        """Commit a configuration as one file."""
        self.write("all.yaml", yaml.safe_dump(dict(tree), sort_keys=False))
        return self.commit(*options)

    def commit_entries(self, *entries: tuple[str, str, str]) -> str:
        """Commit files (mode, object, path) that no work tree could hold, beside what is there."""
        kept = self("ls-tree", "HEAD")
        lines = "".join(f"{mode} {_KINDS[mode]} {object_id}\t{path}\n" for mode, object_id, path in entries)
        tree = self("mktree", "--missing", stdin=(f"{kept}\n" if kept else "").encode() + lines.encode())
        commit = self("commit-tree", tree, "-p", "HEAD", "-m", "change")
        self("update-ref", "refs/heads/main", commit)
        return commit

    def blob(self, content: bytes) -> str:
        """Return the object of some content."""
        return self("hash-object", "-w", "--stdin", stdin=content)


_KINDS = {"100644": "blob", "120000": "blob", "160000": "commit", "040000": "tree"}


def _run(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=_ENV, input=stdin, check=True, capture_output=True, timeout=60
    )
    return done.stdout.decode().strip()


@dataclass(frozen=True)
class Change:
    """A commit to be made."""

    files: Mapping[str, tuple[str, bytes]]
    """Mode and content by path; the content of a submodule is the commit in it."""
    parent: int | None = 0
    """Which of the commits that are made with it comes before; None: it has no history."""


class Bare:
    """The repository in *folder*, without a work tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        _run(folder, "init", "--quiet", "--bare", "--initial-branch=main", "--template=")

    def make(self, changes: Sequence[Change]) -> list[str]:
        """Make commits, on no branch; return them in the same order."""
        marks = self.folder / "marks"
        stream = b"".join(_commit(number, change) for number, change in enumerate(changes))
        _run(self.folder, "fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin=stream)
        made = dict(line.split() for line in marks.read_text("ascii").splitlines())
        return [made[f":{number + 1}"] for number in range(len(changes))]

    def point(self, branch: str, commit: str | None) -> None:
        """Let a branch be at a commit, whatever it was before, as a push by force does; None: it is deleted."""
        ref = self.folder / "refs" / "heads" / branch
        if commit is None:
            ref.unlink(missing_ok=True)
        else:
            pushed = self.folder / f"{branch}.lock"
            pushed.write_text(f"{commit}\n", "ascii")
            pushed.replace(ref)


def _commit(number: int, change: Change) -> bytes:
    lines = [b"reset refs/made\n"] if change.parent is None else []
    lines += [b"commit refs/made\nmark :%d\ncommitter operator <operator@example.org> 1 +0000\n" % (number + 1)]
    lines += [b"data 6\nchange\n"]
    lines += [] if change.parent is None else [b"from :%d\n" % (change.parent + 1)]
    for path, (mode, content) in change.files.items():
        if mode == "160000":
            lines += [b"M 160000 %s %s\n" % (content, path.encode())]
        else:
            lines += [b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), path.encode(), len(content), content)]
    return b"".join(lines) + b"\n"
