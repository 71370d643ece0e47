# SPDX-License-Identifier: BSD-3-Clause
"""The form for a lab's options: fields that depend on each other, completed, with what had to change. Pure.

Called by :mod:`.pages`. What is allowed comes from :mod:`.options`; this keeps what is still possible of what
was typed, and says in words what it could not keep.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jupyter_jsc.config.systems import Partition, PartitionKind, Resource
from jupyter_jsc.hub.views import resources as resource_words
from jupyter_jsc.rights.tree import OptionTree, SystemChoice

_NUMBER = re.compile(r"^-?[0-9]{1,9}$")
_CHOICES = ("system", "option", "account", "project", "partition")


@dataclass(frozen=True)
class Typed:
    """What came from the browser: ``resources`` holds numbers, or the text where it is no number."""

    title: str = ""
    suggested: str = ""
    """The title that the form had suggested; still untouched if it equals ``title``."""
    place: str = ""
    """System and partition that the numbers were typed for."""
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Change:
    """A value that is not possible: what is wrong with it, and what was chosen instead."""

    field: str
    mistake: str
    instead: str


@dataclass(frozen=True)
class Completed:
    """Options that :func:`.options.validate` accepts, and what of the given ones could not be kept."""

    options: dict[str, Any]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Choice:
    """One of the values of a field; ``reason`` says why it cannot be chosen, if so."""

    value: str
    label: str
    description: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Field:
    """A field of the form. ``number`` has limits, ``choice`` has choices, ``hidden`` has only one choice."""

    name: str
    label: str
    kind: str
    value: Any
    choices: tuple[Choice, ...] = ()
    resource: Resource | None = None
    hint: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Form:
    """Everything that the form's template prints."""

    title: str
    suggested: str
    place: str
    fields: tuple[Field, ...]
    changes: tuple[str, ...]
    mistakes: tuple[Change, ...]
    summary: str
    """What will be started, in one sentence that is true; empty while there are mistakes."""


def read(arguments: Mapping[str, str]) -> Typed:
    """Return what the browser sent."""
    numbers = {key.removeprefix("resources."): key for key in arguments if key.startswith("resources.")}
    options: dict[str, Any] = {name: arguments[name] for name in _CHOICES if name in arguments}
    options["resources"] = {key: _number(arguments[name].strip()) for key, name in numbers.items()}
    title = " ".join(arguments.get("title", "").split())
    return Typed(title, arguments.get("suggested", ""), arguments.get("place", ""), options)


def _number(text: str) -> int | str:
    return int(text) if _NUMBER.match(text) else text


def complete(raw: Mapping[str, Any], tree: OptionTree) -> Completed:
    """Return *raw* with what is still possible kept and sensible values for the rest. The tree has a system."""
    changes: list[Change] = []
    raw = {key: value if isinstance(value, str | Mapping) else _told(value) for key, value in raw.items()}

    def pick(field: str, allowed: Mapping[str, str], default: str, why: str) -> str:
        value = raw.get(field)
        if isinstance(value, str) and value in allowed:
            return value
        if value:
            label = field.capitalize()
            shown = allowed[default]
            changes.append(
                Change(field, f"{label}: {_shown(value)} {why}.", f"{label} is now {shown}: {_shown(value)} {why}.")
            )
        return default

    name = pick(
        "system",
        {key: choice.label for key, choice in tree.systems.items()},
        next(iter(tree.systems)),
        "is not open to you",
    )
    system = tree.systems[name]
    chosen = {"system": name, **_pick_on(system, pick, raw)}
    partition = system.partitions[chosen["partition"]]
    given = raw.get("resources")
    numbers = _complete_numbers(given if isinstance(given, Mapping) else {}, partition, chosen["partition"], changes)
    return Completed({**chosen, "resources": numbers}, tuple(changes))


def _told(value: object) -> str:
    """Return a value that no form sends as text that can be compared and shown."""
    return "" if value is None else str(value)


def _pick_on(system: SystemChoice, pick: Callable[..., str], raw: Mapping[str, Any]) -> dict[str, str]:
    options = {key: option.label for key, option in system.options.items()}
    default = next((key for key, option in system.options.items() if option.default), next(iter(options)))
    option = pick("option", options, default, f"does not exist on {system.label}")
    accounts = {key: key for key in system.accounts}
    # The project that was chosen is worth more than the order of the accounts.
    wanted = [key for key, projects in system.accounts.items() if str(raw.get("project")) in projects]
    account = pick("account", accounts, next(iter(wanted or accounts)), f"is no account on {system.label}")
    projects = system.accounts[account]
    project = pick("project", {key: key for key in projects}, next(iter(projects)), f"is no project on {system.label}")
    opened = {key: _label(key, system.partitions[key]) for key in system.partitions if key in projects[project]}
    known = str(raw.get("partition")) in system.partitions
    why = f"is not open to project {project}" if known else f"is not there for you on {system.label}"
    partition = pick("partition", opened, next(iter(opened)), why)
    return {"option": option, "account": account, "project": project, "partition": partition}


def _complete_numbers(
    given: Mapping[str, Any], partition: Partition, key: str, changes: list[Change]
) -> dict[str, int]:
    if partition.kind is PartitionKind.INTERACTIVE:
        return {}
    numbers = {}
    for name, resource in partition.resources.items():
        value = given.get(name)
        numbers[name] = fitting = _fitting(value, resource)
        if value is not None and (isinstance(value, bool) or value != fitting):
            unit = f" {resource.unit}" if resource.unit else ""
            instead_of = "" if value == "" else f", not {_shown(value)}"
            mistake = f"{resource.label}: {limits(resource)}{instead_of}."
            instead = f"{resource.label} is now {fitting}{unit}: {_label(key, partition)} allows {limits(resource)}."
            changes.append(Change(f"resources.{name}", mistake, instead))
    return numbers


