# SPDX-License-Identifier: BSD-3-Clause
"""Requests of the administrator to the cluster's API server, by the standard library."""

import contextlib
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from tools.kubernetes import certificates
from tools.kubernetes.network import inside

_FIELD_MANAGER = "fieldManager=tools"


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


def request(method: str, path: str, body: object = None, *, media_type: str = "application/json") -> dict[str, Any]:
    """The answer to a request; :class:`Refused`, or :class:`OSError` if nobody answers."""
    token = (certificates.FOLDER / "tokens.csv").read_text().partition(",")[0]
    asked = urllib.request.Request(
        certificates.SERVER + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": media_type},
    )
    context = ssl.create_default_context(cafile=str(certificates.FOLDER / "ca.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with inside("node1"), opener.open(asked, timeout=30) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Refused(error.code, error.read().decode("utf-8", "replace")[:500]) from error
    return json.loads(text) if text.startswith("{") else {"text": text}


def apply(path: str, tree: dict[str, Any]) -> None:
    """Leave an object as *tree* says; *path* is that of its collection."""
    name = tree["metadata"]["name"]
    url = f"{path}/{name}?{_FIELD_MANAGER}&force=true"
    request("PATCH", url, tree, media_type="application/apply-patch+yaml")


def ready() -> bool:
    """Whether the API server says that it is ready."""
    with contextlib.suppress(OSError, Refused):
        return bool(request("GET", "/readyz")["text"] == "ok")
    return False


def ready_nodes() -> set[str]:
    """The names of nodes that are ready."""
    return {node["metadata"]["name"] for node in items("/api/v1/nodes") if _is_ready(node)}


def items(path: str) -> list[dict[str, Any]]:
    """All objects of a collection."""
    return list(request("GET", path)["items"])


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
