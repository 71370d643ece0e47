# SPDX-License-Identifier: BSD-3-Clause
"""What clusters, their partitions, and the options that run in them say against each other. Pure.

Checks as in :mod:`.checks`, which calls them: functions of the raw tree that pass over what has not the expected form.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from jupyter_jsc import names
from jupyter_jsc.config.clusters import Cluster
from jupyter_jsc.config.document import Path
from jupyter_jsc.config.findings import Finding, listed, sections, shown, value_at
from jupyter_jsc.config.manifest_checks import CLAIM, PLACES, faults, referred
from jupyter_jsc.config.manifests import default_template
from jupyter_jsc.config.privileges import asked
from jupyter_jsc.config.systems import KNOWN_RESOURCES, KNOWN_TO_CLUSTERS, PartitionKind, SystemKind, allows

Tree = dict[str, Any]

_NAMESPACE = re.compile(r"[a-z0-9-]{1,63}")
_SOME_LAB = "lab-" + "a" * 26


def _systems(tree: Tree, kind: SystemKind) -> list[tuple[str, Tree]]:
    """Return the systems of a kind, without those that do not say how they are reached."""
    systems = sections(tree, "systems")
    return [(key, system) for key, system in systems if system.get("kind", "unicore") == kind and kind in system]


def _clusters(tree: Tree) -> list[tuple[str, Tree]]:
    return _systems(tree, SystemKind.KUBERNETES)


def _partitions(systems: list[tuple[str, Tree]]) -> Iterator[tuple[Path, Tree]]:
    for system, section in systems:
        for key, partition in sections(section, "partitions"):
            yield ("systems", system, "partitions", key), partition


def partitions_fit_their_system(tree: Tree) -> Iterator[Finding]:
    """Queues and resources of a batch system are where there is one."""
    used = {name for _, option in sections(tree, "options") for _, name in referred(option.get("container"))}
    for path, partition in _partitions(_clusters(tree)):
        yield from _of_cluster(path, partition)
        for key, resource in sections(partition, "resources"):
            yield from _resource_of_cluster((*path, "resources", key), key, resource, used)
    for path, partition in _partitions(_systems(tree, SystemKind.UNICORE)):
        for key, resource in sections(partition, "resources"):
            yield from _resource_of_hpc((*path, "resources", key), key, resource, str(partition.get("kind")))


def _resource_of_hpc(path: Path, key: str, resource: Tree, kind: str) -> Iterator[Finding]:
    if resource.get("environment"):
        return
    if kind == PartitionKind.INTERACTIVE:
        said = f"An interactive partition has no resources of a batch system, so `{shown(key)}` goes nowhere."
        yield Finding(path, said, "one with `environment`", misses=("environment",))
    elif key not in KNOWN_RESOURCES and not resource.get("unicore"):
        said = f"`{shown(key)}` is not known to batch systems, so it goes nowhere."
        allowed = f"{listed(sorted(KNOWN_RESOURCES))}, or one with `unicore` or `environment`"
        yield Finding(path, said, allowed, among=KNOWN_RESOURCES, word=key, misses=("environment", "unicore"))


def _of_cluster(path: Path, partition: Tree) -> Iterator[Finding]:
    kind = partition.get("kind", "batch")
    if kind == "batch":
        where = (*path, "kind") if "kind" in partition else path
        yield Finding(
            where, "A cluster has no queue, so its partitions are interactive.", "kind: interactive", misses=("kind",)
        )
    for field in ("queue", "login_node"):
        if partition.get(field):
            yield Finding((*path, field), f"A cluster has no `{field}`.", at_key=True)


def _resource_of_cluster(path: Path, key: str, resource: Tree, used: Collection[str]) -> Iterator[Finding]:
    if resource.get("unicore"):
        yield Finding((*path, "unicore"), "A cluster is not reached through UNICORE.", at_key=True)
    if key in PLACES:
        yield Finding(path, f"The name `{key}` is taken in manifests.", "another name", at_key=True)
    elif key not in KNOWN_TO_CLUSTERS and key not in used and not resource.get("environment"):
        said = f"`{shown(key)}` is not known to clusters, and no manifest refers to it, so it goes nowhere."
        allowed = f"{listed(sorted(KNOWN_TO_CLUSTERS))}, or one with `environment`"
        yield Finding(path, said, allowed, among=KNOWN_TO_CLUSTERS, word=key, misses=("environment", "manifests"))


def labs_may_listen(tree: Tree) -> Iterator[Finding]:
    """The Services of a cluster's labs are among its ``lab_hosts``."""
    for key, system in _clusters(tree):
        hosts = system.get("lab_hosts")
        namespace = value_at(system, ("kubernetes", "namespace")) or Cluster.model_fields["namespace"].default
        if not isinstance(hosts, list) or not hosts or not isinstance(namespace, str):
            continue
        if not _NAMESPACE.fullmatch(namespace):
            continue
        host = names.service_host(_SOME_LAB, namespace)
        if not allows([pattern for pattern in hosts if isinstance(pattern, str)], host):
            said = f"None of these fits the Services of labs in the namespace `{namespace}`."
            pattern = names.service_host("*", namespace)
            yield Finding(("systems", key, "lab_hosts"), said, pattern, misses=("namespace",))


