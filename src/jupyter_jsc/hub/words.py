# SPDX-License-Identifier: BSD-3-Clause
"""How the pages say things: the centre's texts in the request's language, what a lab runs with. Pure.

Called by :mod:`.views`, :mod:`.form` and their parts. The portal's own sentences are English, as the pages are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_jsc.config.base import Language, Text
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import ServiceOption
from jupyter_jsc.config.systems import Resource
from jupyter_jsc.times import duration

PAGE_LANGUAGE: Language = "en"
"""What the pages say of themselves in ``<html lang>``."""
_SHORT = {"memory": "", "home": " home"}
"""Resources that number and unit say, with what stands behind."""
_IN_BRACKETS = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")


@dataclass(frozen=True)
class Said:
    """Words that somebody wrote; ``lang`` is their language where it is not the page's."""

    text: str = ""
    lang: str = ""

    def __str__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return bool(self.text)


NOTHING = Said()


def said(text: Text, language: Language) -> Said:
    """Return *text* in *language*."""
    words = text.say(language)
    return Said(words, "" if language == PAGE_LANGUAGE or words == text.en else language)


def listed(words: list[str], most: int) -> str:
    """Return *words* in a row, and how many there are beyond the first *most*."""
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} more"


def facts(options: Mapping[str, Any], configuration: Configuration, language: Language) -> tuple[str, ...]:
    """Return where and with what a lab runs, as short words; what *configuration* does not have by its key."""
    system = configuration.systems.get(str(options.get("system")))
    partition = system.partitions.get(str(options.get("partition"))) if system else None
    option = configuration.options.get(str(options.get("option")))
    chosen = options.get("resources")
    words = [
        system.label if system else options.get("system"),
        (partition.label if partition else "") or options.get("partition"),
        f"reservation {options['reservation']}" if options.get("reservation") else "",
        resources(
            chosen if isinstance(chosen, Mapping) else {}, {} if partition is None else partition.resources, language
        ),
        option.label if option else options.get("option"),
        _image(options.get("image"), option),
        f"project {options['project']}" if options.get("project") else "",
    ]
    return tuple(str(word) for word in words if word)


def _image(key: object, option: ServiceOption | None) -> str:
    """Return the image's name where there are several."""
    images = option.container.images if option is not None and option.container is not None else {}
    if key is None or len(images) == 1:
        return ""
    return images[str(key)].label if key in images else str(key)


def resources(values: Mapping[str, Any], known: Mapping[str, Resource], language: Language) -> str:
    """Return chosen resources as words: ``2 nodes, 4 GPUs per node, 1 h``; ``2 cores, 8 GB, 10 GB home, 8 h``."""
    order = {"nodes": 0, "cpus": 0, "memory": 1, "gpus": 2, "runtime": 4}
    several = values.get("nodes", 1) != 1
    words = [
        _resource(key, values[key], known.get(key), language, each=" per node" if several else "")
        for key in sorted(values, key=lambda key: order.get(key, 3))
    ]
    return ", ".join(words)


def _resource(key: str, value: object, resource: Resource | None, language: Language, *, each: str) -> str:
    if key == "nodes":
        return f"{value} node" if value == 1 else f"{value} nodes"
    if key == "gpus":
        return (f"{value} GPU" if value == 1 else f"{value} GPUs") + each
    if key == "cpus":
        return f"{value} core" if value == 1 else f"{value} cores"
    if key == "runtime" and isinstance(value, int):
        return duration(value * 60)
    if resource is None:
        return f"{key} {value}"
    unit = f" {resource.unit}" if resource.unit else ""
    if key in _SHORT and unit and resource.checkbox is None:
        return f"{value}{unit}{_SHORT[key]}"
    number = f"{_without_limits(resource, language)} {value}{unit}"
    if resource.checkbox is None:
        return number
    box = resource.checkbox.label.say(language)
    return box if resource.minimum == resource.maximum else f"{box} ({number})"


def names_limits(resource: Resource, language: Language) -> bool:
    """Tell whether the label of *resource* says its limits already."""
    return _without_limits(resource, language) != resource.label.say(language)


def _without_limits(resource: Resource, language: Language) -> str:
    """Return the label without limits in brackets, which belong to the form's field alone."""

    def kept(brackets: re.Match[str]) -> str:
        words = re.split(r"[^\w{}]+", brackets[0])
        limits = ({"{minimum}", str(resource.minimum)}, {"{maximum}", str(resource.maximum)})
        return "" if all(names.intersection(words) for names in limits) else brackets[0]

    return _IN_BRACKETS.sub(kept, resource.label.say(language))
