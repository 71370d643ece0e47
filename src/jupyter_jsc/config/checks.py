# SPDX-License-Identifier: BSD-3-Clause
"""Contradictions between parts of a configuration that the model cannot see in one place.

Each check is a function of the raw tree that yields findings, and only about what is certainly a mistake. The tree may
be wrong in any way: what has not the expected form is passed over, :mod:`.structure` names it. Called by :mod:`.load`.
"""

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from jupyter_jsc.config import cluster_checks
from jupyter_jsc.config.findings import Finding, listed, sections, shown, value_at

Tree = dict[str, Any]
MINUTES_A_DAY = 24 * 60


def contradictions(tree: Tree) -> Iterator[Finding]:
    """Yield everything that contradicts something else."""
    for check in CHECKS:
        yield from check(tree)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _numbers(section: Tree, *names: str) -> list[int] | None:
    found = [section.get(name) for name in names]
    return found if all(type(number) is int for number in found) else None  # type: ignore[return-value]


def _jump_hosts_differ(tree: Tree) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for system, section in sections(tree, "systems"):
        for key, _ in sections(section, "jump_hosts"):
            if key in first:
                message = f"The jump host `{shown(key)}` stands at the system {shown(first[key])} already."
                yield Finding(("systems", system, "jump_hosts", key), message, "a key of its own", at_key=True)
            first.setdefault(key, system)


def _account_keys_open(tree: Tree) -> Iterator[Finding]:
    for system, section in sections(tree, "systems"):
        keys = section.get("account_keys")
        for key, partitions in keys.items() if isinstance(keys, dict) else ():
            if partitions == []:
                yield Finding(("systems", system, "account_keys", key), "The account key opens no partition.")


def _networks_exist(tree: Tree) -> Iterator[Finding]:
    for system, section in sections(tree, "systems"):
        hosts = section.get("lab_hosts")
        for number, host in enumerate(hosts) if isinstance(hosts, list) else ():
            if not isinstance(host, str) or "/" not in host:
                continue
            try:
                ipaddress.ip_network(host)
            except ValueError:
                message = f"`{shown(host)}` is no network."
                allowed = "a pattern such as jwc*, or a network without host bits such as 10.1.0.0/16"
                yield Finding(("systems", system, "lab_hosts", number), message, allowed)


def _ranges(tree: Tree) -> Iterator[tuple[str, int, Tree]]:
    for group, section in sections(tree, "groups"):
        ranges = section.get("ranges")
        for number, entry in enumerate(ranges) if isinstance(ranges, list) else ():
            if isinstance(entry, dict):
                yield group, number, entry


def _ranges_fit(tree: Tree) -> Iterator[Finding]:
    """A group's limits must be values that the resource can have: its minimum and whole steps."""
    seen: set[tuple[Any, ...]] = set()
    for group, number, entry in _ranges(tree):
        names = [entry.get(name) for name in ("system", "partition", "resource")]
        if not all(isinstance(name, str) for name in names):
            continue
        if (group, *names) in seen:
            path = ("groups", group, "ranges", number)
            yield Finding(path, "This group has other limits for the same resource already.")
        seen.add((group, *names))
        resource = value_at(tree, ("systems", names[0], "partitions", names[1], "resources", names[2]))  # type: ignore[arg-type]
        yield from _steps_fit(group, number, entry, resource)


def _steps_fit(group: str, number: int, entry: Tree, resource: Any) -> Iterator[Finding]:
    if not isinstance(resource, dict) or not (first := _numbers(resource, "minimum")):
        return
    step = resource.get("step", 1)
    if type(step) is not int or step < 1:
        return
    for name in ("minimum", "default"):
        value = entry.get(name)
        if type(value) is int and (value - first[0]) % step:
            message = f"`{value}` is not the resource's minimum {first[0]} plus or minus whole steps of {step}."
            yield Finding(("groups", group, "ranges", number, name), message)


def _exclusive_groups_are_ordered(tree: Tree) -> Iterator[Finding]:
    first: dict[int, str] = {}
    for group, section in sections(tree, "groups"):
        weight = section.get("weight", 99)
        if section.get("exclusive") is not True or type(weight) is not int:
            continue
        if weight in first:
            message = f"The exclusive group {shown(first[weight])} has the weight {weight} too, so neither wins."
            path = ("groups", group, "weight") if "weight" in section else ("groups", group)
            yield Finding(path, message, "a weight of its own")
        first.setdefault(weight, group)


