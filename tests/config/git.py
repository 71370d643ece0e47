# SPDX-License-Identifier: BSD-3-Clause
"""A real git repository with a work tree, as an operator has one, and ways to commit what no operator would."""

import os
import subprocess
from collections.abc import Mapping
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
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=_ENV, input=stdin, check=True, capture_output=True, timeout=60
        )
        return done.stdout.decode().strip()

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
