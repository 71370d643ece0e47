# SPDX-License-Identifier: BSD-3-Clause
"""What may stand where, read off a model's annotations: keys of sections, references, and in words what is allowed.

Used by :mod:`.structure` for words and by :mod:`.references` for the walk over a raw tree.
"""

import enum
import functools
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, HttpUrl
from pydantic.fields import FieldInfo

from jupyter_jsc.config.base import Reference, Text

PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits and any of _ . - behind the first one",
    r"^[A-Za-z0-9][A-Za-z0-9.:-]*$": "a host name or an address",
    r"^(direct|https?://[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*/?)$": "direct, or an http or https address without a path",
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$": "small letters, digits and - inside",
    r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$": "the reference of an image, e.g. registry.example.org/labs/jupyterlab:4.6",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "the name of a variable: letters, digits and _, no digit first",
    r"^[a-z][a-z0-9_.]{0,63}$": "the code of an event: small letters, digits and any of _ . behind the first one",
    r"^[A-Za-z0-9][A-Za-z0-9._+/-]*$": "the name of a module, e.g. Python/3.13",
    r"^[A-Za-z0-9_-]*$": "letters, digits and any of _ -",
    r"^[A-Za-z][A-Za-z0-9]*$": "letters and digits, a letter first",
}


@dataclass(frozen=True)
class Shape:
    """What may stand at one place."""

    allowed: str
    """In words."""
    fields: Mapping[str, "Shape"] = field(default_factory=dict)
    """A section's keys."""
    key: "Shape | None" = None
    """Of a mapping, what its keys are, and below what its values are."""
    value: "Shape | None" = None
    item: "Shape | None" = None
    """What a list's items are."""
    values: tuple[str, ...] = ()
    """If only these may stand here."""
    target: str = ""
    """Where the value must be a key, as :class:`.base.Reference` says."""
    refers: bool = False
    """Whether there is a target here or anywhere below."""


@functools.cache
def shape_of(model: type[BaseModel]) -> Shape:
    """Return the shape of a section."""
    fields = {name: _shape(_annotation(info)) for name, info in model.model_fields.items()}
    allowed = "a text, or texts under `en` and `de`" if model is Text else "a mapping with " + ", ".join(fields)
    return Shape(allowed, fields=fields, refers=any(inner.refers for inner in fields.values()))


def shape_at(model: type[BaseModel], path: tuple[str | int, ...]) -> Shape | None:
    """Return the shape of what stands at *path*; None where nothing may."""
    shape: Shape | None = shape_of(model)
    for part in path:
        if shape is None:
            return None
        shape = shape.item if isinstance(part, int) else shape.fields.get(part, shape.value)
    return shape


def _annotation(info: FieldInfo) -> Any:
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def _shape(annotation: Any, metadata: tuple[Any, ...] = ()) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(arguments[0], (*arguments[1:], *metadata))
    if origin in {Union, types.UnionType}:
        return _union([_shape(inner, metadata) for inner in arguments if inner is not type(None)])
    if origin is dict:
        return _mapping(_shape(arguments[0]), _shape(arguments[1]), metadata)
    if origin is list:
        item = _shape(arguments[0])
        return Shape("a list" + _least(metadata, "item"), item=item, refers=item.refers)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return shape_of(annotation)
    return _scalar(annotation, metadata)


def _union(shapes: list[Shape]) -> Shape:
    """Return one shape for all alternatives; no two of them are mappings or lists in this model."""
    if len(shapes) == 1:
        return shapes[0]
    return Shape(
        " or ".join(shape.allowed for shape in shapes),
        fields={name: inner for shape in shapes for name, inner in shape.fields.items()},
        key=next((shape.key for shape in shapes if shape.key), None),
        value=next((shape.value for shape in shapes if shape.value), None),
        item=next((shape.item for shape in shapes if shape.item), None),
        refers=any(shape.refers for shape in shapes),
    )


def _mapping(key: Shape, value: Shape, metadata: tuple[Any, ...]) -> Shape:
    allowed = "a mapping" + _least(metadata, "key")
    return Shape(allowed, key=key, value=value, refers=key.refers or value.refers)


def _least(metadata: tuple[Any, ...], what: str) -> str:
    return f" with at least one {what}" if any(getattr(mark, "min_length", 0) for mark in _flat(metadata)) else ""


def _scalar(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    marks = _flat(metadata)
    target = next((mark.target for mark in marks if isinstance(mark, Reference)), "")
    values = _values(annotation)
    allowed = ", ".join(values) or _words(annotation, marks)
    return Shape(allowed, values=values, target=target, refers=bool(target))


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    """Return the constraints themselves, out of ``Field(…)`` too."""
    return [inner for mark in metadata for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]


def _values(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return tuple(str(member.value) for member in annotation)
    return ()


def _words(annotation: Any, marks: list[Any]) -> str:
    if annotation is HttpUrl:
        return "an address that begins with http:// or https://"
    if annotation in {datetime, AwareDatetime}:
        return "a time with its zone, e.g. 2026-03-01T08:00:00+01:00"
    if annotation is bool:
        return "true or false"
    if annotation in {int, float}:
        return ("a whole number" if annotation is int else "a number") + _limits(marks)
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return "the path of a file or folder"
    return _text(marks)


def _limits(marks: list[Any]) -> str:
    def limit(name: str) -> Any:
        return next((value for mark in marks if (value := getattr(mark, name, None)) is not None), None)

    least, above, most = limit("ge"), limit("gt"), limit("le")
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}"
    words = [f"at least {least:g}"] if least is not None else []
    words += [f"above {above:g}"] if above is not None else []
    words += [f"at most {most:g}"] if most is not None else []
    return f", {' and '.join(words)}" if words else ""


def _text(marks: list[Any]) -> str:
    pattern = next((mark.pattern for mark in marks if getattr(mark, "pattern", None)), None)
    if pattern:
        return PATTERNS.get(str(pattern), f"a text that matches {pattern}")
    least = next((mark.min_length for mark in marks if getattr(mark, "min_length", None)), None)
    return f"a text of at least {least} characters" if least and least > 1 else "a text"