def _defaults_start(tree: Tree) -> Iterator[Finding]:
    """The default option can be started by somebody, and should be used."""
    groups = [section for _, section in sections(tree, "groups")]
    for option, section in sections(tree, "options"):
        path = ("options", option, "default")
        if section.get("default") is not True:
            continue
        if section.get("deprecated") is not None:
            yield Finding(path, "A deprecated option is no default.")
        lists = [group.get("options") for group in groups]
        kept = groups and all(isinstance(names, dict) and option not in names for names in lists)
        if kept or section.get("groups") == []:
            yield Finding(path, "No group may start this option, so it is no default.", misses=(option,))


def _software_defaults_are_allowed(tree: Tree) -> Iterator[Finding]:
    for name, section in sections(tree, "software"):
        for item, software in sections(section, "items"):
            defaults, allowed = software.get("default"), software.get("options")
            if not isinstance(defaults, list) or not isinstance(allowed, list):
                continue
            for number, option in enumerate(defaults):
                if option not in allowed:
                    path = ("software", name, "items", item, "default", number)
                    message = f"`{shown(option)}` is not among the `options` of this item."
                    yield Finding(path, message, listed(_texts(allowed)))


def _partitions_of(tree: Tree, systems: list[str]) -> list[str] | None:
    """Return the partitions of these systems; None if one of the systems is not there, which is another mistake."""
    found: dict[str, None] = {}
    for system in systems:
        partitions = value_at(tree, ("systems", system, "partitions"))
        if not isinstance(partitions, dict):
            return None
        found.update(dict.fromkeys(partitions))
    return list(found)


def _maintenance_hits(tree: Tree) -> Iterator[Finding]:
    for key, section in sections(tree, "maintenance"):
        there = _partitions_of(tree, systems := _texts(section.get("systems")))
        if there is None or not systems:
            continue
        for number, partition in enumerate(_texts(section.get("partitions"))):
            if partition not in there:
                message = f"None of these systems has a partition `{shown(partition)}`."
                path = ("maintenance", key, "partitions", number)
                yield Finding(path, message, listed(there), misses=(partition,))


def _reservations_are_of_batch_systems(tree: Tree) -> Iterator[Finding]:
    for key, section in sections(tree, "reservations"):
        system = section.get("system")
        if isinstance(system, str) and value_at(tree, ("systems", system, "kind")) == "kubernetes":
            message = f"The cluster `{shown(system)}` has no reservations."
            yield Finding(("reservations", key, "system"), message, "a system of the kind unicore")


def _filters_match_something(tree: Tree) -> Iterator[Finding]:
    """Lists of systems and partitions that must both hold have something in common."""
    filters: list[tuple[tuple[str, ...], Tree]] = []
    for option, section in sections(tree, "options"):
        if isinstance(own := section.get("allowed"), dict):
            filters.append((("options", option, "allowed"), own))
    for group, section in sections(tree, "groups"):
        for option, inner in sections(section, "options"):
            if isinstance(allowed := inner.get("allowed"), dict):
                own = value_at(tree, ("options", option, "allowed"))
                merged = {**own, **allowed} if isinstance(own, dict) else allowed
                filters.append((("groups", group, "options", option, "allowed"), merged))
    filters += [(("jobs", key), section) for key, section in sections(tree, "jobs")]
    for path, section in filters:
        systems, partitions = _texts(section.get("systems")), _texts(section.get("partitions"))
        there = _partitions_of(tree, systems)
        if systems and partitions and there is not None and not set(partitions) & set(there):
            message = "None of its `systems` has one of its `partitions`."
            yield Finding(path, message, listed(there), misses=tuple(partitions))


def _versions_outlive_labs(tree: Tree) -> Iterator[Finding]:
    """A lab's version of the configuration is kept while it runs."""
    days = value_at(tree, ("retention", "versions_days"))
    runtimes = [
        (entry.get("maximum"), f"group {shown(group)}")
        for group, _, entry in _ranges(tree)
        if entry.get("resource") == "runtime"
    ]
    for system, section in sections(tree, "systems"):
        for _, partition in sections(section, "partitions"):
            runtimes += [
                (resource.get("maximum"), f"system {shown(system)}")
                for key, resource in sections(partition, "resources")
                if key == "runtime"
            ]
    longest, whose = max(((number, whose) for number, whose in runtimes if type(number) is int), default=(0, ""))
    if type(days) is int and days * MINUTES_A_DAY < longest:
        message = f"Labs may run for {longest} minutes ({whose}), longer than {days} days."
        yield Finding(("retention", "versions_days"), message)


CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    _jump_hosts_differ,
    _account_keys_open,
    _networks_exist,
    _ranges_fit,
    _exclusive_groups_are_ordered,
    _defaults_start,
    _software_defaults_are_allowed,
    _maintenance_hits,
    _reservations_are_of_batch_systems,
    _filters_match_something,
    _versions_outlive_labs,
    *cluster_checks.CHECKS,
)
