# SPDX-License-Identifier: BSD-3-Clause
"""Whether given options are in a user's tree, and whether they could be started just now. Pure.

Called by the hub (form, API, ``apply_user_options``) and by the manager's gate: nothing that somebody sends reaches a
job, a path, a label or a shell without :func:`validate`.
"""

import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from jupyter_jsc import wire
from jupyter_jsc.config.base import Text
from jupyter_jsc.config.systems import Resource
from jupyter_jsc.errors import Conflict, InvalidRequest
from jupyter_jsc.rights.tree import FREE, NOBODY, OptionChoice, OptionTree, Place, SoftwareSetChoice, SystemChoice

_LONGEST_VALUE = 50
"""So much of what was sent is repeated in a message."""
_MOST_NAMES = 30
"""So many of the names that are allowed are listed."""


def validate(raw: object, tree: OptionTree) -> wire.Options:
    """Return *raw* as options that *tree* allows, or raise :class:`~jupyter_jsc.errors.InvalidRequest`.

    *raw* is what came as JSON, or options. Software that is not given becomes what is on by default, an image that is not
    given the first one. The message of the error names the field, the value and what is allowed; its detail holds the same
    as ``field``, ``value`` and ``allowed``.
    """
    options = raw if isinstance(raw, wire.Options) else _shape(raw)
    system = _one_of("system", options.system, tree.systems)
    option = _one_of("option", options.option, system.options)
    account, project = _payer(options, system)
    projects = _one_of("account", account, option.accounts)
    places = _one_of("project", project, projects)
    place = _one_of("partition", options.partition, places)
    _check_reservation(options.reservation, place)
    partition = option.partitions[str(options.partition)]
    _check_resources(options.resources, partition.resources)
    software = _software(options.software, partition.software)
    return options.model_copy(update={"software": software, "image": _image(options.image, option)})


def check_start(options: wire.Options, tree: OptionTree) -> None:
    """Raise :class:`~jupyter_jsc.errors.Conflict` if *options*, which *tree* allows, cannot be started just now.

    The message says why in English; the detail has both languages as ``en`` and ``de``.
    """
    if text := blocked(options, tree):
        raise Conflict(text.en, en=text.en, de=text.say("de"))


def blocked(options: wire.Options, tree: OptionTree) -> Text:
    """Return the first reason why *options*, which *tree* allows, cannot be started just now; empty if there is none."""
    system = tree.systems[options.system]
    option = system.options[options.option]
    reasons = [tree.blocked, system.blocked, option.partitions[str(options.partition)].blocked]
    if options.reservation is not None:
        reasons.append(system.reservations[options.reservation].blocked)
    return next((reason for reason in [*reasons, option.blocked] if reason), FREE)


def _shape(raw: object) -> wire.Options:
    if not isinstance(raw, dict):
        raise _refusal("options", raw, "an object with " + ", ".join(wire.Options.model_fields))
    try:
        return wire.Options.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]") or "options"
        if first["type"] == "extra_forbidden":
            raise _refusal(place, first["input"], "no such field; " + ", ".join(wire.Options.model_fields)) from error
        kind = "a whole number" if first["type"].startswith("int") else first["msg"]
        raise _refusal(place, first.get("input"), kind) from error


def _payer(options: wire.Options, system: SystemChoice) -> tuple[str | None, str | None]:
    """Return account and project as they stand in the tree."""
    if system.needs_account:
        return options.account, options.project
    for field, value in (("account", options.account), ("project", options.project)):
        if value is not None:
            raise _refusal(field, value, "nothing here")
    return NOBODY, NOBODY


def _one_of(field: str, value: str | None, allowed: Mapping[str, Any]) -> Any:
    if value is None or value not in allowed:
        raise _refusal(field, value, _names(allowed))
    return allowed[value]


def _check_reservation(value: str | None, place: Place) -> None:
    if value is None and not place.reservation_required:
        return
    if value not in place.reservations:
        raise _refusal("reservation", value, _names(place.reservations))


def _check_resources(given: Mapping[str, int], resources: Mapping[str, Resource]) -> None:
    for key in given:
        _one_of("resources", key, resources)
    for key, resource in resources.items():
        if key in given or resource.checkbox is None:
            _check_number(key, given.get(key), resource)


def _check_number(key: str, value: int | None, resource: Resource) -> None:
    unit = f" {resource.unit}" if resource.unit else ""
    steps = f" in steps of {resource.step}" if resource.step > 1 else ""
    inside = value is not None and resource.minimum <= value <= resource.maximum
    if not inside or (value is not None and (value - resource.minimum) % resource.step):
        raise _refusal(f"resources.{key}", value, f"{resource.minimum} to {resource.maximum}{unit}{steps}")


def _image(value: str | None, option: OptionChoice) -> str | None:
    """Return the image's key, that of the first if none is given; None where there are none."""
    if value is None:
        return next(iter(option.images), None)
    _one_of("image", value, option.images)
    return value


def _software(given: Mapping[str, list[str]] | None, sets: Mapping[str, SoftwareSetChoice]) -> dict[str, list[str]]:
    if given is None:
        return {key: [name for name, item in offer.items.items() if item.default] for key, offer in sets.items()}
    for key, names in given.items():
        offer = _one_of("software", key, sets)
        for name in names:
            _one_of(f"software.{key}", name, offer.items)
            if names.count(name) > 1:
                raise _refusal(f"software.{key}", name, "each at most once")
    return {key: list(names) for key, names in given.items()}


def _names(allowed: Collection[str]) -> str:
    names = list(allowed)[:_MOST_NAMES]
    if not any(names):
        return "nothing here"
    more = f" and {len(allowed) - _MOST_NAMES} more" if len(allowed) > _MOST_NAMES else ""
    return "one of " + ", ".join(names) + more


class _Shown(reprlib.Repr):
    """Values in messages: a few characters of each, however large or deep they are."""

    maxlevel = 3
    maxlist = maxdict = maxtuple = maxset = 3

    def repr_str(self, x: str, _level: int) -> str:
        return repr(x[: _LONGEST_VALUE + 1])

    def repr_int(self, x: int, _level: int) -> str:
        # Python refuses to print numbers of thousands of digits.
        return repr(x) if x.bit_length() <= 256 else "a huge number"


def _refusal(field: str, value: object, allowed: str) -> InvalidRequest:
    shown = _cut(_Shown().repr(value))
    # A name as it was sent may hold anything: it is shown escaped, like a value.
    field = _cut(repr(field[: _LONGEST_VALUE + 1])[1:-1])
    return InvalidRequest(
        f"{field}: {shown} is not possible. Allowed: {allowed}.", field=field, value=shown, allowed=allowed
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
