# SPDX-License-Identifier: BSD-3-Clause
"""A user's options → what the configuration has for them, and the steps that the launcher runs before the server.

Pure functions, called by :mod:`.shipment` and the drivers. Keys of the user's choice select; every text comes from the configuration.
"""

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import HookMoment, JobTemplate, LabSide, ServiceOption, Software
from jupyter_jsc.config.systems import Partition, System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.wire import Options

_LOADING_S = 300
"""Limit of a step that loads software; on a busy parallel file system that takes a minute."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Chosen:
    """What the configuration has for a user's options."""

    option: ServiceOption
    partition: Partition
    templates: Sequence[JobTemplate]
    """Those that apply, in their order."""
    environment: Mapping[str, str]
    """Variables of the lab: templates, then software, then numbers that go there."""
    steps: Sequence[Mapping[str, Any]]
    """What the launcher runs, in this order: entries of ``lab.json``."""


def chosen(options: Options, system: System, configuration: Configuration) -> Chosen:
    """Return what *options* select; :class:`InvalidRequest` for what is not there."""
    option = known("option", options.option, configuration.options)
    partition = known("partition", options.partition, system.partitions)
    for key in options.resources:
        known("resources", key, partition.resources)
    applied = {key: template for key, template in configuration.jobs.items() if _applies(template, options)}
    software = _software(options, partition, configuration)
    environment: dict[str, str] = {}
    for variables in [part.environment for part in applied.values()] + [part.environment for part in software.values()]:
        environment |= variables
    for key, value in options.resources.items():
        if name := partition.resources[key].environment:
            environment[name] = str(value)
    steps = itertools.chain(
        _hooks(applied, HookMoment.BEFORE_SOFTWARE),
        _loading(option.label, option.setup if system.needs_account else [], software),
        _of_the_user(configuration.lab),
        _hooks(applied, HookMoment.BEFORE_SERVER),
    )
    return Chosen(option, partition, tuple(applied.values()), environment, tuple(steps))


def known(field: str, key: str | None, values: Mapping[str, _Value]) -> _Value:
    """Return the value of *key*; :class:`InvalidRequest` that names the option's *field* if there is none."""
    if key is None or key not in values:
        raise InvalidRequest(f"{field}: {key!r} is not known here.", field=f"options.{field}", value=repr(key))
    return values[key]


def _applies(template: JobTemplate, options: Options) -> bool:
    filters = (
        (template.systems, options.system),
        (template.partitions, options.partition),
        (template.options, options.option),
    )
    return all(wanted is None or key in wanted for wanted, key in filters)


def _software(options: Options, partition: Partition, configuration: Configuration) -> dict[tuple[str, str], Software]:
    """Return what is switched on, by set and key, in the configuration's order."""
    usable = {
        (set_key, key): item
        for set_key, software_set in configuration.software.items()
        for key, item in software_set.items.items()
        if item.fits(options.system, options.option, partition.kind)
    }
    if options.software is None:
        return {place: item for place, item in usable.items() if item.by_default(options.option)}
    wanted = {(set_key, key) for set_key, keys in options.software.items() for key in keys}
    for set_key, key in sorted(wanted - usable.keys()):
        known(f"software.{set_key}", key, {})
    return {place: item for place, item in usable.items() if place in wanted}


def _hooks(templates: Mapping[str, JobTemplate], moment: HookMoment) -> Iterator[dict[str, Any]]:
    for place, template in templates.items():
        for key, hook in template.hooks.items():
            if hook.when is moment:
                yield _step(f"hook.{place}.{key}", str(hook.label), hook.run, hook.required, hook.timeout_s)


def _loading(
    label: str, setup: Sequence[str], software: Mapping[tuple[str, str], Software]
) -> Iterator[dict[str, Any]]:
    if setup:
        yield _step("setup", f"Setting up {label}", setup, True, _LOADING_S)
    for (set_key, key), item in software.items():
        if item.modules:
            script = ["module load " + " ".join(map(shlex.quote, item.modules))]
            yield _step(f"software.{set_key}.{key}", f"Loading {item.label}", script, False, _LOADING_S)


def _of_the_user(lab: LabSide) -> Iterator[dict[str, Any]]:
    """Yield the user's own script, which the launcher skips if it is not there; it is read, so it need not be executable."""
    if lab.user_hook:
        script = [f'. "$HOME"/{shlex.quote(lab.user_hook)}']
        step = _step("user_hook", f"Running your ~/{lab.user_hook}", script, False, lab.user_hook_timeout_s)
        yield {**step, "file": lab.user_hook}


def _step(code: str, label: str, script: Sequence[str], required: bool, timeout_s: int) -> dict[str, Any]:
    return {"code": code, "label": label, "script": list(script), "required": required, "timeout_s": timeout_s}
