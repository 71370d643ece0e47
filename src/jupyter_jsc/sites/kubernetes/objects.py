# SPDX-License-Identifier: BSD-3-Clause
"""A lab → the objects of the cluster that it is made of. Pure functions, called by :mod:`.driver`.

The configuration says what they look like (:mod:`jupyter_jsc.config.manifests`); names, labels, owner and the Secret's data
are set here, over whatever stands there. What a user chose gets in as typed values in the places of references.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_jsc import names
from jupyter_jsc.config import manifests
from jupyter_jsc.config.clusters import LAB_PORT, Container
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.sites import shipment, steps
from jupyter_jsc.sites.steps import known
from jupyter_jsc.wire import StartLab

Tree = dict[str, Any]

LAB, START, HUB = "jupyter-jsc/lab", "jupyter-jsc/start", "jupyter-jsc/hub"
MANAGED = {"app.kubernetes.io/managed-by": "jupyter-jsc"}
COMPONENT = {"app.kubernetes.io/component": "lab"}
SELECTOR = ",".join(f"{key}={value}" for key, value in (MANAGED | COMPONENT).items())
"""Finds the pods of all labs of all hubs."""

_OURS = "jupyter-jsc/"
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Objects:
    """What a lab is made of, as the configuration has it; all but the Secret need its uid to belong to it."""

    secret: Tree
    pod: Tree
    service: Tree
    claims: tuple[Tree, ...]
    """They belong to the user, not to the lab, and last."""


def objects(lab: StartLab, system: System, configuration: Configuration) -> Objects:
    """Return the objects of *lab*, or raise :class:`InvalidRequest` naming the option that the configuration lacks."""
    if system.kubernetes is None:
        raise InvalidRequest(f"system: {lab.options.system!r} is not a cluster.", field="options.system")
    chosen = steps.chosen(lab.options, system, configuration)
    container = chosen.option.container
    if container is None:
        raise InvalidRequest(f"option: {lab.options.option!r} does not run in clusters.", field="options.option")
    runtime = lab.options.resources.get("runtime")
    files = shipment.files(lab, system, chosen, runtime * 60 if runtime else None)
    filled = manifests.fill(manifests.template_of(container), _values(lab, container, system.kubernetes.namespace))
    parts = {manifest["kind"]: manifest for manifest in filled}
    claims = [manifest for manifest in filled if manifest["kind"] == "PersistentVolumeClaim"]
    return Objects(
        secret=_secret(parts["Secret"], lab, files),
        pod=_named(parts["Pod"], lab.lab_id, labels(lab.hub, lab.lab_id, lab.start_id)),
        service=_service(parts["Service"], lab),
        claims=tuple(_claim(manifest, lab) for manifest in claims),
    )


def labels(hub: str, lab_id: str, start_id: str) -> dict[str, str]:
    """Return what tells whose an object is; :class:`InvalidRequest` for a hub whose name is no value of a label."""
    return {LAB: lab_id, START: start_id, HUB: hub_label(hub), **MANAGED, **COMPONENT}


def hub_label(hub: str | None) -> str:
    """Return the value of the hub's label, which is its name; :class:`InvalidRequest` if it can't be one."""
    if hub is None or not _LABEL_VALUE.fullmatch(hub):
        raise InvalidRequest(
            f"hub: {hub!r} is not possible here. Allowed: at most 63 letters, digits, '-', '_' and '.', the last of them a "
            "letter or digit.",
            field="hub",
            value=repr(hub),
        )
    return hub


def owned(tree: Tree, secret_uid: str) -> Tree:
    """Return *tree* as the property of the lab's Secret: it goes when that goes."""
    metadata = tree["metadata"]
    owner = {"apiVersion": "v1", "kind": "Secret", "name": metadata["labels"][LAB], "uid": secret_uid}
    return {**tree, "metadata": {**metadata, "ownerReferences": [owner]}}


def is_of(tree: Mapping[str, Any], hub: str, lab_id: str, start_id: str | None = None) -> bool:
    """Tell whether an object is this hub's and this lab's, and if *start_id* is given, this start's."""
    found = tree.get("metadata", {}).get("labels") or {}
    return (found.get(HUB), found.get(LAB)) == (hub, lab_id) and start_id in {None, found.get(START)}


def _values(lab: StartLab, container: Container, namespace: str) -> dict[str, str | int]:
    """Return what references stand for."""
    image = lab.options.image or next(iter(container.images))
    local = [
        manifest["metadata"]["name"]
        for manifest in manifests.template_of(container)
        if manifest["kind"] == "PersistentVolumeClaim"
    ]
    return {
        **lab.options.resources,
        **{f"claim.{name}": _claim_name(name, lab) for name in local},
        "image": known("image", image, container.images).image,
        "secret": lab.lab_id,
        "service_host": names.service_host(lab.lab_id, namespace),
    }


def _secret(manifest: Tree, lab: StartLab, files: Mapping[str, str]) -> Tree:
    """Return the Secret with the lab's files; it never changes, so nodes need not watch it."""
    data = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
    tree = _named(manifest, lab.lab_id, labels(lab.hub, lab.lab_id, lab.start_id))
    return {**tree, "data": data, "immutable": True}


def _service(manifest: Tree, lab: StartLab) -> Tree:
    tree = _named(manifest, names.service_name(lab.lab_id), labels(lab.hub, lab.lab_id, lab.start_id))
    ports = [{"name": "lab", "port": LAB_PORT, "targetPort": LAB_PORT, "protocol": "TCP"}]
    selector = {LAB: lab.lab_id, START: lab.start_id}
    return {**tree, "spec": {**manifest.get("spec", {}), "type": "ClusterIP", "selector": selector, "ports": ports}}


def _claim(manifest: Tree, lab: StartLab) -> Tree:
    return _named(manifest, _claim_name(manifest["metadata"]["name"], lab), {HUB: hub_label(lab.hub), **MANAGED})


def _claim_name(local: str, lab: StartLab) -> str:
    return f"{local}-{names.user_id(lab.hub, lab.user)}"


def _named(manifest: Tree, name: str, ours: Mapping[str, str]) -> Tree:
    """Return *manifest* with this name and these labels, and nothing else of ours or of the API server's."""
    given = manifest.get("metadata") or {}
    metadata: Tree = {"name": name, "labels": {**_foreign(given.get("labels")), **ours}}
    if annotations := _foreign(given.get("annotations")):
        metadata["annotations"] = annotations
    return {**manifest, "metadata": metadata}


def _foreign(entries: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (entries or {}).items() if not key.startswith(_OURS)}
