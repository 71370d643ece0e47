# SPDX-License-Identifier: BSD-3-Clause
"""Configuration and groups → offers: everything about options that no user and no hour changes. Pure.

Computed once for each configuration and combination of groups that somebody is in; :mod:`.options` asks at each form.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jupyter_jsc.config.groups import Group
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import Allowed, ServiceOption
from jupyter_jsc.config.systems import PartitionKind, Resource, System, SystemKind
from jupyter_jsc.rights.limits import widest
from jupyter_jsc.rights.offers import Grant, Offers, Opening, OptionOffer, SystemOffer
from jupyter_jsc.rights.patterns import Lists, Patterns, per_configuration, united
from jupyter_jsc.rights.ranges import resources_for
from jupyter_jsc.rights.reservations import ReservationIndex
from jupyter_jsc.rights.software import Shelf
from jupyter_jsc.rights.tree import ImageChoice, PartitionChoice

_MOST_COMBINATIONS = 1000

_ANYBODY = ""
"""Stands for the group of everybody where the configuration has no groups."""


def offers_for(groups: tuple[str, ...], configuration: Configuration) -> Offers:
    """Return what *configuration* offers to members of *groups*, which stand in the order of their weight.

    Without groups everything that is open to anybody, if the configuration has none; otherwise nothing.
    """
    return _catalogue(configuration).offers(groups)


class _Catalogue:
    """What the offers of one configuration have in common."""

    def __init__(self, configuration: Configuration) -> None:
        self._groups = configuration.groups
        self._options = sorted(configuration.options.items(), key=lambda item: item[1].order)
        self._systems = [
            _bare(key, system, configuration)
            for key, system in sorted(configuration.systems.items(), key=lambda item: item[1].order)
        ]
        self._shelf = Shelf(configuration.software)
        self._accounts, self._projects = Lists(), Lists()
        self._resources: dict[tuple[str, str, tuple[str, ...]], dict[str, Resource]] = {}
        self._offers: dict[tuple[str, ...], Offers] = {}

    def offers(self, groups: tuple[str, ...]) -> Offers:
        if (found := self._offers.get(groups)) is None:
            if len(self._offers) >= _MOST_COMBINATIONS:
                self._offers.clear()
            found = self._offers[groups] = self._make([key for key in groups if key in self._groups])
        return found

    def _make(self, groups: Sequence[str]) -> Offers:
        if not self._groups:
            groups = [_ANYBODY]
        systems = tuple(offer for bare in self._systems if (offer := self._system(bare, groups)).options)
        by_key: dict[str, tuple[SystemOffer, ...]] = {}
        for offer in systems:
            for word in offer.keys:
                by_key[word] = (*by_key.get(word, ()), offer)
        return Offers(self._accounts, self._projects, systems, by_key)

    def _system(self, bare: SystemOffer, groups: Sequence[str]) -> SystemOffer:
        options = tuple(
            offer for key, option in self._options if (offer := self._option(bare, key, option, groups)) is not None
        )
        own = bare.system.max_labs_per_user
        here = {name for option in options for name in option.groups}
        limits = [self._groups[name].systems.get(bare.key, own) for name in here]
        return replace(bare, options=options, max_labs=widest(limits) if limits else own)

    def _option(self, bare: SystemOffer, key: str, option: ServiceOption, groups: Sequence[str]) -> OptionOffer | None:
        if not runs_on(option, bare.system):
            return None
        opened: dict[str, Grant] = {}
        for name in groups:
            group = self._groups.get(name)
            allowed = option.allowed if group is None else allowed_by(name, group, key, option)
            grant = None if allowed is None else self._grant(bare, allowed)
            if grant is not None and grant.partitions:
                opened[name] = grant
        if not opened:
            return None
        granting = tuple(name for name in opened if name != _ANYBODY)
        partitions = self._partitions(bare, key, opened)
        return OptionOffer(
            key,
            option,
            _opening(list(opened.values())),
            partitions,
            _bits(bare.names, partitions),
            granting,
            _option_limit(key, option, [self._groups[name] for name in granting]),
            _images(option, bare.system),
        )

    def _grant(self, bare: SystemOffer, allowed: Allowed) -> Grant:
        here = allowed.systems is None or bare.key in allowed.systems
        names = bare.names if allowed.partitions is None else allowed.partitions
        listed = bare.system.needs_account
        return Grant(
            _bits(bare.names, names) if here else 0,
            self._accounts.add(allowed.accounts) if listed else 0,
            self._projects.add(allowed.projects) if listed else 0,
            None if allowed.reservations is None else bare.reservations.matching(Patterns(allowed.reservations)),
        )

    def _partitions(self, bare: SystemOffer, option: str, opened: Mapping[str, Grant]) -> dict[str, PartitionChoice]:
        found = {}
        for place, (key, partition) in enumerate(bare.system.partitions.items()):
            here = tuple(name for name, grant in opened.items() if grant.partitions >> place & 1)
            if not here:
                continue
            if (bare.key, key, here) not in self._resources:
                groups = [self._groups[name] for name in here if name != _ANYBODY]
                self._resources[bare.key, key, here] = resources_for(partition.resources, bare.key, key, groups)
            found[key] = PartitionChoice(
                partition.label or key,
                partition.description,
                partition.kind,
                self._resources[bare.key, key, here],
                self._shelf.sets(bare.key, option, partition.kind),
            )
        return found


_catalogue = per_configuration(_Catalogue)


def runs_on(option: ServiceOption, system: System) -> bool:
    """Tell whether there is anything that a lab could be made of on the system; HPC systems need no images."""
    return system.kind is not SystemKind.KUBERNETES or option.container is not None


def _images(option: ServiceOption, system: System) -> dict[str, ImageChoice]:
    if system.kind is not SystemKind.KUBERNETES or option.container is None:
        return {}
    return {key: ImageChoice(image.label, image.description) for key, image in option.container.images.items()}


def allowed_by(name: str, group: Group, key: str, option: ServiceOption) -> Allowed | None:
    """Return where the group *name* opens the option *key*; None if it does not."""
    if option.groups is not None and name not in option.groups:
        return None
    if group.options is None:
        return option.allowed
    own = group.options.get(key)
    if own is None:
        return None
    return option.allowed.model_copy(update={field: value for field, value in own.allowed if value is not None})


def _bare(key: str, system: System, configuration: Configuration) -> SystemOffer:
    """Return a system without options."""
    names = tuple(system.partitions)
    always = _bits(names, system.default_partitions)
    batch = [name for name, partition in system.partitions.items() if partition.kind is PartitionKind.BATCH]
    own = {name: item for name, item in configuration.reservations.items() if item.system == key}
    keys = {word: _bits(names, opened) | always for word, opened in system.account_keys.items()}
    reservations = ReservationIndex(own if system.needs_account else {}, names, batch)
    return SystemOffer(key, system, names, keys, united(keys.values()), reservations)


def _bits(names: Sequence[str], wanted: Iterable[str]) -> int:
    return united(1 << names.index(name) for name in wanted if name in names)


def _opening(grants: Sequence[Grant]) -> Opening:
    free = united(grant.partitions for grant in grants if grant.unrestricted)
    rest = dict.fromkeys(grant for grant in grants if not grant.unrestricted and grant.partitions & ~free)
    return Opening(free, tuple(rest))


def _option_limit(key: str, option: ServiceOption, groups: Sequence[Group]) -> int | None:
    def limit(group: Group) -> int | None:
        own = (group.options or {}).get(key)
        return option.max_labs_per_user if own is None or own.max_labs_per_user is None else own.max_labs_per_user

    return widest([limit(group) for group in groups]) if groups else option.max_labs_per_user
