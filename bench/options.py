# SPDX-License-Identifier: BSD-3-Clause
"""How long it takes to find what a user may start: ours, beside asking about every combination.

The user has 200 accounts on 10 systems with 6 options each and is in 3 groups; 20 reservations and 5 software sets.
Both give the same tree. ``first`` is what a new configuration costs once for a combination of groups; beside it stands
what it costs to load and check the example centre's.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.table import Row, percentile, row
from jupyter_jsc.config.load import load
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights.identity import Account, Facts, Identity, LiveLab
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.validate import validate
from tests.rights.naive import naive_options

RUNS = 2000
_FIRST_RUNS = 50
_NAIVE_RUNS = 20
_EXAMPLE = Path(__file__).parents[1] / "examples/config"
_NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
_PARTITIONS = ("batch", "devel", "gpus", "mem", "login", "vis")


def run() -> list[Row]:
    """Return the rows of the comparison."""
    configuration = big_configuration()
    identity = busy_identity()
    facts = Facts(now=_NOW, labs=(LiveLab("a", "s0", "o0"), LiveLab("b", "s1", "o1")), group_labs={"g1": 7})
    tree = options_for(identity, configuration, facts)
    if naive_options(identity, configuration, facts) != tree:
        raise AssertionError("both ways must find the same")
    ours = _times(lambda: options_for(identity, configuration, facts), RUNS)
    naive = _times(lambda: naive_options(identity, configuration, facts), _NAIVE_RUNS)
    fresh = iter([configuration.model_copy() for _ in range(_FIRST_RUNS)])
    first = _times(lambda: options_for(identity, next(fresh), facts), _FIRST_RUNS)
    raw = {"system": "s0", "option": "o0", "account": "user0", "project": "project0", "partition": "login"}
    check = _times(lambda: validate(raw, tree), RUNS)
    read = _times(lambda: load(_EXAMPLE), _FIRST_RUNS)
    return [
        *(
            row(f"options of a user, {label}", "ms", percentile(ours, share), RUNS, peer=percentile(naive, share))
            for label, share in (("p50", 0.5), ("p95", 0.95))
        ),
        row("the first with a new configuration, p50", "ms", percentile(first, 0.5), _FIRST_RUNS),
        row("options checked, p50", "ms", percentile(check, 0.5), RUNS),
        *(
            row(f"the example loaded and checked, {label}", "ms", percentile(read, share), _FIRST_RUNS)
            for label, share in (("p50", 0.5), ("p95", 0.95))
        ),
    ]


def _times(act: Callable[[], Any], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1000)
    return found


def busy_identity() -> Identity:
    """Return a user with 200 accounts, 20 on each system."""
    accounts = [
        Account(f"user{number % 2}", f"s{number % 10}_{number // 10 % 2}", f"project{number // 10 % 20}")
        for number in range(200)
    ]
    groups = [f"urn:geant:centre.example:group:vo{number}" for number in range(20)]
    return Identity("alice@centre.example", tuple(accounts), tuple(groups), "centre.password")


def big_configuration() -> Configuration:
    """Return a centre with 10 systems, where each user is in a group for everybody and may be in two more."""
    return Configuration.model_validate(
        {
            "hub": "portal",
            "identity_providers": {"centre": {"label": "Centre", "authenticators": ["centre.password"]}},
            "managers": {"m": {"url": "http://m"}},
            "tunnelmgr": {"url": "http://t"},
            "systems": {f"s{number}": _system(number) for number in range(10)},
            "options": {f"o{number}": _option(number) for number in range(6)},
            "software": {f"set{number}": _software(number) for number in range(5)},
            "groups": _groups(),
            "max_labs_per_user": 10,
            "reservations": {
                f"r{number}": {
                    "system": f"s{number % 10}",
                    "projects": [f"project{number % 7}", "training*"],
                    "partitions": ["batch"],
                    "ends": "2027-01-01T00:00:00Z",
                }
                for number in range(20)
            },
            "maintenance": {"m": {"systems": ["s3"], "partitions": ["gpus"], "begins": "2026-05-01T00:00:00Z"}},
        }
    )


def _system(number: int) -> dict[str, Any]:
    resources = {
        "nodes": {"label": "Nodes [{minimum}, {maximum}]", "minimum": 1, "maximum": 64, "default": 1},
        "runtime": {"label": "Runtime", "minimum": 10, "maximum": 1440, "default": 60, "step": 10, "unit": "min"},
    }
    interactive = {"login", "vis"}
    return {
        "label": f"System {number}",
        "manager": "m",
        "order": number,
        "unicore": {"url": "https://unicore.centre.example/rest/core"},
        "jump_hosts": {f"j{number}": {"host": "login.centre.example", "host_key": "ssh-ed25519 AAAA"}},
        "lab_hosts": ["*"],
        "account_keys": {f"s{number}_0": ["batch", "devel"], f"s{number}_1": ["gpus", "mem"]},
        "default_partitions": ["login", "vis"],
        "partitions": {
            key: {"kind": "interactive"} if key in interactive else {"resources": resources} for key in _PARTITIONS
        },
        "max_labs_per_user": 4,
    }


def _option(number: int) -> dict[str, Any]:
    kept = {"groups": ["g1", "g2"]} if number > 3 else {}
    allowed = {"projects": [f"project{number}*", "hpc-*"]} if number > 2 else {}
    return kept | {"label": f"JupyterLab 4.{number}", "order": number, "allowed": allowed, "max_labs_per_user": 5}


def _software(number: int) -> dict[str, Any]:
    items = {
        f"item{item}": {"label": f"Item {item}", "default": item == 0, "compute_only": item > 5} for item in range(8)
    }
    return {"label": f"Set {number}", "kind": "kernels", "items": items}


def _groups() -> dict[str, Any]:
    wide = {"system": "s0", "partition": "batch", "resource": "nodes", "minimum": 1, "maximum": 256}
    others = {
        f"vo{number}": {"label": "VO", "members": [{"entitlements": [f"urn:*:group:other{number}*"]}]}
        for number in range(20)
    }
    return others | {
        "g0": {"label": "Everybody", "members": [{"everybody": True}]},
        "g1": {"label": "VO 1", "members": [{"entitlements": ["urn:*:group:vo1"]}], "weight": 2, "ranges": [wide]},
        "g2": {
            "label": "VO 2",
            "members": [{"entitlements": ["urn:*:group:vo2"]}],
            "weight": 1,
            "options": {"o5": {"allowed": {"projects": ["*"], "reservations": ["r1*"]}}, "o4": {}},
            "max_labs": 100,
        },
    }
