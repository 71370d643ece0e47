# SPDX-License-Identifier: BSD-3-Clause
"""Server-side apply: who set which field, what conflicts, and what a repeated apply leaves as it was. Pure.

Called by :mod:`.api`. Fields are paths as in ``metadata.managedFields`` (``f:name``, ``k:{"name":"lab"}`` for entries of
lists that have keys); which lists have keys is what the API's schema says of the kinds that are here.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jupyter_jsc.demo.kubernetes.objects import ApiError, Tree, now

Path = tuple[str, ...]

_LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
_ATOMIC = {"selector", "nodeSelector", "fieldRef", "secretKeyRef", "configMapKeyRef", "resourceFieldRef"}
_MISSING = object()


def fields(tree: Mapping[str, Any]) -> set[Path]:
    """Return the fields that *tree* sets; kind and name of an object are nobody's."""
    metadata = {key: value for key, value in tree.get("metadata", {}).items() if key not in {"name", "namespace"}}
    own = {key: value for key, value in tree.items() if key not in {"kind", "apiVersion", "metadata", "status"}}
    return {path for path, _ in _leaves(own | ({"metadata": metadata} if metadata else {}), "", ())}


def created(tree: Tree, manager: str, operation: str) -> Tree:
    """Return *tree* as a new object of *manager*."""
    return _managed(tree, [_entry(manager, operation, fields(tree))])


def applied(live: Tree, config: Tree, manager: str, *, force: bool) -> Tree:
    """Return *live* with what *config* says and without what *manager* no longer says; *live* itself if nothing changes.

    Raises 409 for fields that others have set to other values, unless *force* is given.
    """
    entries = live["metadata"].get("managedFields", [])
    mine = [entry for entry in entries if (entry["manager"], entry["operation"]) == (manager, "Apply")]
    others = [entry for entry in entries if entry not in mine]
    wanted = fields(config)
    conflicts = list(_conflicts(live, config, others, wanted))
    if conflicts and not force:
        raise _conflict(conflicts)
    had = {path for entry in mine for path in paths(entry["fieldsV1"])}
    lost = {path for _, path in conflicts}
    kept = [(entry, set(paths(entry["fieldsV1"])) - lost) for entry in others]
    result = copy.deepcopy(live)
    held = wanted.union(*(owned for _, owned in kept))
    for path in sorted(had - held, key=len):
        if not _is_held(path, held):
            _remove(result, path)
    _merge(result, config)
    result["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    if result == live and had == wanted:
        return live
    left = [entry if owned == set(paths(entry["fieldsV1"])) else _with(entry, owned) for entry, owned in kept if owned]
    return _managed(result, [*left, _entry(manager, "Apply", wanted)])


def paths(tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Yield the fields of a ``fieldsV1``."""
    for name, below in tree.items():
        if name == ".":
            yield path
        elif below:
            yield from paths(below, (*path, name))
        else:
            yield (*path, name)


def _leaves(value: Any, name: str, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value and name not in _ATOMIC:
        for key, below in value.items():
            yield from _leaves(below, key, (*path, f"f:{key}"))
    elif isinstance(value, list) and value and (keys := _keys(name, value)):
        for item in value:
            place = (*path, _key_of(item, keys))
            yield place, None
            for key, below in item.items():
                yield from _leaves(below, key, (*place, f"f:{key}"))
    else:
        yield path, value


def _keys(name: str, items: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(item, dict) for item in items):
        return ()
    if name == "ports":
        return ("containerPort", "protocol") if any("containerPort" in item for item in items) else ("port", "protocol")
    keys = _LIST_KEYS.get(name, ())
    return keys if all(key in item for item in items for key in keys) else ()


def _key_of(item: Mapping[str, Any], keys: Sequence[str]) -> str:
    return "k:" + json.dumps({key: item.get(key, "TCP") for key in keys}, separators=(",", ":"), sort_keys=True)


def _conflicts(live: Tree, config: Tree, others: Sequence[Tree], wanted: set[Path]) -> Iterator[tuple[Tree, Path]]:
    for entry in others:
        for path in sorted(set(paths(entry["fieldsV1"])) & wanted):
            if not path[-1].startswith("k:") and _at(live, path) != _at(config, path):
                yield entry, path


def _conflict(conflicts: Sequence[tuple[Tree, Path]]) -> ApiError:
    said = [(f'conflict with "{entry["manager"]}" using v1', _dotted(path)) for entry, path in conflicts]
    if len(said) == 1:
        message = f"Apply failed with 1 conflict: {said[0][0]}: {said[0][1]}"
    else:
        lines = [f"{what.replace('conflict', 'conflicts', 1)}:\n- {place}" for what, place in said]
        message = f"Apply failed with {len(said)} conflicts: " + "\n".join(lines)
    causes = [{"reason": "FieldManagerConflict", "message": what, "field": place} for what, place in said]
    return ApiError(409, "Conflict", message, {"causes": causes})


def _dotted(path: Path) -> str:
    return "".join(f".{part[2:]}" if part.startswith("f:") else _bracketed(json.loads(part[2:])) for part in path)


def _bracketed(keys: Mapping[str, Any]) -> str:
    return "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"


def _entry(manager: str, operation: str, owned: set[Path]) -> Tree:
    entry = {"manager": manager, "operation": operation, "apiVersion": "v1", "time": now(), "fieldsType": "FieldsV1"}
    return _with(entry, owned)


def _with(entry: Tree, owned: set[Path]) -> Tree:
    tree: Tree = {}
    for path in sorted(owned):
        place = tree
        for part in path:
            place = place.setdefault(part, {})
    for path in owned:
        place = tree
        for part in path:
            place = place[part]
        if place:
            place["."] = {}
    return {**entry, "fieldsV1": tree}


def _managed(tree: Tree, entries: list[Tree]) -> Tree:
    return {**tree, "metadata": {**tree["metadata"], "managedFields": entries}}


def _step(value: Any, part: str) -> Any:
    if part.startswith("f:"):
        return value.get(part[2:], _MISSING) if isinstance(value, dict) else _MISSING
    if isinstance(value, list):
        wanted = json.loads(part[2:])
        for item in value:
            if isinstance(item, dict) and _key_of(item, sorted(wanted)) == part:
                return item
    return _MISSING


def _at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = _step(tree, part)
    return tree


def _is_held(path: Path, held: set[Path]) -> bool:
    """Tell whether an entry of a list has fields of somebody still, or a field is what the entry is known by."""
    if path[-1].startswith("k:"):
        return any(other[: len(path)] == path for other in held)
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def _remove(tree: Any, path: Path) -> None:
    """Remove a field, and the maps above it that are empty then."""
    above = _at(tree, path[:-1])
    found = _step(above, path[-1])
    if found is _MISSING:
        return
    if isinstance(above, list):
        above.remove(found)
    else:
        del above[path[-1][2:]]
    if not above and len(path) > 2:
        _remove(tree, path[:-1])


def _merge(live: Tree, config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        old = live.get(key, _MISSING)
        if isinstance(value, dict) and isinstance(old, dict) and key not in _ATOMIC:
            _merge(old, value)
        elif isinstance(value, list) and isinstance(old, list) and value and (keys := _keys(key, value)):
            _merge_list(old, value, keys)
        else:
            live[key] = copy.deepcopy(value)


def _merge_list(live: list[Any], config: Sequence[Any], keys: tuple[str, ...]) -> None:
    there = {_key_of(item, sorted(keys)): item for item in live}
    for item in config:
        key = _key_of(item, sorted(keys))
        if key in there:
            _merge(there[key], item)
        else:
            live.append(copy.deepcopy(item))
