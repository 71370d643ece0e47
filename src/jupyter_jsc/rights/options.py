# SPDX-License-Identifier: BSD-3-Clause
"""What a user may start, and whether given options are among it. Pure functions.

``options_tree`` is what the form renders; ``validate`` is what form, API and spawner check with. Called by
``pages``, ``handlers`` and ``spawner``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from jupyter_jsc import wire
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import Partition, PartitionKind, Resource, System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.rights.accounts import Account

_LONGEST_VALUE = 50
"""So much of what was sent is repeated in a message."""


@dataclass(frozen=True)
class OptionChoice:
    """A service option as the form shows it."""

    label: str
    description: str
    default: bool


@dataclass(frozen=True)
class SystemChoice:
    """A system that the user may use, with everything that can be chosen on it."""

    label: str
    description: str
    order: int
    options: Mapping[str, OptionChoice]
    accounts: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Unix account → project → keys of partitions."""
    partitions: Mapping[str, Partition]
    """The partitions that any of the accounts opens, in the configuration's order."""


@dataclass(frozen=True)
class OptionTree:
    """Everything that one user may choose, systems in the configuration's order."""

    systems: Mapping[str, SystemChoice]


def options_tree(accounts: Sequence[Account], configuration: Configuration) -> OptionTree:
    """Return what a user with *accounts* may start under *configuration*."""
    systems = sorted(configuration.systems.items(), key=lambda item: (item[1].order, item[0]))
    choices = {name: _system_choice(name, system, accounts, configuration) for name, system in systems}
    return OptionTree({name: choice for name, choice in choices.items() if choice.accounts and choice.options})


def _system_choice(
    name: str, system: System, accounts: Sequence[Account], configuration: Configuration
) -> SystemChoice:
    own: dict[str, dict[str, tuple[str, ...]]] = {}
    for entry in accounts:
        if entry.system == name and entry.partitions:
            own.setdefault(entry.account, {})[entry.project] = entry.partitions
    opened = {key for projects in own.values() for keys in projects.values() for key in keys}
    return SystemChoice(
        label=system.label,
        description=system.description,
        order=system.order,
        options={
            key: OptionChoice(option.label, option.description, option.default)
            for key, option in configuration.options.items()
            if option.systems is None or name in option.systems
        },
        accounts=own,
        partitions={key: partition for key, partition in system.partitions.items() if key in opened},
    )


def validate(raw: object, tree: OptionTree) -> wire.Options:
    """Return *raw* as options that *tree* allows, or raise :class:`InvalidRequest`.

    The message names the field, the value and what is allowed; the detail holds the same as ``field``,
    ``value`` and ``allowed``.
    """
    options = _shape(raw)
    system = _one_of("system", options.system, tree.systems)
    _one_of("option", options.option, system.options)
    projects = _one_of("account", options.account, system.accounts)
    partitions = _one_of("project", options.project, projects)
    _one_of("partition", options.partition, dict.fromkeys(partitions))
    partition = system.partitions[str(options.partition)]
    wanted = {} if partition.kind is PartitionKind.INTERACTIVE else partition.resources
    for key in options.resources:
        _one_of("resources", key, wanted)
    for key, resource in wanted.items():
        _check_number(key, options.resources.get(key), resource)
    return options


def _shape(raw: object) -> wire.Options:
    if not isinstance(raw, dict):
        raise _refusal("options", raw, "an object with system, option, account, project, partition and resources")
    try:
        return wire.Options.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]") or "options"
        if first["type"] == "extra_forbidden":
            raise _refusal(place, first["input"], "no such field; " + ", ".join(wire.Options.model_fields)) from error
        kind = "a whole number" if first["type"].startswith("int") else first["msg"]
        raise _refusal(place, first.get("input"), kind) from error


def _one_of(field: str, value: str | None, allowed: Mapping[str, Any]) -> Any:
    if value is None or value not in allowed:
        raise _refusal(field, value, "one of " + ", ".join(allowed) if allowed else "nothing here")
    return allowed[value]


def _check_number(key: str, value: int | None, resource: Resource) -> None:
    unit = f" {resource.unit}" if resource.unit else ""
    steps = f" in steps of {resource.step}" if resource.step > 1 else ""
    allowed = f"{resource.minimum} to {resource.maximum}{unit}{steps}"
    inside = value is not None and resource.minimum <= value <= resource.maximum
    if not inside or (value is not None and (value - resource.minimum) % resource.step):
        raise _refusal(f"resources.{key}", value, allowed)


def _refusal(field: str, value: object, allowed: str) -> InvalidRequest:
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST_VALUE else shown[: _LONGEST_VALUE - 1] + "…"
    field = field if len(field) <= _LONGEST_VALUE else field[: _LONGEST_VALUE - 1] + "…"
    return InvalidRequest(
        f"{field}: {shown} is not possible. Allowed: {allowed}.", field=field, value=shown, allowed=allowed
    )
