# SPDX-License-Identifier: BSD-3-Clause
"""What requests say: kind, body, query; the refusals of those that say nothing sensible. Called by :mod:`.api`."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import yaml
from starlette.requests import Request

from jupyter_jsc.demo.kubernetes.objects import KINDS, ApiError, Kind, Tree, bad_request, invalid
from jupyter_jsc.demo.kubernetes.store import Key


def kind(request: Request) -> Kind:
    """Return the kind that the path names; raises 404 for one that is not there."""
    found = KINDS.get(request.path_params["plural"])
    if found is None or found.plural == "namespaces":
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    return found


async def body(request: Request, *, empty: bool = False) -> Tree:
    """Return the body, JSON or YAML."""
    body = await request.body()
    if not body and empty:
        return {}
    try:
        tree = json.loads(body)
    except ValueError:
        try:
            tree = yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(tree, dict):
        raise bad_request("the object provided is unrecognized: it must be a map")
    return tree


def named(tree: Tree, kind: Kind, namespace: str, name: str) -> Key:
    """Return where the object of a request belongs; raises 400 if it says otherwise."""
    if (tree.get("apiVersion"), tree.get("kind")) != ("v1", kind.name):
        found = f"{tree.get('apiVersion')}, Kind={tree.get('kind')}"
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.name}): {found}")
    metadata = tree.get("metadata") or {}
    if metadata.get("namespace") not in {None, "", namespace}:
        why = f"the namespace of the provided object does not match the namespace sent on the request ({namespace})"
        raise bad_request(why)
    own = str(metadata.get("name") or "")
    if name and own not in {"", name}:
        raise bad_request(f"the name of the object ({own}) does not match the name on the URL ({name})")
    if not (own or name):
        raise invalid(kind.name, "", [("metadata.name", "Required value: name or generateName is required")])
    return Key(kind.plural, namespace, name or own)


def number(query: Mapping[str, Any], name: str) -> int | None:
    """Return a number of the query, None if it is not there."""
    value = query.get(name)
    if value is None:
        return None
    if not value.isdecimal():
        raise bad_request(f'{name}: Invalid value: "{value}": must be a number')
    return int(value)


def place(tree: Tree) -> tuple[str, str]:
    """Return where an object stands in the order of lists."""
    return tree["metadata"]["namespace"], tree["metadata"]["name"]


def token(version: int, last: tuple[str, str]) -> str:
    """Return what a list is continued by."""
    return base64.urlsafe_b64encode(json.dumps([version, *last]).encode()).decode("ascii")


def continued(text: str) -> tuple[int, tuple[str, str]]:
    """Return the version and the last place of a list that is continued."""
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(text))
    except ValueError as error:
        raise bad_request("continue key is not valid") from error
    return int(version), (namespace, name)
