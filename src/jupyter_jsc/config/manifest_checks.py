# SPDX-License-Identifier: BSD-3-Clause
"""What may stand in the manifests of labs: which objects, which fields, which references where. Pure.

Each check is a function of raw manifests that yields findings, as in :mod:`.checks`, whatever form they have. Called by
:mod:`.cluster_checks`; :mod:`.manifests` fills what has passed.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from jupyter_jsc.config.document import Path
from jupyter_jsc.config.findings import Finding, closest, listed, shown, value_at
from jupyter_jsc.config.manifests import reference
from jupyter_jsc.config.privileges import CONTAINERS

Tree = Mapping[str, Any]

ONE_EACH = ("Pod", "Service", "Secret")
CLAIM = "PersistentVolumeClaim"
KINDS = (*ONE_EACH, CLAIM)
LAB_FOLDER = "/jsc"
_LOCAL_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")
_OUR_LABELS = ("jupyter-jsc/", "app.kubernetes.io/managed-by", "app.kubernetes.io/component")
_FIELDS = {
    "Pod": ("spec",),
    "Service": ("spec",),
    "Secret": ("type",),
    CLAIM: ("spec",),
}
"""What a manifest may say beside ``apiVersion``, ``kind`` and ``metadata``."""
_OF_SERVICE = ("type", "clusterIP", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", "sessionAffinity")
_TYPES: dict[str, tuple[Path, str]] = {"Service": (("spec", "type"), "ClusterIP"), "Secret": (("type",), "Opaque")}

_ANY = "*"
_CLAIM_NAME = ("Pod", "spec", "volumes", _ANY, "persistentVolumeClaim", "claimName")
_ENVIRONMENT = ("Pod", "spec", "containers", _ANY, "env", _ANY, "value")
PLACES: dict[str, tuple[tuple[str, ...], ...]] = {
    "image": (("Pod", "spec", "containers", _ANY, "image"),),
    "secret": (("Pod", "spec", "volumes", _ANY, "secret", "secretName"),),
    "service_host": (_ENVIRONMENT,),
}
"""Where a reference may stand; :data:`_OF_RESOURCES` for all others."""
_OF_RESOURCES = (
    _ENVIRONMENT,
    ("Pod", "spec", "activeDeadlineSeconds"),
    ("Pod", "spec", "containers", _ANY, "resources", "limits", _ANY),
    ("Pod", "spec", "containers", _ANY, "resources", "requests", _ANY),
    ("Pod", "spec", "volumes", _ANY, "emptyDir", "sizeLimit"),
    ("Pod", "spec", "volumes", _ANY, "ephemeral", "volumeClaimTemplate", "spec", "resources", "requests", _ANY),
    (CLAIM, "spec", "resources", "requests", _ANY),
)


def faults(manifests: Sequence[Any], resources: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong with *manifests*, with paths from their list; *resources* are what users may choose."""
    yield from _kinds(manifests)
    for number, manifest in enumerate(manifests):
        if isinstance(manifest, Mapping) and manifest.get("kind") in KINDS:
            yield from _fields(manifest, number)
    yield from _claims(manifests)
    known = [*PLACES, *(f"claim.{name}" for name in claims_of(manifests)), *resources]
    for number, manifest in enumerate(manifests):
        if isinstance(manifest, Mapping):
            yield from _references(manifest, (number,), str(manifest.get("kind")), known)
    yield from _pods(manifests)


def claims_of(manifests: Sequence[Any]) -> list[str]:
    """Return the local names of the volume claims."""
    names = [value_at(manifest, ("metadata", "name")) for manifest in manifests if _kind(manifest) == CLAIM]
    return [name for name in names if isinstance(name, str)]


def referred(node: Any) -> Iterator[tuple[Path, str]]:
    """Yield each reference below *node*, with its path."""
    for path, value in _scalars(node, ()):
        if (name := reference(value)) is not None:
            yield path, name


