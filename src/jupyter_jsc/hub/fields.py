# SPDX-License-Identifier: BSD-3-Clause
"""The fields of the form for options that are possible: choices with reasons, numbers with limits, software. Pure.

Called by :mod:`.form`. A choice that the user may have, but not with what is chosen above it, is there with the reason;
one that is only blocked just now can be chosen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyter_jsc.config.base import Language
from jupyter_jsc.config.notices import Reservation
from jupyter_jsc.config.systems import Resource
from jupyter_jsc.hub.completion import Selection, limits, selected
from jupyter_jsc.hub.words import NOTHING, Said, listed, names_limits, said
from jupyter_jsc.rights.tree import NOBODY, OptionTree, SoftwareChoice
from jupyter_jsc.times import Moment, clock

_MOST_NAMES = 6


@dataclass(frozen=True)
class Choice:
    """One of the values of a field."""

    value: str
    label: str
    description: Said = NOTHING
    reason: str = ""
    """Why it cannot be chosen with what is chosen above."""
    blocked: Said = NOTHING
    """Why it can be chosen and saved, but not be started just now."""
    notice: Said = NOTHING
    """What one should know beforehand."""
    deprecated: Said = NOTHING
    """Why it should not be used any more."""
    ends: Moment | None = None
    """Until when it is there."""


@dataclass(frozen=True)
class Item:
    """A piece of software."""

    value: str
    label: str
    description: Said
    documentation: str
    on: bool


@dataclass(frozen=True)
class Box:
    """The switch in front of a number."""

    label: Said
    on: bool
    alone: bool
    """Whether there is but one number, so that the switch says everything."""


@dataclass(frozen=True)
class Field:
    """A field of the form: ``choice``, ``hidden``, ``number`` or ``software``."""

    name: str
    label: Said
    kind: str
    value: Any = ""
    choices: tuple[Choice, ...] = ()
    resource: Resource | None = None
    box: Box | None = None
    items: tuple[Item, ...] = ()
    summary: str = ""
    """What is on, in a line."""
    hint: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Maker:
    """Makes the fields for *options*, which *tree* allows, in one language."""

    options: Mapping[str, Any]
    tree: OptionTree
    language: Language
    reservations: Mapping[str, Reservation]
    """The configuration's, for their times."""
    now: datetime

    @property
    def here(self) -> Selection:
        """The parts of the tree that the options name."""
        return selected(self.options, self.tree)

    def fields(self, kept: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[Field]:
        """Return all fields, in the order of the form.

        *numbers* are shown instead of those of the options where they differ: what was typed stays. *kept* are account
        and project for a system that has neither, so that they are there again on the next one.
        """
        here = self.here
        payer = [self._account(), self._project()] if here.system.needs_account else _kept(kept)
        places = [self._system(), self._option(), *payer, self._partition()]
        if here.system.reservations:
            places.append(self._reservation())
        if here.option.images:
            places.append(self._image())
        resources = [self._number(key, item, numbers.get(key)) for key, item in here.partition.resources.items()]
        return [*places, *resources, *self._software()]

    def _system(self) -> Field:
        choices = tuple(
            Choice(
                key,
                item.label,
                said(item.description, self.language),
                blocked=said(item.blocked, self.language),
                notice=said(item.notice, self.language),
            )
            for key, item in self.tree.systems.items()
        )
        return Field("system", Said("Where"), "choice", self.options["system"], choices)

    def _option(self) -> Field:
        system = self.here.system
        everywhere = {key: item for other in self.tree.systems.values() for key, item in other.options.items()}
        choices = tuple(
            Choice(
                key,
                item.label,
                said(item.description, self.language),
                reason="" if key in system.options else f"Not there on {system.label}.",
                blocked=said(item.blocked, self.language) if key in system.options else NOTHING,
                deprecated=said(item.deprecated, self.language) if item.deprecated else NOTHING,
            )
            for key, item in (everywhere | dict(system.options)).items()
        )
        return Field("option", Said("What"), "choice", self.options["option"], choices)

    def _account(self) -> Field:
        here = self.here
        every = _keys(option.accounts for option in here.system.options.values())
        reason = f"Not open to {here.option.label}."
        choices = tuple(Choice(key, key, reason="" if key in here.option.accounts else reason) for key in every)
        return self._unless_alone("account", "Account", choices)

    def _project(self) -> Field:
        here = self.here
        every = _keys(projects for option in here.system.options.values() for projects in option.accounts.values())
        choices = tuple(Choice(key, key, reason=self._why_no_project(key)) for key in every)
        return self._unless_alone("project", "Project", choices)

    def _why_no_project(self, project: str) -> str:
        here = self.here
        if project in here.projects:
            return ""
        accounts = [key for key, projects in here.option.accounts.items() if project in projects]
        return f"Only with account {' or '.join(accounts)}." if accounts else f"Not open to {here.option.label}."

    def _partition(self) -> Field:
        here = self.here
        every = {key: item for option in here.system.options.values() for key, item in option.partitions.items()}
        choices = []
        for key, item in (every | dict(here.option.partitions)).items():
            reason = ""
            if key not in here.option.partitions:
                reason = f"Not there with {here.option.label}."
            elif key not in here.places:
                project, account = self.options["project"], self.options["account"]
                reason = f"Not open to project {project or NOBODY} with account {account or NOBODY}."
            text = said(item.description, self.language)
            blocked = NOTHING if reason else said(item.blocked, self.language)
            choices.append(Choice(key, item.label, text, reason, blocked))
        return Field("partition", Said("Partition"), "choice", self.options["partition"], tuple(choices))

    def _reservation(self) -> Field:
        here = self.here
        none = Choice("", "None", Said("Nodes that are free for everybody."))
        choices = [] if here.place.reservation_required else [none]
        payer = f" with project {self.options['project']}" if self.options["project"] else ""
        for key, item in here.system.reservations.items():
            reason = "" if key in here.place.reservations else f"Not in {here.partition.label}{payer}."
            text, blocked = said(item.description, self.language), said(item.blocked, self.language)
            choices.append(Choice(key, key, text, reason, NOTHING if reason else blocked, ends=self._ends(key)))
        return Field("reservation", Said("Reservation"), "choice", self.options["reservation"] or "", tuple(choices))

    def _image(self) -> Field:
        choices = tuple(
            Choice(key, item.label, said(item.description, self.language))
            for key, item in self.here.option.images.items()
        )
        return self._unless_alone("image", "Image", choices)

    def _ends(self, reservation: str) -> Moment | None:
        ends = self.reservations[reservation].ends if reservation in self.reservations else None
        return clock(ends) if ends else None

    def _number(self, key: str, resource: Resource, typed: object) -> Field:
        on = key in self.options["resources"]
        value = typed if typed is not None else self.options["resources"].get(key, resource.default)
        box = None
        if resource.checkbox is not None:
            alone = resource.minimum == resource.maximum
            box = Box(said(resource.checkbox.label, self.language), on, alone)
        label = said(resource.label, self.language)
        hint = "" if names_limits(resource, self.language) else limits(resource)
        return Field(f"resources.{key}", label, "number", value, resource=resource, box=box, hint=hint)

    def _software(self) -> list[Field]:
        """Return the sets, those of the same kind beside each other."""
        sets = self.here.partition.software
        kinds = list(dict.fromkeys(offer.kind for offer in sets.values()))
        fields = []
        for key, offer in sorted(sets.items(), key=lambda pair: kinds.index(pair[1].kind)):
            on = self.options["software"].get(key, ())
            items = tuple(self._item(name, item, on) for name, item in offer.items.items())
            summary = listed([item.label for item in items if item.on], _MOST_NAMES) or "none"
            label = said(offer.label, self.language)
            fields.append(Field(f"software.{key}", label, "software", items=items, summary=summary))
        return fields

    def _item(self, name: str, item: SoftwareChoice, on: Iterable[str]) -> Item:
        return Item(name, item.label, said(item.description, self.language), item.documentation, name in on)

    def _unless_alone(self, name: str, label: str, choices: tuple[Choice, ...]) -> Field:
        """Return a field that asks nothing where there is but one answer."""
        return Field(name, Said(label), "choice" if len(choices) > 1 else "hidden", self.options[name], choices)


def _kept(kept: Mapping[str, Any]) -> list[Field]:
    values = {name: kept.get(name) for name in ("account", "project")}
    return [Field(name, NOTHING, "hidden", value) for name, value in values.items() if isinstance(value, str) and value]


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
