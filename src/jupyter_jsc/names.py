# SPDX-License-Identifier: BSD-3-Clause
"""Names and ids: everything that is made outside the portal carries one that comes from here.

Pure functions, called by the hub (ids), the site drivers (tags) and TunnelMgr (endpoint names).
"""

import base64
import hashlib
import json
import re
import secrets

LAB_ID = re.compile(r"^lab-[a-z2-7]{26}$")
START_ID = re.compile(r"^s[a-z2-7]{16}$")
SERVER_NAME = re.compile(r"^[a-z](?:-?[a-z0-9])*$")
SERVER_NAME_LENGTH = 30
"""What JupyterHub 6 allows as the name of a server: 1 to 30 characters, no double hyphen."""


def lab_id(hub: str, user: str, server: str) -> str:
    """Return the id of a lab: a DNS-1035 label of 30 characters, the same for the same three names.

    The names may be any text. They are hashed as a JSON list, so that no two different triples look
    alike, and 130 bits of SHA-256 keep the ids apart.
    """
    digest = hashlib.sha256(json.dumps([hub, user, server]).encode("ascii")).digest()
    return "lab-" + _base32(digest)[:26]


def user_id(hub: str, user: str) -> str:
    """Return the id of a hub's user: a part of a DNS label, 26 characters, the same for the same two names."""
    digest = hashlib.sha256(json.dumps([hub, user]).encode("ascii")).digest()
    return _base32(digest)[:26]


def service_name(lab_id: str) -> str:
    """Return the name of a lab's Service in a cluster, a DNS-1035 label."""
    return f"svc-{lab_id}"


def service_host(lab_id: str, namespace: str) -> str:
    """Return the host at which the SSH service of a cluster reaches a lab, the only one that a tunnel to it may have."""
    return f"{service_name(lab_id)}.{namespace}.svc"


def new_start_id() -> str:
    """Return a random id for one start: 17 characters, unguessable (80 bits)."""
    return "s" + _base32(secrets.token_bytes(10))


def server_name(title: str, taken: frozenset[str] | set[str] = frozenset()) -> str:
    """Return a name for a new server that JupyterHub accepts, close to *title* and not in *taken*."""
    slug = "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:SERVER_NAME_LENGTH].strip("-")
    if not slug or not slug[0].isalpha():
        slug = f"lab-{slug}"[:SERVER_NAME_LENGTH].strip("-")
    name, number = slug, 2
    while name in taken:
        suffix = f"-{number}"
        name = slug[: SERVER_NAME_LENGTH - len(suffix)].strip("-") + suffix
        number += 1
    return name


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()
