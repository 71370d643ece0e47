# SPDX-License-Identifier: BSD-3-Clause
"""How objects go: at once, or marked until their processes have ended; and the garbage collector, which follows owners.

:func:`delete` is called by :mod:`.api` and by what evicts pods; :func:`collect` by :mod:`.controllers` for each change.
"""

from jupyter_jsc.demo.kubernetes.objects import Tree, later
from jupyter_jsc.demo.kubernetes.store import Change, Key, Store

_FOREGROUND = "foregroundDeletion"


def delete(store: Store, key: Key, options: Tree) -> Tree:
    """Delete an object that is there; return it as it is left: a pod that runs is only marked, its kubelet removes it."""
    tree = store.get(key)
    assert tree is not None
    policy = options.get("propagationPolicy") or "Background"
    if policy == "Orphan":
        for dependent in store.dependents(tree["metadata"]["uid"]):
            _disown(store, dependent, tree["metadata"]["uid"])
    grace = _grace(tree, options) if key.plural == "pods" else 0
    waits = policy == "Foreground" and bool(store.dependents(tree["metadata"]["uid"]))
    if not grace and not waits:
        return store.remove(key)
    marked = dict(tree["metadata"])
    if "deletionTimestamp" not in marked or grace < marked.get("deletionGracePeriodSeconds", grace):
        marked |= {"deletionTimestamp": later(grace), "deletionGracePeriodSeconds": grace}
    if waits:
        marked["finalizers"] = [*{*marked.get("finalizers", []), _FOREGROUND}]
    return tree if marked == tree["metadata"] else store.put(key, {**tree, "metadata": marked})


def collect(store: Store, change: Change) -> None:
    """Delete what *change* leaves without an owner."""
    metadata = change.object["metadata"]
    if change.type == "DELETED" or _FOREGROUND in metadata.get("finalizers", ()):
        for dependent in store.dependents(metadata["uid"]):
            _collect(store, dependent, gone=metadata["uid"])
    if change.type == "DELETED":
        for owner in metadata.get("ownerReferences", ()):
            _finish(store, owner, change.key.namespace)
    elif change.type == "ADDED" and metadata.get("ownerReferences"):
        owners = metadata["ownerReferences"]
        if not any(store.has_uid(owner["uid"]) for owner in owners):
            _collect(store, change.key, gone="")


def _collect(store: Store, key: Key, *, gone: str) -> None:
    tree = store.get(key)
    if tree is None:
        return
    owners = [owner for owner in tree["metadata"].get("ownerReferences", ()) if owner["uid"] != gone]
    if any(store.has_uid(owner["uid"]) for owner in owners):
        _disown(store, key, gone)
    elif "deletionTimestamp" not in tree["metadata"]:
        delete(store, key, {"propagationPolicy": "Background"})


def _disown(store: Store, key: Key, uid: str) -> None:
    tree = store.get(key)
    if tree is not None:
        owners = [owner for owner in tree["metadata"]["ownerReferences"] if owner["uid"] != uid]
        store.put(key, {**tree, "metadata": {**tree["metadata"], "ownerReferences": owners}})


def _finish(store: Store, owner: Tree, namespace: str) -> None:
    """Remove an owner that waited for the last of its dependents."""
    if store.dependents(owner["uid"]):
        return
    key = Key(owner["kind"].lower() + "s", namespace, owner["name"])
    tree = store.get(key)
    if tree and tree["metadata"]["uid"] == owner["uid"] and _FOREGROUND in tree["metadata"].get("finalizers", ()):
        store.remove(key)


def _grace(pod: Tree, options: Tree) -> int:
    """Return how long the pod may take; 0 for one that runs nowhere."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in {"Succeeded", "Failed"}:
        return 0
    grace = options.get("gracePeriodSeconds")
    return int(pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else max(int(grace), 0))
