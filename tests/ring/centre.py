# SPDX-License-Identifier: BSD-3-Clause
"""The configuration of the running system in a test's hands: edits and real commits, taken back afterwards."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from jupyter_jsc.demo import folder as demo_folder


class Centre:
    """The working tree that the demo tells its users to edit."""

    def __init__(self, folder: demo_folder.Folder) -> None:
        self._folder = folder
        self.path = folder.repository

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, folder: demo_folder.Folder) -> AsyncIterator["Centre"]:
        """The configuration of a running demo; at the end its content is as it was, and in force."""
        found = cls(folder)
        before = found.head
        try:
            yield found
        finally:
            found.back_to(before)
            await found.until_in_force()

    @contextlib.contextmanager
    def edited(self, name: str) -> Iterator[dict[str, Any]]:
        """The content of a file, to be changed in the block."""
        path = self.path / name
        tree = yaml.safe_load(path.read_text("utf-8"))
        yield tree
        path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), "utf-8")

    def commit(self, message: str) -> str:
        """Commit everything as a user does; return the commit."""
        self.git("add", "--all")
        self.git("-c", "user.name=An operator", "-c", "user.email=op@example.org", "commit", "--quiet", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        """The newest commit."""
        return self.git("rev-parse", "HEAD")

    @property
    def published(self) -> str:
        """The version in force."""
        return (self._folder.published / "current").resolve().name

    @property
    def refusal(self) -> dict[str, Any]:
        """The report on a commit that was refused; empty if there is none."""
        try:
            return dict(json.loads((self._folder.published / "refused.json").read_text("utf-8")))
        except FileNotFoundError:
            return {}

    async def until_in_force(self) -> None:
        """Return once every service says that it uses the newest commit."""
        local = "http://127.0.0.1:{}/health/ready"
        addresses = [local.format(self._folder.ports[name]) for name in ("unicoremgr", "tunnelmgr")]
        addresses.append(f"{self._folder.address}hub/api/jsc/health/ready")
        head = self.head
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            for address in addresses:
                while await _version(session, address) != head:
                    await asyncio.sleep(0.02)

    def back_to(self, commit: str) -> None:
        """Commit the content of an earlier *commit*."""
        self.git("rm", "--quiet", "-r", ".")
        self.git("checkout", commit, "--", ".")
        if self.git("status", "--porcelain"):
            self.commit("As it was before the test")

    def git(self, *arguments: str) -> str:
        """Run git in the working tree and return what it prints."""
        done = subprocess.run(["git", *arguments], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()


async def _version(session: aiohttp.ClientSession, address: str) -> str:
    async with session.get(address) as response:
        return str((await response.json())["details"]["configuration"])


def without_system(path: Path, name: str) -> None:
    """Remove a system and every word about it, and about its partitions, from the files of *path*."""
    files = {file: yaml.safe_load(file.read_text("utf-8")) for file in path.rglob("*.yaml")}
    partitions: dict[str, set[str]] = {}
    for tree in files.values():
        for key, system in tree.get("systems", {}).items():
            partitions.setdefault(key, set()).update(system.get("partitions", {}))
    others = set().union(*(found for key, found in partitions.items() if key != name))
    gone = {name} | partitions[name] - others
    for file, tree in files.items():
        if (left := _without(tree, gone)) != tree:
            file.write_text(yaml.safe_dump(left, sort_keys=False, allow_unicode=True), "utf-8")


def _without(value: Any, gone: set[str]) -> Any:
    def about(part: Any) -> bool:
        return part in gone if isinstance(part, str) else isinstance(part, dict) and part.get("system") in gone

    if isinstance(value, dict):
        return {key: _without(part, gone) for key, part in value.items() if key not in gone and not about(part)}
    if isinstance(value, list):
        return [_without(part, gone) for part in value if not about(part)]
    return value
