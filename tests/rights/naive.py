# SPDX-License-Identifier: BSD-3-Clause
"""What a user may start, computed the plain way: every combination is asked about. Slow; the measure for ``rights``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from jupyter_jsc.config.base import Text, matches
from jupyter_jsc.config.groups import Rule
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import Allowed, ServiceOption
from jupyter_jsc.config.systems import Partition, PartitionKind, Resource, System
from jupyter_jsc.rights import texts
from jupyter_jsc.rights.identity import Facts, Identity
from jupyter_jsc.rights.tree import (
    FREE,
    ImageChoice,
    OptionChoice,
    OptionTree,
    PartitionChoice,
    Place,
    ReservationChoice,
    SoftwareChoice,
    SoftwareSetChoice,
    SystemChoice,
)

ANY = "any user"
"""Stands for the group of everybody where the configuration has no groups."""


def naive_groups(identity: Identity, c: Configuration) -> tuple[str, ...]:
    own = [key for key, group in c.groups.items() if any(_fits(rule, identity, c) for rule in group.members)]
    own.sort(key=lambda key: (c.groups[key].weight, key))
    exclusive = [key for key in own if c.groups[key].exclusive]
    return tuple(exclusive[:1] or own)


def _fits(rule: Rule, identity: Identity, c: Configuration) -> bool:
    answers = []
    if rule.everybody:
        answers.append(True)
    if rule.admin:
        answers.append(identity.admin)
    if rule.users is not None:
        answers.append(identity.user in rule.users)
    if rule.patterns is not None:
        answers.append(matches(identity.user, rule.patterns))
    if rule.entitlements is not None:
        answers.append(any(matches(value, rule.entitlements) for value in identity.entitlements))
    if rule.identity_providers is not None:
        buttons = [c.identity_providers[key] for key in rule.identity_providers]
        words = [word for button in buttons for word in [*button.authenticators, *button.preselect.values()]]
        answers.append(identity.authenticator != "" and identity.authenticator in words)
    return all(answers)


def naive_options(identity: Identity, c: Configuration, facts: Facts) -> OptionTree:
    groups = naive_groups(identity, c)
    if identity.group in groups:
        groups = (identity.group,)
    if c.groups and not groups:
        return OptionTree({}, (), texts.no_group(c.support))
    question = _Question(identity, c, facts, groups or (ANY,))
    systems = {}
    for key, system in sorted(c.systems.items(), key=lambda item: item[1].order):
        choice = question.system(key, system)
        if choice.options:
            systems[key] = choice
    return OptionTree(systems, groups, question.overall())


@dataclass(frozen=True)
class _Question:
    identity: Identity
    c: Configuration
    facts: Facts
    groups: tuple[str, ...]

    def allowed(self, group: str, option: str) -> Allowed | None:
        own = self.c.options[option]
        if group == ANY:
            return own.allowed
        rights = self.c.groups[group]
        if own.groups is not None and group not in own.groups:
            return None
        if rights.options is None:
            return own.allowed
        if option not in rights.options:
            return None
        replaced = rights.options[option].allowed
        return Allowed(
            **{
                field: getattr(own.allowed if getattr(replaced, field) is None else replaced, field)
                for field in Allowed.model_fields
            }
        )

    def open_in(self, option: str, system: str, partition: str) -> list[str]:
        """Groups that open the option in the partition, to whatever account."""
        if self.c.systems[system].kubernetes is not None and self.c.options[option].container is None:
            return []
        found = []
        for group in self.groups:
            allowed = self.allowed(group, option)
            if (
                allowed is not None
                and (allowed.systems is None or system in allowed.systems)
                and (allowed.partitions is None or partition in allowed.partitions)
            ):
                found.append(group)
        return found

    def open_on(self, option: str, system: str) -> list[str]:
        partitions = self.c.systems[system].partitions
        return [group for group in self.groups if any(group in self.open_in(option, system, key) for key in partitions)]

    def payers(self, key: str, system: System) -> Iterator[tuple[str, str, list[str]]]:
        if not system.needs_account:
            yield "", "", list(system.partitions)
            return
        entries = [entry for entry in self.identity.accounts if entry.key in system.account_keys]
        for account in dict.fromkeys(entry.account for entry in entries):
            for project in dict.fromkeys(entry.project for entry in entries if entry.account == account):
                opened = list(system.default_partitions)
                for entry in entries:
                    if (entry.account, entry.project) == (account, project):
                        opened += system.account_keys[entry.key]
                yield account, project, opened

    def reservations(self, system: str, account: str, project: str, partition: str) -> list[str]:
        if not self.c.systems[system].needs_account:
            return []
        if self.c.systems[system].partitions[partition].kind is PartitionKind.INTERACTIVE:
            return []
        return [
            key
            for key, item in self.c.reservations.items()
            if item.system == system
            and (matches(project, item.projects) or matches(account, item.accounts))
            and (item.partitions is None or partition in item.partitions)
            and (item.ends is None or item.ends > self.facts.now)
        ]

    def place(self, option: str, system: str, account: str, project: str, partition: str) -> Place | None:
        usable = self.reservations(system, account, project, partition)
        free, reserved = False, []
        for group in self.open_in(option, system, partition):
            allowed = self.allowed(group, option)
            assert allowed is not None
            lists = self.c.systems[system].needs_account
            if lists and allowed.accounts is not None and not matches(account, allowed.accounts):
                continue
            if lists and allowed.projects is not None and not matches(project, allowed.projects):
                continue
            if allowed.reservations is None:
                free = True
            else:
                reserved += [key for key in usable if matches(key, allowed.reservations)]
        if free:
            return Place(tuple(usable), False)
        return Place(tuple(key for key in usable if key in reserved), True) if reserved else None

    def system(self, key: str, system: System) -> SystemChoice:
        options = {}
        for name, option in sorted(self.c.options.items(), key=lambda item: item[1].order):
            accounts: dict[str, dict[str, dict[str, Place]]] = {}
            opened = set()
            for account, project, partitions in self.payers(key, system):
                for partition in system.partitions:
                    place = self.place(name, key, account, project, partition) if partition in partitions else None
                    if place is not None:
                        accounts.setdefault(account, {}).setdefault(project, {})[partition] = place
                        opened.add(partition)
            if accounts:
                options[name] = OptionChoice(
                    option.label,
                    option.description,
                    False,
                    option.deprecated,
                    accounts,
                    {p: self.partition(name, key, p, system.partitions[p]) for p in system.partitions if p in opened},
                    self.option_blocked(name, key),
                    self.images(key, option),
                )
        default = next((name for name in options if self.c.options[name].default), next(iter(options), ""))
        options = {
            name: OptionChoice(**(vars(choice) | {"default": name == default})) for name, choice in options.items()
        }
        chosen = {
            name
            for choice in options.values()
            for projects in choice.accounts.values()
            for places in projects.values()
            for place in places.values()
            for name in place.reservations
        }
        return SystemChoice(
            system.label,
            system.description,
            system.needs_account,
            options,
            {name: self.reservation(name) for name in self.c.reservations if name in chosen},
            self.system_blocked(key, system),
            self.notice(key, system),
        )

    def images(self, system: str, option: ServiceOption) -> dict[str, ImageChoice]:
        if self.c.systems[system].kubernetes is None or option.container is None:
            return {}
        return {name: ImageChoice(item.label, item.description) for name, item in option.container.images.items()}

    def reservation(self, key: str) -> ReservationChoice:
        item = self.c.reservations[key]
        early = item.begins is not None and item.begins > self.facts.now
        return ReservationChoice(item.description, texts.not_begun(key, item.begins) if early else FREE)

    def partition(self, option: str, system: str, key: str, partition: Partition) -> PartitionChoice:
        groups = self.open_in(option, system, key)
        label = f"{self.c.systems[system].label} {partition.label or key}"
        maintenance = [
            texts.in_maintenance(label, item)
            for item in self.c.maintenance.values()
            if system in item.systems and item.partitions is not None and key in item.partitions and self.now(item)
        ]
        return PartitionChoice(
            partition.label or key,
            partition.description,
            partition.kind,
            {name: self.resource(system, key, name, item, groups) for name, item in partition.resources.items()},
            self.software(option, system, partition),
            maintenance[0] if maintenance else FREE,
        )

    def resource(self, system: str, partition: str, key: str, resource: Resource, groups: Sequence[str]) -> Resource:
        minima, maxima, defaults = [], [], []
        for group in groups:
            mine = [
                item
                for item in (self.c.groups[group].ranges if group != ANY else [])
                if item.system == system and item.partition == partition and item.resource == key
            ]
            minima += [item.minimum for item in mine] or [resource.minimum]
            maxima += [item.maximum for item in mine] or [resource.maximum]
            defaults += [item.default for item in mine if item.default is not None]
        low, high = min(minima), max(maxima)
        default = max(low, min(high, (defaults or [resource.default])[0]))
        while (default - low) % resource.step:
            default -= 1
        label = {
            field: getattr(resource.label, field).replace("{minimum}", str(low)).replace("{maximum}", str(high))
            for field in ("en", "de")
        }
        return Resource(
            **{
                **dict(resource),
                "minimum": low,
                "maximum": high,
                "default": default,
                "label": Text(**label),
            }
        )

    def software(self, option: str, system: str, partition: Partition) -> dict[str, SoftwareSetChoice]:
        sets = {}
        for key, offer in sorted(self.c.software.items(), key=lambda item: item[1].order):
            items = {
                name: SoftwareChoice(
                    item.label,
                    item.description,
                    str(item.documentation or ""),
                    item.default is True or (item.default is not False and option in item.default),
                )
                for name, item in offer.items.items()
                if (item.options is None or option in item.options)
                and (item.systems is None or system in item.systems)
                and not (item.compute_only and partition.kind is PartitionKind.INTERACTIVE)
            }
            if items:
                sets[key] = SoftwareSetChoice(offer.label, offer.kind, items)
        return sets

    def now(self, item) -> bool:
        return item.begins <= self.facts.now and (item.ends is None or item.ends > self.facts.now)

    def system_blocked(self, key: str, system: System) -> Text:
        for item in self.c.maintenance.values():
            if key in item.systems and item.partitions is None and self.now(item):
                return texts.in_maintenance(system.label, item)
        limits = [
            system.max_labs_per_user
            if group == ANY
            else self.c.groups[group].systems.get(key, system.max_labs_per_user)
            for group in self.groups
            if any(group in self.open_on(option, key) for option in self.c.options)
        ]
        labs = [lab.title for lab in self.facts.labs if lab.system == key]
        return _full(limits, labs, texts.on_system(system.label))

    def option_blocked(self, key: str, system: str) -> Text:
        option = self.c.options[key]
        limits, full = [], []
        for group in self.open_on(key, system):
            own = None if group == ANY else (self.c.groups[group].options or {}).get(key)
            given = None if own is None else own.max_labs_per_user
            limits.append(option.max_labs_per_user if given is None else given)
            all_labs = None if group == ANY else self.c.groups[group].max_labs
            full.append(all_labs is not None and self.facts.group_labs.get(group, 0) >= all_labs)
        if all(full):
            first = self.c.groups[self.open_on(key, system)[0]]
            return texts.group_full(first.label, first.max_labs or 0)
        labs = [lab.title for lab in self.facts.labs if lab.option == key]
        return _full(limits, labs, texts.with_option(option.label))

    def overall(self) -> Text:
        labs = [lab.title for lab in self.facts.labs]
        own = [None if group == ANY else self.c.groups[group].max_labs_per_user for group in self.groups]
        return _full([self.c.max_labs_per_user], labs, texts.EVERYWHERE) or _full(own, labs, texts.EVERYWHERE)

    def notice(self, key: str, system: System) -> Text:
        notices = []
        for item in self.c.maintenance.values():
            named = system.partitions if item.partitions is None else item.partitions
            labels = [partition.label or name for name, partition in system.partitions.items() if name in named]
            soon = timedelta(0) < item.begins - self.facts.now <= timedelta(days=7)
            if key in item.systems and labels and soon:
                where = system.label if item.partitions is None else f"{system.label} {', '.join(labels)}"
                notices.append(texts.maintenance_to_come(where, item))
        whole = any(
            key in item.systems and item.partitions is None and self.now(item) for item in self.c.maintenance.values()
        )
        if key in self.facts.health and not self.facts.health[key].available and not whole:
            notices.append(texts.unavailable(system.label, self.facts.health[key].text))
        return texts.together(notices) if notices else FREE


def _full(limits: Sequence[int | None], labs: Sequence[str], where: Text) -> Text:
    numbers = [limit for limit in limits if limit is not None]
    if len(numbers) < len(limits) or not numbers or len(labs) < max(numbers):
        return FREE
    return texts.limit_reached(max(numbers), labs, where)
