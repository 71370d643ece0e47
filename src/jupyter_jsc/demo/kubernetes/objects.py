# SPDX-License-Identifier: BSD-3-Clause
"""Words of the Kubernetes API: kinds, times, and the errors as the API server writes them (``kind: Status``).

Used by every module of this package. Objects are plain trees of JSON; one that is stored is never changed, only replaced.
"""

import datetime as dt
import http
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of object, as it stands in URLs and in objects. All are of the core group, version v1."""

    plural: str
    name: str
    returns_deleted: bool = True
    """Whether the answer to a deletion is the object; else a Status."""


KINDS: Mapping[str, Kind] = {
    kind.plural: kind
    for kind in (
        Kind("pods", "Pod"),
        Kind("services", "Service"),
        Kind("secrets", "Secret", returns_deleted=False),
        Kind("persistentvolumeclaims", "PersistentVolumeClaim"),
        Kind("events", "Event", returns_deleted=False),
        Kind("namespaces", "Namespace", returns_deleted=False),
    )
}


@dataclass
class ApiError(Exception):
    """A refusal of the API server."""

    code: int
    reason: str
    message: str
    details: Tree = field(default_factory=dict)

    def tree(self) -> Tree:
        """Return the Status object."""
        tree: Tree = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        tree |= {"message": self.message}
        if self.reason:
            tree["reason"] = self.reason
        if self.details:
            tree["details"] = self.details
        return tree | {"code": self.code}


def not_found(plural: str, name: str) -> ApiError:
    """There is no such object."""
    return ApiError(404, "NotFound", f'{plural} "{name}" not found', {"name": name, "kind": plural})


def already_exists(plural: str, name: str) -> ApiError:
    """An object of that name is there."""
    return ApiError(409, "AlreadyExists", f'{plural} "{name}" already exists', {"name": name, "kind": plural})


def modified(plural: str, name: str, why: str = "") -> ApiError:
    """The object is not as the request expects it."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {plural} "{name}": {why}'
    return ApiError(409, "Conflict", message, {"name": name, "kind": plural})


def forbidden(plural: str, name: str, why: str) -> ApiError:
    """Admission refuses the object."""
    return ApiError(403, "Forbidden", f'{plural} "{name}" is forbidden: {why}', {"name": name, "kind": plural})


def bad_request(message: str) -> ApiError:
    """The request itself is wrong."""
    return ApiError(400, "BadRequest", message)


def expired(version: int, oldest: int) -> ApiError:
    """The watch begins before what is remembered."""
    return ApiError(410, "Expired", f"too old resource version: {version} ({oldest})")


def invalid(kind: str, name: str, causes: Sequence[tuple[str, str]]) -> ApiError:
    """The object breaks rules: field and what is wrong with it."""
    lines = [f"{place}: {what}" for place, what in causes]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details: Tree = {"name": name, "kind": kind}
    details["causes"] = [
        {
            "reason": "FieldValue" + what.split(":")[0].replace(" value", "").replace(" ", ""),
            "message": what,
            "field": at,
        }
        for at, what in causes
    ]
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def plain(code: int) -> ApiError:
    """The status alone, as a server in trouble answers."""
    phrase = http.HTTPStatus(code).phrase
    return ApiError(code, phrase.replace(" ", ""), f"an error on the server ({phrase!r}) has prevented the request")


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def later(seconds: float) -> str:
    """Return the time in *seconds*."""
    then = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")