def _kind(manifest: Any) -> str:
    kind = manifest.get("kind") if isinstance(manifest, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _kinds(manifests: Sequence[Any]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for number, manifest in enumerate(manifests):
        if not isinstance(manifest, Mapping):
            continue
        kind = _kind(manifest)
        if kind not in KINDS:
            path = (number, "kind") if "kind" in manifest else (number,)
            said = f"A lab has no `{shown(manifest['kind'])}`." if "kind" in manifest else "`kind` is missing."
            yield Finding(path, said, listed(KINDS), among=KINDS, word=kind)
        elif kind in ONE_EACH and kind in first:
            owner = " and owns all the rest" if kind == "Secret" else ""
            yield Finding((number,), f"This is a second {kind}; a lab has exactly one{owner}.")
        first.setdefault(kind, number)
        if manifest.get("apiVersion") != "v1":
            path = (number, "apiVersion") if "apiVersion" in manifest else (number,)
            yield Finding(path, "`apiVersion` is not v1.", "v1")
    if missing := [kind for kind in ONE_EACH if kind not in first]:
        yield Finding((), f"There is no {' and no '.join(missing)} here; a lab has exactly one.")


def _fields(manifest: Tree, number: int) -> Iterator[Finding]:
    """Yield fields that the portal sets, or that nobody may."""
    kind = _kind(manifest)
    allowed = ("apiVersion", "kind", "metadata", *_FIELDS[kind])
    yield from _only(manifest, allowed, (number,), kind)
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    if isinstance(metadata, Mapping):
        of_claim = ("name",) if kind == CLAIM else ()
        yield from _only(metadata, (*of_claim, "labels", "annotations"), (number, "metadata"), kind)
        for field in ("labels", "annotations"):
            for key in metadata[field] if isinstance(metadata.get(field), Mapping) else ():
                if key.startswith(_OUR_LABELS):
                    path = (number, "metadata", field, key)
                    yield Finding(path, f"`{shown(key)}` is set by the portal.", at_key=True)
    if kind == "Service" and isinstance(spec, Mapping):
        yield from _only(spec, _OF_SERVICE, (number, "spec"), kind)
    if kind in _TYPES:
        where, fixed = _TYPES[kind]
        if value_at(manifest, where) not in (None, fixed):
            yield Finding((number, *where), f"A lab's {kind} is of no other type than {fixed}.", fixed)


def _only(section: Tree, allowed: Collection[str], path: Path, kind: str) -> Iterator[Finding]:
    for key in section:
        if key not in allowed:
            said = f"`{shown(key)}` stands in no {kind} of a lab; what a lab needs of it is set by the portal."
            meant = closest(key, allowed)
            yield Finding((*path, key), said, listed(allowed), meant, at_key=True)


def _claims(manifests: Sequence[Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, manifest in enumerate(manifests):
        if _kind(manifest) != CLAIM:
            continue
        name = value_at(manifest, ("metadata", "name"))
        if not isinstance(name, str) or not _LOCAL_NAME.fullmatch(name):
            path = (number, "metadata", "name") if name is not None else (number,)
            said = (
                f"`{shown(name)}` is no name of a claim." if name is not None else "The claim has no `metadata.name`."
            )
            yield Finding(path, said, "small letters, digits and - inside, a letter first, at most 30")
        elif name in seen:
            yield Finding((number, "metadata", "name"), f"There is another claim called `{name}`.")
        else:
            seen.add(name)


def _scalars(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, Mapping):
        for key, inner in node.items():
            yield from _scalars(inner, (*path, key))
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _scalars(item, (*path, number))
    else:
        yield path, node


def _references(node: Any, path: Path, kind: str, known: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong with ``${`` at and below *path*, which begins with the manifest's number."""
    if isinstance(node, Mapping):
        for key, inner in node.items():
            if "${" in key:
                said = f"The key `{shown(key)}` holds `${{`; values are filled in for values only."
                yield Finding((*path, key), said, at_key=True)
            yield from _references(inner, (*path, key), kind, known)
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _references(item, (*path, number), kind, known)
    elif isinstance(node, str) and "${" in node:
        yield from _reference(node, path, kind, known)


def _reference(value: str, path: Path, kind: str, known: Collection[str]) -> Iterator[Finding]:
    name = reference(value)
    if name is None:
        yield Finding(path, f"`{shown(value)}` holds `${{` inside a text; a value is filled in as a whole.")
    elif name not in known:
        said = f"`{shown(value)}` stands for nothing here."
        meant = closest(name, known)
        names = listed([f"${{{word}}}" for word in known])
        yield Finding(path, said, names, f"${{{meant}}}" if meant else "", misses=(name,))
    elif not any(_at(place, (kind, *path[1:])) for place in _places(name)):
        secret = " and so never in the environment or in arguments" if name == "secret" else ""
        where = " or ".join(dict.fromkeys(".".join(place[1:]) for place in _places(name)))
        yield Finding(path, f"`{shown(value)}` has no place here{secret}.", where)


def _places(name: str) -> tuple[tuple[str, ...], ...]:
    return PLACES.get(name, (_CLAIM_NAME,) if name.startswith("claim.") else _OF_RESOURCES)


def _at(place: tuple[str, ...], path: Path) -> bool:
    """Tell whether *path* is *place*, in which ``*`` is any number or, at its end, any key."""
    if len(place) != len(path):
        return False
    last = len(place) - 1
    return all(
        isinstance(part, int) or index == last if wanted == _ANY else _same(part) == wanted
        for index, (wanted, part) in enumerate(zip(place, path, strict=True))
    )


def _same(part: str | int) -> str | int:
    return "containers" if part in CONTAINERS else part


def _pods(manifests: Sequence[Any]) -> Iterator[Finding]:
    """Yield what a pod lacks to be a lab: an image that was chosen, and what is in the Secret."""
    for number, manifest in enumerate(manifests):
        if _kind(manifest) != "Pod" or not isinstance(manifest, Mapping):
            continue
        containers = value_at(manifest, ("spec", "containers"))
        if not isinstance(containers, list) or not containers:
            yield Finding((number,), "The Pod has no `spec.containers`.")
            continue
        path = (number, "spec", "containers")
        if not any(value_at(item, ("image",)) == "${image}" for item in containers):
            yield Finding(path, "No container has the image that the user chooses.", "image: ${image}")
        volumes = value_at(manifest, ("spec", "volumes"))
        if not _mounts_secret(containers, volumes if isinstance(volumes, list) else []):
            said = f"No container has the Secret at {LAB_FOLDER}, where the lab finds what it is to do."
            allowed = f"a volume with `secretName: ${{secret}}`, and its `mountPath: {LAB_FOLDER}`"
            yield Finding(path, said, allowed)


def _mounts_secret(containers: list[Any], volumes: list[Any]) -> bool:
    names = [value_at(item, ("name",)) for item in volumes if value_at(item, ("secret", "secretName")) == "${secret}"]
    mounts = [mount for item in containers for mount in _list_at(item, "volumeMounts")]
    return any(value_at(mount, ("mountPath",)) == LAB_FOLDER and mount.get("name") in names for mount in mounts)


def _list_at(node: Any, key: str) -> list[Any]:
    value = node.get(key) if isinstance(node, Mapping) else None
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