def _fitting(value: object, resource: Resource) -> int:
    wanted = value if isinstance(value, int) and not isinstance(value, bool) else resource.default
    inside = min(max(wanted, resource.minimum), resource.maximum)
    return inside - (inside - resource.minimum) % resource.step


def limits(resource: Resource) -> str:
    """Return what a resource may be: ``10 to 120 min in steps of 5``."""
    unit = f" {resource.unit}" if resource.unit else ""
    steps = f" in steps of {resource.step}" if resource.step > 1 else ""
    if resource.minimum == resource.maximum:
        return f"exactly {resource.minimum}{unit}"
    return f"{resource.minimum} to {resource.maximum}{unit}{steps}"


def build(typed: Typed, tree: OptionTree, taken: Collection[str], *, submitted: bool = False) -> Form:
    """Return the form for what was typed: completed, or, where the typed values stand, with their mistakes.

    Numbers typed for the partition that is shown stay as they were typed; *submitted* makes every value that
    is not possible a mistake. *taken* are the titles of the user's labs.
    """
    raw = typed.options or {}
    done = complete(raw, tree)
    system = tree.systems[done.options["system"]]
    place = f"{done.options['system']}/{done.options['partition']}"
    stay = place == typed.place
    mistakes = [c for c in done.changes if submitted or (stay and c.field.startswith("resources."))]
    if submitted and not typed.title:
        mistakes.insert(0, Change("title", "Give the lab a name.", ""))
    kept = {field.removeprefix("resources.") for field in (c.field for c in mistakes if stay) if "." in field}
    numbers = {key: raw["resources"][key] if key in kept else value for key, value in done.options["resources"].items()}
    shown = {**done.options, "resources": numbers}
    title = typed.title
    partition = done.options["partition"]
    suggested = fresh_title(f"{system.label} {_label(partition, system.partitions[partition])}", taken)
    if title == typed.suggested and not submitted:
        title = suggested
    said = {change.field: change.mistake for change in mistakes}
    return Form(
        title=title,
        suggested=suggested,
        place=place,
        fields=tuple(replace(field, mistake=said.get(field.name, "")) for field in _fields(shown, tree)),
        changes=tuple(change.instead for change in done.changes if change not in mistakes and _matters(change, system)),
        mistakes=tuple(mistakes),
        summary="" if mistakes else _summary(done.options, tree),
    )


def with_mistake(form: Form, field: str, mistake: str) -> Form:
    """Return *form* with one more mistake at a field."""
    fields = tuple(replace(item, mistake=mistake) if item.name == field else item for item in form.fields)
    return replace(form, fields=fields, mistakes=(*form.mistakes, Change(field, mistake, "")))


def _matters(change: Change, system: SystemChoice) -> bool:
    return change.field != "account" or len(system.accounts) > 1


def _fields(chosen: Mapping[str, Any], tree: OptionTree) -> list[Field]:
    system = tree.systems[chosen["system"]]
    projects = system.accounts[chosen["account"]]
    partition = system.partitions[chosen["partition"]]
    systems = tuple(Choice(key, choice.label, choice.description) for key, choice in tree.systems.items())
    options = tuple(Choice(key, option.label, option.description) for key, option in system.options.items())
    accounts = tuple(Choice(key, key) for key in system.accounts)
    reason = f"not with project {chosen['project']}"
    partitions = tuple(
        Choice(key, _label(key, item), item.description, "" if key in projects[chosen["project"]] else reason)
        for key, item in system.partitions.items()
    )
    fields = [
        Field("system", "Where", "choice", chosen["system"], systems),
        Field("option", "What", "choice", chosen["option"], options),
        Field("account", "Account", "choice" if len(accounts) > 1 else "hidden", chosen["account"], accounts),
        Field(
            "project",
            "Project",
            "choice" if len(projects) > 1 else "hidden",
            chosen["project"],
            tuple(Choice(key, key) for key in projects),
        ),
        Field("partition", "Partition", "choice", chosen["partition"], partitions),
    ]
    return fields + [
        Field(
            f"resources.{key}",
            resource.label,
            "number",
            chosen["resources"][key],
            resource=resource,
            hint=limits(resource),
        )
        for key, resource in partition.resources.items()
        if key in chosen["resources"]
    ]


def _summary(chosen: Mapping[str, Any], tree: OptionTree) -> str:
    system = tree.systems[chosen["system"]]
    partition = system.partitions[chosen["partition"]]
    option = system.options[chosen["option"]].label
    where = f"{system.label}, {_label(chosen['partition'], partition)}"
    payer = f"project {chosen['project']}, account {chosen['account']}"
    if partition.kind is PartitionKind.INTERACTIVE:
        return f"{option} on {where}: starts at once, without a queue. {payer.capitalize()}."
    what = resource_words(
        {key: value for key, value in chosen["resources"].items() if key != "runtime"}, partition.resources
    )
    runtime = chosen["resources"].get("runtime")
    time = f" for {resource_words({'runtime': runtime}, {})}" if runtime else ""
    return f"{option} on {where}{f': {what}' if what else ''}{time}. {payer.capitalize()}."


def fresh_title(name: str, taken: Collection[str]) -> str:
    """Return *name*, with a number behind it if a lab has that title already."""
    title, number = name[:50].strip(), 2
    while title in taken:
        title = f"{name[:50].strip()} {number}"
        number += 1
    return title


def _label(key: str, partition: Partition) -> str:
    return partition.label or key


def _shown(value: object) -> str:
    text = str(value)
    return f"“{text}”" if len(text) <= 40 else f"“{text[:39]}…”"
