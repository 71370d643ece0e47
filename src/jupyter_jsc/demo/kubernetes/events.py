# SPDX-License-Identifier: BSD-3-Clause
"""Events as scheduler and kubelet write them: one object a pod, reason and message, counted when it happens again."""

import secrets
from collections import deque

from jupyter_jsc.demo.kubernetes.objects import Tree, now
from jupyter_jsc.demo.kubernetes.store import Key, Store

_MOST = 5000
"""How many events are kept; a real cluster keeps those of the last hour."""


class Recorder:
    """Writes events into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str, str], Key] = {}
        self._order: deque[tuple[str, str, str]] = deque()

    def warning(self, about: Tree, reason: str, message: str, component: str, host: str = "") -> None:
        """Record something that went wrong."""
        self._record("Warning", about, reason, message, component, host)

    def normal(self, about: Tree, reason: str, message: str, component: str, host: str = "") -> None:
        """Record something that went as it should."""
        self._record("Normal", about, reason, message, component, host)

    def _record(self, kind: str, about: Tree, reason: str, message: str, component: str, host: str) -> None:
        metadata = about["metadata"]
        same = (metadata["uid"], reason, message)
        key = self._known.get(same)
        if key and (before := self._store.get(key)):
            self._store.put(key, {**before, "count": before["count"] + 1, "lastTimestamp": now()})
            return
        key = Key("events", metadata["namespace"], f"{metadata['name']}.{secrets.token_hex(8)}")
        self._known[same] = key
        self._order.append(same)
        self._store.put(key, _event(kind, about, reason, message, component, host) | _name(key))
        while len(self._order) > _MOST:
            oldest = self._known.pop(self._order.popleft())
            if self._store.get(oldest):
                self._store.remove(oldest)


def _name(key: Key) -> Tree:
    return {"metadata": {"name": key.name, "namespace": key.namespace}}


def _event(kind: str, about: Tree, reason: str, message: str, component: str, host: str) -> Tree:
    metadata, time = about["metadata"], now()
    involved = {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")}
    return {
        "involvedObject": {"kind": about["kind"], "apiVersion": "v1", **involved},
        "reason": reason,
        "message": message,
        "source": {"component": component} | ({"host": host} if host else {}),
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": host,
    }
