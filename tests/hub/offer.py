# SPDX-License-Identifier: BSD-3-Clause
"""A small centre that has everything that pages show: two machines and a cluster, groups, reservations, software, news."""

import json
from datetime import UTC, datetime

from jupyter_jsc.config.manifests import default_template
from jupyter_jsc.config.model import Configuration

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NODES = {"label": {"en": "Nodes", "de": "Knoten"}, "minimum": 1, "maximum": 4, "default": 1}
RUNTIME = {"label": "Runtime", "minimum": 10, "maximum": 120, "default": 60, "step": 5, "unit": "min"}
CARD = {
    "label": "Graphics card ({minimum} to {maximum})",
    "minimum": 0,
    "maximum": 3,
    "default": 1,
    "checkbox": {"label": {"en": "Start an X server", "de": "X-Server starten"}},
    "environment": "CARD",
}
SCRATCH = {
    "label": "Scratch",
    "minimum": 1,
    "maximum": 1,
    "default": 1,
    "checkbox": {"label": "Local disk", "default": True},
    "environment": "SCRATCH",
}
IMAGES = {
    "science": {
        "label": "Data science",
        "description": {"en": "Much.", "de": "Viel."},
        "image": "registry.example/s:1",
    },
    "minimal": {"label": "Minimal", "image": "registry.example/m:1"},
}
LARGE = {
    "cpus": {"label": {"en": "Cores", "de": "Kerne"}, "minimum": 1, "maximum": 8, "default": 2},
    "memory": {"label": "Memory", "minimum": 2, "maximum": 64, "default": 8, "unit": "GB"},
    "home": {"label": "Home", "minimum": 10, "maximum": 50, "default": 10, "step": 10, "unit": "GB"},
    "runtime": {"label": "Runtime", "minimum": 60, "maximum": 600, "default": 480, "step": 60, "unit": "min"},
}


def _without_home():
    """The portal's own template for labs that keep nothing."""
    plain = json.loads(json.dumps(default_template()))
    manifests = [one for one in plain if one["kind"] != "PersistentVolumeClaim"]
    spec = manifests[-1]["spec"]
    spec["volumes"] = [one for one in spec["volumes"] if one["name"] != "home"]
    [container] = spec["containers"]
    container["volumeMounts"] = [one for one in container["volumeMounts"] if one["name"] != "home"]
    return manifests


def _system(label, order, **more):
    return {
        "label": label,
        "order": order,
        "manager": "m",
        "jump_hosts": {f"l{order}": {"host": "127.0.0.1", "host_key": "ssh-ed25519 AAAA"}},
        "lab_hosts": ["*", "svc-*.userlabs.svc"],
    } | more


def tree(manager="http://127.0.0.1:1"):
    """The configuration as a tree."""
    unicore = {"unicore": {"url": "http://127.0.0.1:1/rest/core"}}
    return {
        "hub": "test",
        "support": "support@example.org",
        "identity_providers": {
            "jsc": {"label": "JSC account", "description": {"en": "For members.", "de": "Für Mitglieder."}}
        },
        "managers": {"m": {"url": manager}},
        "tunnelmgr": {"url": manager},
        "options": {
            "new": {
                "label": "JupyterLab 4.6",
                "default": True,
                "order": 1,
                "container": {"images": dict(IMAGES), "manifests": _without_home()},
            },
            "old": {
                "label": "JupyterLab 4.5",
                "order": 2,
                "deprecated": {"en": "Ends in June.", "de": "Endet im Juni."},
                "allowed": {"systems": ["juwels"]},
            },
            "desktop": {"label": "Desktop", "order": 3, "allowed": {"systems": ["juwels"], "partitions": ["login"]}},
        },
        "systems": {
            "juwels": _system(
                "JUWELS",
                1,
                description={"en": "General purpose.", "de": "Für alles."},
                account_keys={"juwels": ["batch", "devel"], "login": ["login"]},
                default_partitions=["login"],
                partitions={
                    "login": {"label": "Login node", "kind": "interactive", "resources": {"card": CARD}},
                    "batch": {"label": "Batch", "resources": {"nodes": NODES, "runtime": RUNTIME, "scratch": SCRATCH}},
                    "devel": {"resources": {"nodes": NODES | {"maximum": 2}}},
                },
                **unicore,
            ),
            "jureca": _system(
                "JURECA",
                2,
                account_keys={"jureca": ["dc-gpu"]},
                default_partitions=["login"],
                partitions={
                    "login": {"label": "Login node", "kind": "interactive"},
                    "dc-gpu": {"resources": {"nodes": NODES}},
                },
                **unicore,
            ),
            "cloud": _system(
                "Cloud",
                3,
                kind="kubernetes",
                kubernetes={},
                partitions={
                    "small": {"kind": "interactive"},
                    "large": {"label": "Large", "kind": "interactive", "resources": LARGE},
                },
            ),
        },
        "software": {
            "kernels": {
                "label": {"en": "Kernels", "de": "Kernel"},
                "kind": "kernels",
                "items": {
                    "python": {"label": "Python", "default": True, "documentation": "https://docs.example.org/python"},
                    "julia": {"label": "Julia", "options": ["new"], "description": {"en": "Fast.", "de": "Schnell."}},
                    "jax": {"label": "JAX", "compute_only": True},
                },
            },
            "git": {"label": "Git", "kind": "extensions", "items": {"git": {"label": "Git", "default": ["new"]}}},
        },
        "groups": {
            "all": {"label": "Everybody", "members": [{"patterns": ["a*", "n*", "o*"]}], "weight": 99},
            "friends": {
                "label": "Friends",
                "description": {"en": "Of the house.", "de": "Des Hauses."},
                "members": [{"users": ["alice"]}],
                "weight": 5,
                "options": {"new": {"allowed": {"systems": ["juwels"]}}},
            },
            "guests": {
                "label": "Guests",
                "members": [{"users": ["nora"]}],
                "weight": 9,
                "exclusive": True,
                "options": {"new": {"allowed": {"systems": ["juwels", "jureca"]}}},
            },
        },
        "reservations": {
            "course": {
                "system": "juwels",
                "projects": ["hai"],
                "partitions": ["batch"],
                "ends": "2030-01-01T12:00:00Z",
                "description": {"en": "For the course.", "de": "Für den Kurs."},
            },
            "later": {
                "system": "juwels",
                "projects": ["hai"],
                "partitions": ["batch"],
                "begins": "2029-01-01T12:00:00Z",
            },
        },
        "texts": {
            "submitted": {
                "text": {"en": "{text}", "de": "{option} geht an {system} ({partition}, {project})."},
                "progress": 7,
            }
        },
        "announcements": {
            "news": {"title": {"en": "There is news", "de": "Es gibt Neues"}, "text": "Read <it>."},
            "friends": {"title": "Hello friends", "level": "warning", "groups": ["friends"]},
            "over": {"title": "Long over", "ends": "2020-01-01T00:00:00Z"},
        },
        "maintenance": {
            "jureca": {
                "systems": ["jureca"],
                "begins": "2020-01-01T00:00:00Z",
                "text": {"en": "New disks.", "de": "Neue Platten."},
            }
        },
    }


CONFIGURATION = Configuration.model_validate(tree())
