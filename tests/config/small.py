# SPDX-License-Identifier: BSD-3-Clause
"""A small configuration as a tree: one HPC system with two login nodes, one option."""

from typing import Any

Tree = dict[str, Any]

LOGIN_NODES = {"jwlogin01": "127.31.0.1", "jwlogin02": "127.31.0.2"}
COMPUTE_NODES = {"jwc01": "127.31.1.1", "jwc02": "127.31.1.2"}


def tree(**changes: object) -> Tree:
    """The whole configuration, with *changes* at the top."""
    return {
        "hub": "demo",
        "identity_providers": {"centre": {"label": "Centre"}},
        "managers": {"unicoremgr": {"url": "http://127.0.0.1:2"}},
        "tunnelmgr": {"url": "http://127.0.0.1:3"},
        "systems": {"juwels": system()},
        "options": {"lab": {"label": "JupyterLab"}},
    } | changes


def system(**changes: object) -> Tree:
    """The system, with *changes*."""
    return {
        "label": "JUWELS",
        "manager": "unicoremgr",
        "unicore": {"url": "http://127.0.0.1:1/JUWELS/rest/core"},
        "jump_hosts": {
            name: {"host": address, "port": 22, "host_key": "ssh-ed25519 AAAA"} for name, address in LOGIN_NODES.items()
        },
        "lab_hosts": ["jwc*"],
        "account_keys": {"juwels": ["batch"]},
        "partitions": {
            "batch": {
                "resources": {
                    "nodes": {"label": "Nodes", "minimum": 1, "maximum": 4, "default": 1},
                    "runtime": {"label": "Runtime", "minimum": 10, "maximum": 120, "default": 60, "unit": "min"},
                }
            }
        },
    } | changes
