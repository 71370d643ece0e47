# SPDX-License-Identifier: BSD-3-Clause
"""The objects of the demo cluster, their versions, and the log of changes that watches follow.

Called by :mod:`.api` and by the controllers. One version counter for all objects, as etcd has; each change is one step of
it. Everything happens in the event loop's thread.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jupyter_jsc.demo.kubernetes.objects import KINDS, Tree, expired, now

LOG_LENGTH = 20000


class Key(NamedTuple):
    """Where an object stands."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Change:
    """One step of the version counter."""

    version: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: Key
    object: Tree
    before: Tree | None


class Store:
    """All objects. What is stored is not changed by anybody: :meth:`put` replaces."""

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[str, dict[Key, Tree]] = {plural: {} for plural in KINDS}
        self._log: list[Change] = []
        self._first = 2
        self._dependents: dict[str, set[Key]] = {}
        self._uids: set[str] = set()
        self._changed = asyncio.Event()
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        """Every change, for the controllers."""

    def get(self, key: Key) -> Tree | None:
        """Return the object, None if there is none."""
        return self._objects[key.plural].get(key)

    def all(self, plural: str, namespace: str | None = None) -> list[Tree]:
        """Return the objects of a kind in the order of their names; of all namespaces without *namespace*."""
        found = self._objects[plural]
        keys = sorted(key for key in found if namespace is None or key.namespace == namespace)
        return [found[key] for key in keys]

    def dependents(self, uid: str) -> list[Key]:
        """Return what names the object of this uid as an owner."""
        return sorted(self._dependents.get(uid, ()))

    def has_uid(self, uid: str) -> bool:
        """Tell whether there is an object of this uid."""
        return uid in self._uids

    def put(self, key: Key, tree: Tree) -> Tree:
        """Store a new object or a new state of one; return it with its version."""
        before = self.get(key)
        self.version += 1
        kept = before["metadata"] if before else {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        metadata = {
            **tree.get("metadata", {}),
            "uid": kept["uid"],
            "creationTimestamp": kept["creationTimestamp"],
            "resourceVersion": str(self.version),
        }
        tree = {"kind": KINDS[key.plural].name, "apiVersion": "v1", **tree, "metadata": metadata}
        self._objects[key.plural][key] = tree
        self._uids.add(metadata["uid"])
        self._own(key, before, tree)
        self._note(Change(self.version, "MODIFIED" if before else "ADDED", key, tree, before))
        return tree

    def remove(self, key: Key) -> Tree:
        """Remove an object that is there; return its last state."""
        before = self._objects[key.plural].pop(key)
        self._uids.remove(before["metadata"]["uid"])
        self.version += 1
        tree = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.version)}}
        self._own(key, before, None)
        self._note(Change(self.version, "DELETED", key, tree, before))
        return tree

    def compact(self) -> None:
        """Forget all changes so far, as etcd does every five minutes: who follows an older version gets 410."""
        self._log.clear()
        self._first = self.version + 1

    def since(self, version: int) -> list[Change]:
        """Return the changes after *version*; raises 410 if some of them are forgotten."""
        if version + 1 < self._first:
            raise expired(version, self._first - 1)
        return self._log[version + 1 - self._first :]

    async def wait(self, version: int) -> None:
        """Return once there is a change after *version*."""
        while self.version <= version:
            await self._changed.wait()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _note(self, change: Change) -> None:
        self._log.append(change)
        self.changes.put_nowait(change)
        if len(self._log) > LOG_LENGTH:
            del self._log[: LOG_LENGTH // 2]
            self._first = self._log[0].version
        self.wake()

    def _own(self, key: Key, before: Tree | None, after: Tree | None) -> None:
        for uid in _owners(before):
            with contextlib.suppress(KeyError):
                self._dependents[uid].remove(key)
            if not self._dependents.get(uid):
                self._dependents.pop(uid, None)
        for uid in _owners(after):
            self._dependents.setdefault(uid, set()).add(key)


def _owners(tree: Tree | None) -> Iterator[str]:
    if tree:
        for owner in tree["metadata"].get("ownerReferences", ()):
            yield owner["uid"]
