# SPDX-License-Identifier: BSD-3-Clause
"""A folder of YAML files → a configuration, or everything that is wrong with it."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)


def load(folder: Path) -> Configuration:
    """Return the configuration in the ``*.yaml`` files of *folder*, merged at the top level.

    Raises :class:`InvalidRequest` that lists every mistake with its place.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    mistakes: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        for key, value in _read(path, mistakes).items():
            if key in merged:
                mistakes.append(f"{path.name}: {key!r} stands in {origin[key]} already")
            merged[key], origin[key] = value, path.name
    if not origin and not mistakes:
        mistakes.append(f"{folder}: no *.yaml file here")
    if mistakes:
        raise InvalidRequest("The configuration cannot be read: " + "; ".join(mistakes))
    return _validate(Configuration, merged, "configuration")


def load_file(model: type[Model], path: Path) -> Model:
    """Return the settings of a service from one YAML file, or raise :class:`InvalidRequest`."""
    mistakes: list[str] = []
    tree = _read(path, mistakes)
    if mistakes:
        raise InvalidRequest("The settings cannot be read: " + "; ".join(mistakes))
    return _validate(model, tree, path.name)


def _read(path: Path, mistakes: list[str]) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mistakes.append(f"{path.name}: {error}")
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        mistakes.append(f"{path.name}: must be a mapping of names to values")
        return {}
    return tree


def _validate(model: type[Model], tree: dict[str, Any], what: str) -> Model:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        mistakes = [
            f"{'.'.join(map(str, item['loc'])) or what}: {item['msg']}" for item in error.errors(include_url=False)
        ]
        raise InvalidRequest(f"The {what} is wrong: " + "; ".join(mistakes)) from error
