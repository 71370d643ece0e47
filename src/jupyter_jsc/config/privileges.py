# SPDX-License-Identifier: BSD-3-Clause
"""What a pod asks for that weakens the border between a lab and its node, each with the privilege that allows it. Pure.

The rules are those of the Pod Security Standard "restricted" as far as a privilege of :class:`.clusters.Privilege`
belongs to them. The pod may have any form: what has not the expected one is refused by the cluster. Called by
:mod:`.manifest_checks`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jupyter_jsc.config.clusters import Privilege
from jupyter_jsc.config.document import Path
from jupyter_jsc.config.findings import value_at

Tree = Mapping[str, Any]

CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_OF_THE_NODE = {
    "hostNetwork": Privilege.HOST_NETWORK,
    "hostPID": Privilege.HOST_PID,
    "hostIPC": Privilege.HOST_IPC,
    "serviceAccountName": Privilege.SERVICE_ACCOUNT,
    "serviceAccount": Privilege.SERVICE_ACCOUNT,
}
"""Fields of a pod that are off if they are not given."""
_VOLUMES = frozenset({"hostPath", "flexVolume", "gitRepo"})
_OFF: tuple[Any, ...] = (None, False, 0, "")


class Ask(NamedTuple):
    """Something that a pod asks for, or does not give up."""

    privilege: Privilege
    path: Path
    """Within the pod's manifest."""
    what: str
    """What it is, as the beginning of a sentence."""


def asked(pod: Tree) -> Iterator[Ask]:
    """Yield everything that the manifest of a pod asks for."""
    spec = pod.get("spec")
    if not isinstance(spec, Mapping):
        return
    for field, privilege in _OF_THE_NODE.items():
        if spec.get(field) not in _OFF:
            yield Ask(privilege, ("spec", field), f"`{field}` is given")
    if spec.get("automountServiceAccountToken") is not False:
        yield _missing(spec, ("spec",), Privilege.SERVICE_ACCOUNT, "automountServiceAccountToken", "false")
    yield from _volumes(spec)
    around = spec.get("securityContext")
    own = around if isinstance(around, Mapping) else {}
    yield from _of_context(own, ("spec", "securityContext"))
    for kind in CONTAINERS:
        containers = spec.get(kind)
        for number, container in enumerate(containers) if isinstance(containers, list) else ():
            if isinstance(container, Mapping):
                yield from _of_container(container, ("spec", kind, number), own)


def _volumes(spec: Tree) -> Iterator[Ask]:
    volumes = spec.get("volumes")
    for number, volume in enumerate(volumes) if isinstance(volumes, list) else ():
        if not isinstance(volume, Mapping):
            continue
        path: Path = ("spec", "volumes", number)
        for kind in sorted(_VOLUMES & volume.keys()):
            yield Ask(Privilege.HOST_PATH, (*path, kind), f"`{kind}` is given")
        sources = value_at(volume, ("projected", "sources"))
        for place, source in enumerate(sources) if isinstance(sources, list) else ():
            if isinstance(source, Mapping) and "serviceAccountToken" in source:
                where = (*path, "projected", "sources", place, "serviceAccountToken")
                yield Ask(Privilege.SERVICE_ACCOUNT, where, "`serviceAccountToken` is given")


def _of_container(container: Tree, path: Path, around: Tree) -> Iterator[Ask]:
    """Yield what a container asks for; what it does not say itself, the pod says in *around*."""
    ports = container.get("ports")
    for number, port in enumerate(ports) if isinstance(ports, list) else ():
        if isinstance(port, Mapping) and port.get("hostPort") not in _OFF:
            yield Ask(Privilege.HOST_PORT, (*path, "ports", number, "hostPort"), "`hostPort` is given")
    given = container.get("securityContext")
    own = given if isinstance(given, Mapping) else {}
    where = (*path, "securityContext")
    yield from _of_context(own, where)
    non_root = own.get("runAsNonRoot")
    if (around.get("runAsNonRoot") if non_root is None else non_root) is not True:
        yield _missing(own, where, Privilege.ROOT, "runAsNonRoot", "true")
    if own.get("privileged") not in _OFF:
        yield Ask(Privilege.PRIVILEGED, (*where, "privileged"), "`privileged` is given")
    if own.get("procMount") not in (*_OFF, "Default"):
        yield Ask(Privilege.PRIVILEGED, (*where, "procMount"), "`procMount` is given")
    if own.get("allowPrivilegeEscalation") is not False:
        yield _missing(own, where, Privilege.PRIVILEGED, "allowPrivilegeEscalation", "false")
    yield from _capabilities(own, where)


def _of_context(context: Tree, path: Path) -> Iterator[Ask]:
    """Yield what stands in the security context of a pod or of a container alike."""
    user = context.get("runAsUser")
    if user is not None and (type(user) is not int or user == 0):
        yield Ask(Privilege.ROOT, (*path, "runAsUser"), "`runAsUser` is no number above 0")
    for profile in ("seccompProfile", "appArmorProfile"):
        if value_at(context, (profile, "type")) == "Unconfined":
            yield Ask(Privilege.PRIVILEGED, (*path, profile, "type"), f"`{profile}` is Unconfined")
    if value_at(context, ("windowsOptions", "hostProcess")) not in _OFF:
        yield Ask(Privilege.PRIVILEGED, (*path, "windowsOptions", "hostProcess"), "`hostProcess` is given")


def _capabilities(context: Tree, path: Path) -> Iterator[Ask]:
    capabilities = context.get("capabilities")
    own = capabilities if isinstance(capabilities, Mapping) else {}
    where = (*path, "capabilities")
    if own.get("add") not in (None, []):
        yield Ask(Privilege.CAPABILITIES, (*where, "add"), "`add` is given")
    dropped = own.get("drop")
    if not isinstance(dropped, list) or "ALL" not in dropped:
        yield _missing(own, where, Privilege.CAPABILITIES, "drop", "[ALL]")


def _missing(around: Tree, path: Path, privilege: Privilege, field: str, wanted: str) -> Ask:
    """Return that *field* has not the value that gives the privilege up, at the field if it is there."""
    there = field in around
    return Ask(
        privilege,
        (*path, field) if there else path,
        f"`{field}` is not {wanted}" if there else f"`{field}: {wanted}` is missing",
    )
