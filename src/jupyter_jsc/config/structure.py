# SPDX-License-Identifier: BSD-3-Clause
"""A raw tree → an object of a model, or all that does not fit it, in plain words.

Pydantic checks the tree as JSON in strict mode, so that ``yes`` is no number and ``20260301`` no time. Its errors say
where by types and fields of the model; here they become paths of keys and what :mod:`.shapes` says is allowed.
"""

import json
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jupyter_jsc.config import shapes
from jupyter_jsc.config.document import Path
from jupyter_jsc.config.findings import Finding, inside, is_secret, shown, value_at
from jupyter_jsc.config.shapes import Shape

Model = TypeVar("Model", bound=BaseModel)
LONGEST_SENTENCE = 300
ROUNDS = 10
"""How often a tree is checked again without what was wrong in it: sections nest less deep."""


class Checked(Generic[Model]):
    """What came out: the object, or findings."""

    def __init__(self, model: type[Model], tree: dict[str, Any]) -> None:
        self.made, errors = _made(model, tree)
        self.findings = [*_findings(model, tree, errors), *_hidden(model, tree, errors)] if errors else []


def _made(model: type[Model], tree: dict[str, Any]) -> tuple[Model | None, list[ErrorDetails]]:
    try:
        return model.model_validate_json(json.dumps(tree), strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _hidden(model: type[BaseModel], tree: dict[str, Any], errors: list[ErrorDetails]) -> Iterator[Finding]:
    """Yield what sections say as a whole, which pydantic asks them only once everything in them is right.

    What is wrong is taken out and the rest checked again. A section that misses what was taken out is not believed.
    """
    rest = json.loads(json.dumps(tree))  # without shared parts, so that one can be taken out without the other
    removed: set[Path] = set()
    for _ in range(ROUNDS):
        before = len(removed)
        paths = {_path(rest, error)[: -1 if error["type"] == "missing" else None] for error in errors}
        removed.update(_remove(rest, path) for path in sorted(paths, key=_position, reverse=True))
        if len(removed) == before:
            return
        _, errors = _made(model, rest)
        for error in errors:
            path = _path(rest, error)
            if error["type"] == "value_error" and not any(_disturbs(gone, path) for gone in removed):
                yield _of_section(model, tree, path, error)


def _position(path: Path) -> list[tuple[bool, str | int]]:
    return [(isinstance(part, int), part) for part in path]


def _remove(tree: Any, path: Path) -> Path:
    """Take out what stands at *path*, with what is empty without it; return the path of what was taken out."""
    while len(path) > 1 and len(value_at(tree, path[:-1]) or ()) <= 1:
        path = path[:-1]
    around, last = value_at(tree, path[:-1]), path[-1] if path else ""
    if isinstance(around, dict):
        around.pop(last, None)
    elif isinstance(around, list) and isinstance(last, int):
        del around[last : last + 1]
    return path


def _disturbs(gone: Path, path: Path) -> bool:
    """Tell whether without *gone* the section at *path* lacks a field, or has another place in a list."""
    around, last = gone[:-1], gone[-1] if gone else ""
    return around == path or (isinstance(last, int) and path[: len(around)] == around)


def _path(tree: Any, error: ErrorDetails) -> Path:
    """Return the path of keys: without the names of alternatives and of keys that pydantic puts between."""
    path: list[str | int] = []
    for part in error["loc"]:
        if part == "[key]":
            break
        if inside(tree, part):
            tree = tree[part]
            path.append(part)
    if error["type"] == "missing":
        path.append(error["loc"][-1])
    return tuple(path)


def _findings(model: type[BaseModel], tree: dict[str, Any], errors: list[ErrorDetails]) -> Iterator[Finding]:
    """Yield what is wrong; of alternatives only what is nearest to what stands there."""
    placed = [(_path(tree, error), error) for error in errors]
    deeper = {path[:end] for path, _ in placed for end in range(len(path))}
    for path, error in placed:
        of_alternative = len(error["loc"]) > len(path) and "[key]" not in error["loc"]
        if not (of_alternative and path in deeper):
            yield _finding(model, tree, path, error)


def _finding(model: type[BaseModel], tree: dict[str, Any], path: Path, error: ErrorDetails) -> Finding:
    kind, shape = error["type"], shapes.shape_at(model, path)
    if kind == "value_error":
        return _of_section(model, tree, path, error)
    if kind == "missing":
        name = str(path[-1])
        return Finding(path, f"`{name}` is missing.", shape.allowed if shape else "", misses=(name,))
    if kind == "extra_forbidden":
        return _unknown_key(model, tree, path)
    if error["loc"][-1] == "[key]":
        allowed = shape_of_key.allowed if (shape_of_key := _key(model, path)) else ""
        return Finding(path, f"The key `{shown(path[-1])}` does not fit.", allowed, at_key=True)
    return _misfit(value_at(tree, path), path, kind, shape or Shape(""))


def _of_section(model: type[BaseModel], tree: dict[str, Any], path: Path, error: ErrorDetails) -> Finding:
    """Return what a section says of its fields together; which it may say because it misses one of them."""
    said, there, shape = _sentence(str(error["ctx"]["error"])), value_at(tree, path), shapes.shape_at(model, path)
    names = shape.fields if shape and isinstance(there, dict) else ()
    return Finding(path, said, misses=tuple(name for name in names if name not in there and f"`{name}`" in said))


def _key(model: type[BaseModel], path: Path) -> Shape | None:
    around = shapes.shape_at(model, path[:-1])
    return around.key if around else None


def _unknown_key(model: type[BaseModel], tree: dict[str, Any], path: Path) -> Finding:
    around, there = shapes.shape_at(model, path[:-1]), value_at(tree, path[:-1])
    names = list(around.fields) if around else []
    free = [name for name in names if name not in there]
    message = f"There is no key `{shown(path[-1])}` here."
    return Finding(path, message, ", ".join(names), among=free, word=str(path[-1]), at_key=True)


def _misfit(value: Any, path: Path, kind: str, shape: Shape) -> Finding:
    if value is None:
        return Finding(path, "There is no value.", shape.allowed)
    word = value if isinstance(value, str) else ""
    return Finding(
        path, f"{_subject(value, path)} {_fault(value, kind)}.", shape.allowed, among=shape.values, word=word
    )


def _subject(value: Any, path: Path) -> str:
    if isinstance(value, dict | list):
        return f"{shown(value).capitalize()}"
    return "The value" if is_secret(path) else f"`{shown(value)}`"


def _fault(value: Any, kind: str) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"is {'a truth value' if isinstance(value, bool) else 'a number'}, not a text; put it in quotes"
    faults = {
        "timezone_aware": "has no time zone",
        "too_short": "must not be empty",
        "string_too_short": "is too short",
        "string_too_long": "is too long",
    }
    return faults.get(kind, "does not fit")


def _sentence(text: str) -> str:
    """Return *text*, cut, with a capital if it does not begin with the name of a field such as ``first_port``."""
    text = text if len(text) <= LONGEST_SENTENCE else f"{text[:LONGEST_SENTENCE]}…"
    text = text[:1].upper() + text[1:] if text.split(" ", 1)[0].isalpha() else text
    return text if text.endswith(".") else f"{text}."
