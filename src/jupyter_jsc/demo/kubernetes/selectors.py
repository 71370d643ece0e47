# SPDX-License-Identifier: BSD-3-Clause
"""Label and field selectors of list and watch requests. Pure; called by :mod:`.api`."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_jsc.demo.kubernetes.objects import Tree, bad_request

Selector = Callable[[Tree], bool]

_SPLIT = re.compile(r",(?![^()]*\))")
_SET = re.compile(r"^([\w./-]+)\s+(in|notin)\s+\(([^()]*)\)$")
_EQUAL = re.compile(r"^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$")
_EXISTS = re.compile(r"^(!?)\s*([\w./-]+)$")
_FIELDS = {
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "status.phase",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.kind",
    "involvedObject.namespace",
    "reason",
    "type",
}


def selector(labels: str, fields: str) -> Selector:
    """Return what tells whether an object is meant; raises 400 for what is no selector."""
    tests = [_label(part.strip()) for part in _SPLIT.split(labels) if part.strip()]
    tests += [_field(part.strip()) for part in fields.split(",") if part.strip()]
    return lambda tree: all(test(tree) for test in tests)


def _label(part: str) -> Selector:
    if found := _SET.match(part):
        values = {value.strip() for value in found[3].split(",")}
        return _one_of(found[1], values, wanted=found[2] == "in")
    if found := _EQUAL.match(part):
        return _one_of(found[1], {found[3]}, wanted=found[2] != "!=")
    if found := _EXISTS.match(part):
        there, key = not found[1], found[2]
        return lambda tree: (key in _labels(tree)) is there
    raise bad_request(f"unable to parse requirement: found {part!r}, expected: identifier")


def _one_of(key: str, values: set[str], *, wanted: bool) -> Selector:
    return lambda tree: (_labels(tree).get(key) in values) is wanted


def _labels(tree: Tree) -> Mapping[str, str]:
    return tree["metadata"].get("labels") or {}


def _field(part: str) -> Selector:
    found = _EQUAL.match(part)
    if not found or found[1] not in _FIELDS:
        raise bad_request(f"field label not supported: {part.partition('=')[0].rstrip('!')}")
    path, wanted, value = found[1].split("."), found[2] != "!=", found[3]
    return lambda tree: (str(_at(tree, path)) == value) is wanted


def _at(tree: Any, path: list[str]) -> Any:
    for name in path:
        tree = tree.get(name, "") if isinstance(tree, dict) else ""
    return tree