def ways_back_are_used(tree: Tree) -> Iterator[Finding]:
    """A way back to the hub is one that labs know of."""
    for key, system in sections(tree, "systems"):
        urls = system.get("hub_urls")
        if isinstance(urls, list) and any(url != "direct" for url in urls):
            continue
        for host, section in sections(system, "jump_hosts"):
            if isinstance(section.get("hub_forward"), dict):
                path = ("systems", key, "jump_hosts", host, "hub_forward")
                said = "No lab takes this way back to the hub, as `hub_urls` does not name it."
                yield Finding(path, said, at_key=True, misses=("hub_urls",))


def _grants(tree: Tree, option: str) -> Iterator[tuple[Path, Tree]]:
    """Yield where an option is allowed: by itself, and by each group that replaces something of that."""
    path: Path = ("options", option, "allowed")
    found = value_at(tree, path)
    own = found if isinstance(found, dict) else {}
    yield path, own
    for group, _ in sections(tree, "groups"):
        path = ("groups", group, "options", option, "allowed")
        if isinstance(given := value_at(tree, path), dict):
            yield path, {**own, **{key: value for key, value in given.items() if value is not None}}


def options_run_in_clusters(tree: Tree) -> Iterator[Finding]:
    """What is allowed on a cluster by name has images for it."""
    clusters = [key for key, _ in _clusters(tree)]
    for option, section in sections(tree, "options"):
        if section.get("container") is not None:
            continue
        for path, _ in _grants(tree, option):
            systems = value_at(tree, (*path, "systems"))
            for number, system in enumerate(systems if isinstance(systems, list) else ()):
                if system in clusters:
                    said = f"`{shown(option)}` has no `container`, so it cannot run in the cluster {shown(system)}."
                    yield Finding((*path, "systems", number), said, misses=("container",))


def _reach(tree: Tree, option: str) -> Iterator[tuple[str, Tree, str, Tree]]:
    """Yield the partitions of clusters where an option may be used, with system and partition."""
    grants = [allowed for _, allowed in _grants(tree, option)]
    for system, section in _clusters(tree):
        for key, partition in sections(section, "partitions"):
            if any(_names(allowed, "systems", system) and _names(allowed, "partitions", key) for allowed in grants):
                yield system, section, key, partition


def _names(allowed: Tree, field: str, name: str) -> bool:
    names = allowed.get(field)
    return not isinstance(names, list) or name in names


def manifests_are_labs(tree: Tree) -> Iterator[Finding]:
    """Manifests make a lab, refer to what there is, and ask for nothing that a cluster does not allow."""
    systems = [item for item in sections(tree, "systems") if SystemKind.KUBERNETES in (item[1].get("kind"), *item[1])]
    chosen = {key for _, section in _partitions(systems) for key, _ in sections(section, "resources")}
    resources = sorted(KNOWN_TO_CLUSTERS | chosen)
    for option, section in sections(tree, "options"):
        container = section.get("container")
        if not isinstance(container, dict):
            continue
        own, path = container.get("manifests"), ("options", option, "container")
        if isinstance(own, list) and own:
            for found in (*faults(own, resources), *_forbidden(own, tree, option), *_sizes(own, tree, option)):
                yield replace(found, path=(*path, "manifests", *found.path))
        elif own is None or own == []:
            yield from (replace(found, path=path) for found in _sizes(default_template(), tree, option))


def _forbidden(manifests: Sequence[Any], tree: Tree, option: str) -> Iterator[Finding]:
    """Yield what a pod asks for although not every cluster allows it where the option may be used."""
    clusters = {system: section for system, section, _, _ in _reach(tree, option)}
    for number, manifest in enumerate(manifests):
        for ask in asked(manifest) if value_at(manifest, ("kind",)) == "Pod" else ():
            privilege = ask.privilege.value
            if without := [key for key, section in clusters.items() if not _allows(section, privilege)]:
                said = f"{ask.what}, and `{privilege}` is not in `kubernetes.allow` of {listed(without)}."
                yield Finding((number, *ask.path), said, misses=(privilege,))


def _allows(system: Tree, privilege: str) -> bool:
    allowed = value_at(system, ("kubernetes", "allow"))
    return isinstance(allowed, list) and privilege in allowed


def _sizes(manifests: Sequence[Any], tree: Tree, option: str) -> Iterator[Finding]:
    """Yield sizes of volume claims that not every partition has: a claim cannot be without one."""
    for number, manifest in enumerate(manifests):
        if value_at(manifest, ("kind",)) != CLAIM:
            continue
        for inner, name in referred(manifest):
            for system, _, key, partition in _reach(tree, option):
                resource = value_at(partition, ("resources", name))
                if resource is None or value_at(resource, ("checkbox",)) is not None:
                    lacks = "may go without it" if resource is not None else "has no such resource"
                    said = f"A volume needs its size `${{{name}}}`, and {shown(system)} {shown(key)} {lacks}."
                    yield Finding((number, *inner), said, misses=(name,))


CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    partitions_fit_their_system,
    labs_may_listen,
    ways_back_are_used,
    options_run_in_clusters,
    manifests_are_labs,
)
