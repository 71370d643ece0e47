# SPDX-License-Identifier: BSD-3-Clause
"""Options that were typed, saved or duplicated → options that are possible now, and what had to change. Pure.

Called by :mod:`.form`, and by :mod:`.views` for the reason why a saved lab cannot be started any more. What is possible
comes from :mod:`jupyter_jsc.rights.options`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_jsc.config.base import Language, Text
from jupyter_jsc.config.systems import Resource
from jupyter_jsc.hub.words import PAGE_LANGUAGE, listed
from jupyter_jsc.rights.tree import (
    NOBODY,
    OptionChoice,
    OptionTree,
    PartitionChoice,
    Place,
    SoftwareSetChoice,
    SystemChoice,
)

_MOST_NAMES = 4
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class Shown:
    """What the form offered when it was filled in: what it did not offer becomes what is usual there."""

    resources: Collection[str]
    software: Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Change:
    """A value that is not possible: what is wrong with it, and what was chosen instead."""

    field: str
    mistake: str
    instead: str


@dataclass(frozen=True)
class Completed:
    """Options that :func:`jupyter_jsc.rights.validate.validate` accepts, and what of the given ones could not be kept."""

    options: dict[str, Any]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Selection:
    """The parts of the tree that possible options name."""

    system: SystemChoice
    option: OptionChoice
    projects: Mapping[str, Mapping[str, Place]]
    """The projects of the account."""
    places: Mapping[str, Place]
    """The partitions of account and project."""
    place: Place
    partition: PartitionChoice


def selected(options: Mapping[str, Any], tree: OptionTree) -> Selection:
    """Return the parts of *tree* that *options*, which are possible, name."""
    system = tree.systems[options["system"]]
    option = system.options[options["option"]]
    projects = option.accounts[options["account"] or NOBODY]
    places = projects[options["project"] or NOBODY]
    partition = options["partition"]
    return Selection(system, option, projects, places, places[partition], option.partitions[partition])


def complete(
    raw: Mapping[str, Any], tree: OptionTree, language: Language = PAGE_LANGUAGE, shown: Shown | None = None
) -> Completed:
    """Return *raw* with what is still possible kept and sensible values for the rest. The tree has a system.

    *shown* says what was there to choose from; None: everything, as for options that are saved.
    """
    completion = _Completion(raw, tree, language, shown)
    completion.choose_place()
    completion.choose_reservation()
    completion.choose_image()
    completion.choose_numbers()
    completion.choose_software()
    return Completed(completion.options, tuple(completion.changes))


@dataclass
class _Completion:
    """Fills in ``options`` field by field, each with what is possible with those before it."""

    raw: Mapping[str, Any]
    tree: OptionTree
    language: Language
    shown: Shown | None
    options: dict[str, Any] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def choose_place(self) -> None:
        """Choose system, option, account, project and partition."""
        systems = {key: item.label for key, item in self.tree.systems.items()}
        usable = _first({key: item.blocked for key, item in self.tree.systems.items()})
        system = self.tree.systems[self._pick("system", systems, usable, "is not open to you")]
        names = {key: item.label for key, item in system.options.items()}
        usual = next((key for key, item in system.options.items() if item.default), next(iter(names)))
        option = system.options[self._pick("option", names, usual, f"is not there on {system.label}", self._options())]
        if system.needs_account:
            places = self._payer(system, option)
        else:
            self.options |= {"account": None, "project": None}
            places = option.accounts[NOBODY][NOBODY]
        opened = {key: item.label for key, item in option.partitions.items() if key in places}
        usable = _first({key: option.partitions[key].blocked for key in opened})
        known = {key: item.label for other in system.options.values() for key, item in other.partitions.items()}
        self._pick("partition", opened, usable, self._why_no_partition(system, option), known)

    def _options(self) -> dict[str, str]:
        return {key: item.label for system in self.tree.systems.values() for key, item in system.options.items()}

    def _payer(self, system: SystemChoice, option: OptionChoice) -> Mapping[str, Place]:
        """Choose account and project; return the partitions that they open."""
        # The project that was chosen is worth more than the order of the accounts.
        wanted = [key for key, projects in option.accounts.items() if self._text("project") in projects]
        where = f"on {system.label} with {option.label}"
        accounts = {key: key for key in option.accounts}
        account = self._pick("account", accounts, next(iter(wanted or accounts)), f"cannot be used {where}")
        projects = option.accounts[account]
        names = {key: key for key in projects}
        return projects[self._pick("project", names, next(iter(names)), f"cannot be used {where} by account {account}")]

    def _why_no_partition(self, system: SystemChoice, option: OptionChoice) -> str:
        value = self._text("partition")
        if value in option.partitions:
            return f"is not open to project {self.options['project']}"
        if any(value in other.partitions for other in system.options.values()):
            return f"is not there with {option.label}"
        return f"is not there for you on {system.label}"

    def choose_reservation(self) -> None:
        """Choose a reservation, or none where that is possible."""
        here = selected(self.options, self.tree)
        value, place = self._text("reservation"), here.place
        if value in place.reservations:
            self.options["reservation"] = value
            return
        usable = {key: here.system.reservations[key].blocked for key in place.reservations}
        chosen = _first(usable) if place.reservation_required else None
        self.options["reservation"] = chosen
        if value:
            payer = f" by project {self.options['project']}" if self.options["project"] else ""
            known = value in here.system.reservations
            where = f"in {here.partition.label}{payer}" if known else f"on {here.system.label}"
            why = f"{_quoted(value)} cannot be used {where}"
            now = f"Reservation is now {chosen}" if chosen else "No reservation is chosen now"
            self.changes.append(Change("reservation", f"Reservation: {why}.", f"{now}: {why}."))

    def choose_image(self) -> None:
        """Choose an image where the option has some; a lab that moves to a system without them loses it silently."""
        option = selected(self.options, self.tree).option
        self.options["image"] = None
        if option.images:
            names = {key: item.label for key, item in option.images.items()}
            self._pick("image", names, next(iter(names)), f"is not there with {option.label}")

    def choose_numbers(self) -> None:
        """Fit the numbers into their limits; one with a box is only there while that is ticked."""
        partition = selected(self.options, self.tree).partition
        given = self.raw.get("resources")
        numbers = self.options["resources"] = {}
        for name, resource in partition.resources.items():
            value = given.get(name) if isinstance(given, Mapping) else None
            if resource.checkbox is not None and not self._ticked(name, resource, given):
                continue
            numbers[name] = fitting = _fitting(value, resource)
            if value is not None and (isinstance(value, bool) or value != fitting):
                self.changes.append(self._other_number(name, resource, value, partition.label))

    def _ticked(self, name: str, resource: Resource, given: object) -> bool:
        if not isinstance(given, Mapping) or (self.shown is not None and name not in self.shown.resources):
            return resource.checkbox is not None and resource.checkbox.default
        return name in given

    def _other_number(self, name: str, resource: Resource, value: object, partition: str) -> Change:
        label, unit = resource.label.say(self.language), f" {resource.unit}" if resource.unit else ""
        instead_of = "" if value == "" else f", not {_quoted(value)}"
        return Change(
            f"resources.{name}",
            f"{label}: {limits(resource)}{instead_of}.",
            f"{label} is now {_fitting(value, resource)}{unit}: {partition} allows {limits(resource)}.",
        )

    def choose_software(self) -> None:
        """Switch on what was on, and of what was not there to choose from what usually is."""
        here = selected(self.options, self.tree)
        given = self.raw.get("software")
        self.options["software"] = {
            key: self._switched_on(key, offer, given.get(key) if isinstance(given, Mapping) else None)
            for key, offer in here.partition.software.items()
        }
        gone = [name for name in _wanted(given) if name not in _offered(here.partition)]
        lost = list(dict.fromkeys(label for name, label in _never_by_itself(self.tree) if name in gone)) if gone else []
        if lost:
            verb = "are" if len(lost) > 1 else "is"
            where = f"on {here.system.label}, {here.partition.label}, with {here.option.label}"
            text = f"{listed(lost, _MOST_NAMES)} {verb} not there {where}."
            self.changes.append(Change("software", text, text))

    def _switched_on(self, key: str, offer: SoftwareSetChoice, given: object) -> list[str]:
        if not isinstance(given, list | tuple):
            return [name for name, item in offer.items.items() if item.default]
        seen = offer.items if self.shown is None else self.shown.software.get(key, ())
        return [name for name, item in offer.items.items() if (name in given if name in seen else item.default)]

    def _text(self, name: str) -> str:
        value = self.raw.get(name)
        return value if isinstance(value, str) else "" if value is None else str(value)

    def _pick(
        self, name: str, allowed: Mapping[str, str], default: str, why: str, known: Mapping[str, str] | None = None
    ) -> str:
        """Choose the value of a field: what was given if it is *allowed*, else *default*, said because it *why*."""
        value = self._text(name)
        chosen = self.options[name] = value if value in allowed else default
        if value and value != chosen:
            label, reason = name.capitalize(), f"{_quoted((known or {}).get(value, value))} {why}"
            self.changes.append(Change(name, f"{label}: {reason}.", f"{label} is now {allowed[chosen]}: {reason}."))
        return chosen


def limits(resource: Resource) -> str:
    """Return what a resource may be: ``10 to 120 min in steps of 5``."""
    unit = f" {resource.unit}" if resource.unit else ""
    steps = f" in steps of {resource.step}" if resource.step > 1 else ""
    if resource.minimum == resource.maximum:
        return f"exactly {resource.minimum}{unit}"
    return f"{resource.minimum} to {resource.maximum}{unit}{steps}"


def _fitting(value: object, resource: Resource) -> int:
    wanted = value if isinstance(value, int) and not isinstance(value, bool) else resource.default
    inside = min(max(wanted, resource.minimum), resource.maximum)
    return inside - (inside - resource.minimum) % resource.step


def _first(blocked: Mapping[str, Text]) -> str:
    """Return the first key that nothing blocks, or else the first."""
    return next((key for key, reason in blocked.items() if not reason), next(iter(blocked)))


def _wanted(given: object) -> Iterable[tuple[str, str]]:
    """Return set and key of all software that is switched on."""
    sets = given.items() if isinstance(given, Mapping) else ()
    return [(key, name) for key, names in sets if isinstance(names, list | tuple) for name in names if _is_text(name)]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _offered(partition: PartitionChoice) -> set[tuple[str, str]]:
    return {(key, name) for key, offer in partition.software.items() for name in offer.items}


def _never_by_itself(tree: OptionTree) -> Iterable[tuple[tuple[str, str], str]]:
    """Return software that is nowhere on by itself, with its label: whoever has it has asked for it."""
    items = {
        ((key, name), item.label, item.default)
        for system in tree.systems.values()
        for option in system.options.values()
        for partition in option.partitions.values()
        for key, offer in partition.software.items()
        for name, item in offer.items.items()
    }
    usual = {where for where, _, default in items if default}
    return sorted((where, label) for where, label, _ in items if where not in usual)


def _quoted(value: object) -> str:
    text = str(value)
    return f"“{text}”" if len(text) <= _LONGEST_VALUE else f"“{text[: _LONGEST_VALUE - 1]}…”"
