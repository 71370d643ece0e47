# SPDX-License-Identifier: BSD-3-Clause
"""Parts of the configuration and trees made of it → JSON in one language. Pure functions."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

from jupyter_jsc.config.base import LANGUAGES, Language, Text


def document(value: Any, language: Language) -> Any:
    """Return *value* as JSON: models, dataclasses and mappings by field, texts in *language*."""
    if isinstance(value, Text):
        return value.say(language)
    if isinstance(value, BaseModel):
        return {name: document(getattr(value, name), language) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value):
        return {field.name: document(getattr(value, field.name), language) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: document(item, language) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [document(item, language) for item in value]
    return value.value if isinstance(value, Enum) else value


def language_of(wanted: str, accepted: str) -> Language:
    """Return *wanted* if the portal speaks it, else the best of an Accept-Language header (RFC 9110, 12.5.4)."""
    for language in LANGUAGES:
        if language == wanted:
            return language
    ranked = [
        (_weight(weight), -place, language)
        for place, part in enumerate(accepted[:500].split(","))
        for tag, _, weight in [part.strip().partition(";")]
        for language in LANGUAGES
        if tag.lower().partition("-")[0] == language
    ]
    weight, _, language = max(ranked, default=(0.0, 0, LANGUAGES[0]))
    return language if weight > 0 else LANGUAGES[0]


def _weight(text: str) -> float:
    try:
        return float(text.strip().removeprefix("q=")) if text else 1.0
    except ValueError:
        return 0.0
