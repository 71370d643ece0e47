# SPDX-License-Identifier: BSD-3-Clause
"""What a configuration offers to the members of some groups, before accounts and the moment are looked at. Pure.

Computed once for each configuration and combination of groups; :mod:`.options` asks for it at each form. Partitions
and reservations of a system are counted through, and sets of them are the bits of a number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from jupyter_jsc.config.groups import Group
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import Allowed, ServiceOption
from jupyter_jsc.config.systems import PartitionKind, System
from jupyter_jsc.rights.patterns import Patterns, per_configuration
from jupyter_jsc.rights.ranges import resources_for
from jupyter_jsc.rights.reservations import ReservationIndex
from jupyter_jsc.rights.software import software_for
from jupyter_jsc.rights.tree import PartitionChoice

_MOST_COMBINATIONS = 1000


class Grant(NamedTuple):
    """Where one of the groups opens an option on a system; None restricts nothing."""

    partitions: int
    """Bits of partitions."""
    accounts: Patterns | None
    projects: Patterns | None
    reservations: int | None
    """Bits of the reservations of which one must be chosen."""

    @property
    def unrestricted(self) -> bool:
        """Whether it only depends on the partition."""
        return self.accounts is None and self.projects is None and self.reservations is None


@dataclass(frozen=True)
class OptionOffer:
    """An option on a system."""

    key: str
    option: ServiceOption
    grants: tuple[Grant, ...]
    """Different ones, without those that open nothing beyond an unrestricted one."""
    partitions: Mapping[str, PartitionChoice]
    """Those that any of the grants opens."""
    all_partitions: int
    """Their bits."""
    groups: tuple[str, ...]
    """The groups that open it here; none where the configuration has no groups."""
    max_labs: int | None


@dataclass(frozen=True)
class SystemOffer:
    """A system, with what is independent of groups in the first fields."""

    key: str
    system: System
    names: tuple[str, ...]
    """Keys of its partitions, in the order of their bits."""
    keys: Mapping[str, int]
    """Key of an account entry → bits of the partitions that it opens."""
    any_entry: int
    """Bits of the partitions that any entry opens."""
    reservations: ReservationIndex
    options: tuple[OptionOffer, ...] = ()
    max_labs: int | None = None


@dataclass(frozen=True)
class Offers:
    """Everything that the members of some groups may get."""

    systems: tuple[SystemOffer, ...]
    """In the order of the form; those without options are left out."""
    by_key: Mapping[str, tuple[SystemOffer, ...]]
    """Key of an account entry → systems that it opens."""


def offers_for(groups: tuple[str, ...], configuration: Configuration) -> Offers:
    """Return what *configuration* offers to members of *groups*; nothing for no groups, where there are some."""
    kept = _offers(configuration)
    if (found := kept.get(groups)) is None:
        if len(kept) >= _MOST_COMBINATIONS:
            kept.clear()
        found = kept[groups] = _make(groups, configuration)
    return found


@per_configuration
def _offers(configuration: Configuration) -> dict[tuple[str, ...], Offers]:
    """Return the place where offers of *configuration* are kept."""
    _ = configuration
    return {}


@per_configuration
def _systems(configuration: Configuration) -> tuple[SystemOffer, ...]:
    """Return the systems in the order of the form, still without options."""
    return tuple(
        _bare(key, system, configuration)
        for key, system in sorted(configuration.systems.items(), key=lambda item: item[1].order)
    )


def _bare(key: str, system: System, configuration: Configuration) -> SystemOffer:
    names = tuple(system.partitions)
    always = bits(names, system.default_partitions)
    batch = [name for name, partition in system.partitions.items() if partition.kind is PartitionKind.BATCH]
    own = {name: item for name, item in configuration.reservations.items() if item.system == key}
    keys = {word: bits(names, opened) | always for word, opened in system.account_keys.items()}
    return SystemOffer(
        key,
        system,
        names,
        keys,
        united(keys.values()),
        ReservationIndex.of(own if system.needs_account else {}, names, batch),
    )


def bits(names: Sequence[str], wanted: Iterable[str]) -> int:
    """Return *wanted* as bits, in the order of *names*; others are left out."""
    found = 0
    for name in wanted:
        if name in names:
            found |= 1 << names.index(name)
    return found


def united(sets: Iterable[int]) -> int:
    """Return the bits that stand in any of *sets*."""
    found = 0
    for one in sets:
        found |= one
    return found


def _make(keys: tuple[str, ...], configuration: Configuration) -> Offers:
    groups = {key: configuration.groups[key] for key in keys if key in configuration.groups}
    if configuration.groups and not groups:
        return Offers((), {})
    systems = tuple(
        offer for bare in _systems(configuration) if (offer := _system(bare, groups, configuration)).options
    )
    by_key: dict[str, tuple[SystemOffer, ...]] = {}
    for offer in systems:
        for word in offer.keys if offer.system.needs_account else ():
            by_key[word] = (*by_key.get(word, ()), offer)
    return Offers(systems, by_key)


def widest(limits: Sequence[int | None]) -> int | None:
    """Return the largest of *limits*, of which None is the largest; None for none at all."""
    numbers = [limit for limit in limits if limit is not None]
    return max(numbers) if numbers and len(numbers) == len(limits) else None


def _system(bare: SystemOffer, groups: Mapping[str, Group], configuration: Configuration) -> SystemOffer:
    options = tuple(
        offer
        for key, option in sorted(configuration.options.items(), key=lambda item: item[1].order)
        if (offer := _option(bare, key, option, groups, configuration)) is not None
    )
    here = [key for key in groups if any(key in option.groups for option in options)]
    own = bare.system.max_labs_per_user
    limits = [groups[key].systems.get(bare.key, own) for key in here]
    return replace(bare, options=options, max_labs=widest(limits) if limits else own)


def _option(
    bare: SystemOffer,
    key: str,
    option: ServiceOption,
    groups: Mapping[str, Group],
    configuration: Configuration,
) -> OptionOffer | None:
    opened: dict[str, Grant] = {}
    if configuration.groups:
        for name, group in groups.items():
            if (allowed := allowed_by(name, group, key, option)) is not None:
                opened[name] = _grant(bare, allowed)
    else:
        opened[""] = _grant(bare, option.allowed)
    opened = {name: grant for name, grant in opened.items() if grant.partitions}
    if not opened:
        return None
    granting = tuple(name for name in opened if name)
    return OptionOffer(
        key,
        option,
        _without_needless(opened.values()),
        partitions := _partitions(bare, key, opened, groups, configuration),
        bits(bare.names, partitions),
        granting,
        _option_limit(key, option, [groups[name] for name in granting]),
    )


def allowed_by(name: str, group: Group, key: str, option: ServiceOption) -> Allowed | None:
    """Return where the group *name* opens the option *key*; None if it does not."""
    if (option.groups is not None and name not in option.groups) or (
        group.options is not None and key not in group.options
    ):
        return None
    own = (group.options or {}).get(key)
    if own is None:
        return option.allowed
    replaced = {field: value for field, value in own.allowed if value is not None}
    return option.allowed.model_copy(update=replaced)


def _grant(bare: SystemOffer, allowed: Allowed) -> Grant:
    here = allowed.systems is None or bare.key in allowed.systems
    names = bare.names if allowed.partitions is None else allowed.partitions
    lists = bare.system.needs_account
    return Grant(
        bits(bare.names, names) if here else 0,
        _patterns(allowed.accounts) if lists else None,
        _patterns(allowed.projects) if lists else None,
        None if allowed.reservations is None else bare.reservations.matching(Patterns(allowed.reservations)),
    )


def _patterns(patterns: list[str] | None) -> Patterns | None:
    return None if patterns is None else Patterns(patterns)


def _without_needless(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    free = 0
    for grant in grants:
        if grant.unrestricted:
            free |= grant.partitions
    rest = {grant for grant in grants if not grant.unrestricted and grant.partitions & ~free}
    first = (Grant(free, None, None, None),) if free else ()
    return first + tuple(grant for grant in dict.fromkeys(grants) if grant in rest)


def _partitions(
    bare: SystemOffer,
    option: str,
    opened: Mapping[str, Grant],
    groups: Mapping[str, Group],
    configuration: Configuration,
) -> dict[str, PartitionChoice]:
    found = {}
    for place, (key, partition) in enumerate(bare.system.partitions.items()):
        here = [name for name, grant in opened.items() if grant.partitions >> place & 1]
        if here:
            found[key] = PartitionChoice(
                partition.label or key,
                partition.description,
                partition.kind,
                resources_for(partition.resources, bare.key, key, [groups[name] for name in here if name]),
                software_for(configuration.software, bare.key, option, partition.kind),
            )
    return found


def _option_limit(key: str, option: ServiceOption, groups: Sequence[Group]) -> int | None:
    def limit(group: Group) -> int | None:
        own = (group.options or {}).get(key)
        return option.max_labs_per_user if own is None or own.max_labs_per_user is None else own.max_labs_per_user

    return widest([limit(group) for group in groups]) if groups else option.max_labs_per_user
