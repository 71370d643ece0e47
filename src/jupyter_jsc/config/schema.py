# SPDX-License-Identifier: BSD-3-Clause
"""The model → a JSON Schema by which editors complete and check one file of a configuration.

A file alone is rarely whole: files are merged mapping by mapping. So no key of a mapping that another file may complete
is required here; ``config check`` asks for them. Called by ``jupyter-jsc config schema``.
"""

import json
from collections.abc import Iterator
from typing import Any

from jupyter_jsc.config.base import Section
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.shapes import Shape, shape_of

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TO_DEFINITION = "#/$defs/"
_NOTHING: tuple[Any, ...] = (None, "", [], {}, {"en": "", "de": ""})
_SOMETHING = object()


def schema() -> Schema:
    """Return the schema of one file."""
    made = Configuration.model_json_schema()
    definitions: dict[str, Schema] = made.pop("$defs")
    for name, model in _models(definitions):
        _describe_references(definitions[name], shape_of(model))
    for section in [made, *(definitions[name] for name in _merged(made, definitions))]:
        _loosen(section)
    definitions["Text"] = _text(definitions["Text"])
    _tidy([made, definitions])
    made["description"] = "One file of a configuration of jupyter-jsc; all files of a folder are merged."
    return {"$schema": DIALECT, "title": "Configuration of jupyter-jsc", **made, "$defs": definitions}


def document() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def target_of(shape: Shape | None) -> str:
    """Return where the value of a field, or what stands in its list or mapping, must be a key; empty if it is free."""
    if shape is None or shape.fields:
        return ""
    if shape.key and shape.key.target:
        return shape.key.target
    return shape.target or target_of(shape.item) or target_of(shape.value)


def in_words(target: str) -> str:
    """Return the target of a reference as people write a path: ``systems.*.partitions``."""
    words = f"`{target.removeprefix('./').replace('/', '.').replace('{', '<').replace('}', '>')}`"
    return f"{words} of the same section" if target.startswith("./") else words


def plain(text: str) -> str:
    """Return a docstring as Markdown on one line, without the marks of references between modules."""
    return " ".join(text.replace("``", "`").split())


def _models(definitions: Schema) -> Iterator[tuple[str, type[Section]]]:
    """Yield the sections among *definitions*."""
    for model in _subclasses(Section):
        if model.__name__ in definitions:
            yield model.__name__, model


def _subclasses(model: type[Section]) -> Iterator[type[Section]]:
    for each in model.__subclasses__():
        if each.__module__.startswith("jupyter_jsc.config."):
            yield each
            yield from _subclasses(each)


def _describe_references(section: Schema, shape: Shape) -> None:
    for name, field in section["properties"].items():
        if target := target_of(inner := shape.fields[name]):
            words = f"{'A key' if inner.target else 'Keys'} of {in_words(target)}."
            field["description"] = f"{field.get('description', '')}\n\n{words}".strip()


def _merged(root: Schema, definitions: dict[str, Schema]) -> set[str]:
    """Return the definitions that stand in mappings: what stands in lists is never merged, so it is whole."""
    found: set[str] = set()
    waiting = list(root["properties"].values())
    while waiting:
        node = waiting.pop()
        name = node.get("$ref", "").removeprefix(_TO_DEFINITION)
        if name and name not in found:
            found.add(name)
            waiting += definitions[name].get("properties", {}).values()
        waiting += [*node.get("anyOf", []), *node.get("patternProperties", {}).values()]
        if isinstance(more := node.get("additionalProperties"), dict):
            waiting.append(more)
    return found


def _loosen(section: Schema) -> None:
    section.pop("required", None)
    for field in section.get("properties", {}).values():
        field.pop("minProperties", None)


def _text(section: Schema) -> Schema:
    section.pop("required", None)
    return {"description": section.pop("description"), "anyOf": [{"type": "string"}, section]}


def _tidy(node: Any) -> None:
    """Remove what says nothing (titles that repeat names, empty defaults), and refuse keys that fit no pattern."""
    if isinstance(node, list):
        for inner in node:
            _tidy(inner)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        if "type" in node or "$ref" in node or "anyOf" in node:
            if node.get("default", _SOMETHING) in _NOTHING:
                del node["default"]
            if "patternProperties" in node:
                node["additionalProperties"] = False
        if isinstance(described := node.get("description"), str):
            node["description"] = "\n\n".join(map(plain, described.split("\n\n")))
        for inner in node.values():
            _tidy(inner)
