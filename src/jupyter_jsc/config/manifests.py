# SPDX-License-Identifier: BSD-3-Clause
"""Manifests of labs in clusters: which there are, and how what a user chose gets into them. Pure.

A reference such as ``${memory}`` is the whole value of an entry of a mapping. It is replaced in the parsed tree, never in
text, so nothing that is filled in becomes a key, a label, a command or another object. Called by the Kubernetes driver;
:mod:`.manifest_checks` says what may stand in a manifest.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jupyter_jsc.config.clusters import Container
from jupyter_jsc.config.document import Budget, read

Manifest = Mapping[str, Any]

_REFERENCE = re.compile(r"\$\{([^{}$]*)\}")
_GIBIBYTES = frozenset({"memory", "home"})
_MINUTES = "runtime"


def reference(value: object) -> str | None:
    """Return the name that *value* refers to; None if it is no reference."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None


def template_of(container: Container) -> Sequence[Manifest]:
    """Return the manifests of an option: its own, or the portal's."""
    return container.manifests or default_template()


@functools.cache
def default_template() -> Sequence[Manifest]:
    """Return the manifests of labs whose option has none of its own (``lab.yaml``)."""
    text = resources.files("jupyter_jsc.config").joinpath("lab.yaml").read_text("utf-8")
    tree, _ = read(text, "lab.yaml", Budget())
    manifests: Sequence[Manifest] = json.loads(json.dumps(tree["manifests"]))  # without the lines of its keys
    return manifests


def fill(template: Sequence[Manifest], values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    """Return *template* with *values* in the places of its references; an entry whose value is not there is left out.

    Numbers are the user's, by the key of the resource: ``memory`` and ``home`` (GiB) become quantities, ``runtime``
    (minutes) becomes seconds. In the environment of a container all values are texts. The template stays as it is.
    """
    return [_mapping(manifest, values) for manifest in template]


def _filled(node: Any, values: Mapping[str, str | int]) -> Any:
    if isinstance(node, Mapping):
        return _mapping(node, values)
    return [_filled(item, values) for item in node] if isinstance(node, list) else node


def _mapping(node: Manifest, values: Mapping[str, str | int]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for key, inner in node.items():
        name = reference(inner)
        if name is None:
            filled[key] = _filled(inner, _texts(values) if key == "env" else values)
        elif name in values:
            filled[key] = _typed(name, values[name])
    return filled


def _texts(values: Mapping[str, str | int]) -> dict[str, str | int]:
    return {name: str(_typed(name, value)) for name, value in values.items()}


def _typed(name: str, value: str | int) -> str | int:
    if isinstance(value, str):
        return value
    if name in _GIBIBYTES:
        return f"{value}Gi"
    return value * 60 if name == _MINUTES else value
