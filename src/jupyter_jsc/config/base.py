# SPDX-License-Identifier: BSD-3-Clause
"""What every part of the configuration is made of: sections, texts in two languages, references, patterns."""

import fnmatch
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from jupyter_jsc.wire import Key

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "de")


class Section(BaseModel):
    """Base of all parts of the configuration: frozen, unknown keys refused, docstrings of fields are their reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Text(Section):
    """A text that people read. A plain string stands for both languages."""

    en: str
    """English."""
    de: str = ""
    """German; empty: the English text."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"en": value} if isinstance(value, str) else value

    def say(self, language: Language) -> str:
        """Return the text in *language*, or in English where there is no other."""
        return (self.de if language == "de" else "") or self.en

    def __str__(self) -> str:
        return self.en

    def __bool__(self) -> bool:
        return bool(self.en)


@dataclass(frozen=True)
class Reference:
    """Marks a field (by ``Annotated``) whose value must be a key of another part; checked by :mod:`.references`.

    *target* is a path from the root such as ``systems`` or ``systems/*/partitions``; ``{field}`` in it stands for the
    value of a field beside the marked one. A path that begins with ``./`` starts at the section that holds the field,
    however deep in its lists and mappings the value stands.
    """

    target: str


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500)]
"""A shell-style pattern: ``*`` any text, ``?`` one character, ``[ab]`` one of these. Upper and lower case differ."""

SystemKey = Annotated[Key, Reference("systems")]
OptionKey = Annotated[Key, Reference("options")]
GroupKey = Annotated[Key, Reference("groups")]
AnyPartitionKey = Annotated[Key, Reference("systems/*/partitions")]


def matches(value: str, patterns: list[Pattern]) -> bool:
    """Tell whether *value* fits one of *patterns*."""
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)
