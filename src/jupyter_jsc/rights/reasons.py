# SPDX-License-Identifier: BSD-3-Clause
"""Why a user is offered no more, and why they are in which group: what operators ask. Pure; called by ``config show``.

These are explanations of what :mod:`.options` and :mod:`.membership` decided; they decide nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jupyter_jsc.config.base import matches
from jupyter_jsc.config.groups import Rule
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.stacks import Allowed, ServiceOption
from jupyter_jsc.config.systems import System
from jupyter_jsc.rights.catalogue import allowed_by, runs_on
from jupyter_jsc.rights.identity import Account, Identity
from jupyter_jsc.rights.membership import groups_of
from jupyter_jsc.rights.tree import OptionTree

Opened = Mapping[str, Sequence[Account]]
"""Partition → the account entries that open it; a cluster's partitions need none."""


@dataclass(frozen=True)
class Missing:
    """Something of the configuration that a user is not offered."""

    system: str
    option: str
    """Empty: none of the options."""
    partition: str
    """Empty: none of the partitions."""
    reason: str


def missing(identity: Identity, configuration: Configuration, tree: OptionTree) -> list[Missing]:
    """Return what *tree*, which was made for *identity*, has not of *configuration*; each with its reason."""
    if configuration.groups and not tree.groups:
        return [Missing(key, "", "", "In no group that may start labs.") for key in configuration.systems]
    systems = sorted(configuration.systems.items(), key=lambda item: item[1].order)
    return [
        found
        for key, system in systems
        for found in _on_system(key, system, _opened(identity, system), configuration, tree)
    ]


def fitting_rules(identity: Identity, configuration: Configuration) -> dict[str, list[Rule]]:
    """Return for each group of *configuration* the rules that *identity* fits, whatever group counts in the end."""
    return {
        key: [rule for rule in group.members if _fits(identity, configuration, key, rule)]
        for key, group in configuration.groups.items()
    }


def _fits(identity: Identity, configuration: Configuration, key: str, rule: Rule) -> bool:
    alone = configuration.groups[key].model_copy(update={"members": [rule]})
    return bool(groups_of(identity, configuration.model_copy(update={"groups": {key: alone}})))


def _opened(identity: Identity, system: System) -> Opened:
    if not system.needs_account:
        return dict.fromkeys(system.partitions, ())
    opened: dict[str, list[Account]] = {}
    for entry in identity.accounts:
        if entry.key in system.account_keys:
            for partition in dict.fromkeys([*system.account_keys[entry.key], *system.default_partitions]):
                opened.setdefault(partition, []).append(entry)
    return opened


def _on_system(
    key: str, system: System, opened: Opened, configuration: Configuration, tree: OptionTree
) -> Iterator[Missing]:
    if not opened:
        yield Missing(key, "", "", f"No account entry has one of the keys {', '.join(system.account_keys)}.")
        return
    for partition in system.partitions:
        if partition not in opened:
            keys = [word for word, partitions in system.account_keys.items() if partition in partitions]
            reason = f"No account entry has one of the keys {', '.join(keys)}." if keys else "No account key opens it."
            yield Missing(key, "", partition, reason)
    choices = tree.systems[key].options if key in tree.systems else {}
    for name, option in sorted(configuration.options.items(), key=lambda item: item[1].order):
        if name not in choices:
            yield Missing(key, name, "", _reason(key, name, option, opened, configuration, tree.groups))
            continue
        for partition, entries in opened.items():
            if partition not in choices[name].partitions:
                only = {partition: entries}
                yield Missing(key, name, partition, _reason(key, name, option, only, configuration, tree.groups))


def _reason(
    system: str, key: str, option: ServiceOption, opened: Opened, configuration: Configuration, groups: Sequence[str]
) -> str:
    """Return why none of *groups* opens the option in any partition of *opened*."""
    if not runs_on(option, configuration.systems[system]):
        return "It has no `container`, which labs in a cluster are made of."
    if not groups:
        return _stopped(option.allowed, system, opened, configuration)
    allowed = {name: allowed_by(name, configuration.groups[name], key, option) for name in groups}
    granting = {name: own for name, own in allowed.items() if own is not None}
    if not granting:
        if option.groups is not None and not set(option.groups) & set(groups):
            return f"Only for members of {', '.join(option.groups) or 'no group'}."
        return f"Not among the options of {', '.join(groups)}."
    reasons = dict.fromkeys(_stopped(own, system, opened, configuration) for own in granting.values())
    return " ".join(reasons)


def _stopped(allowed: Allowed, key: str, opened: Opened, configuration: Configuration) -> str:
    """Return which list of *allowed* holds nothing of what is opened."""
    if allowed.systems is not None and key not in allowed.systems:
        return f"Only on {', '.join(allowed.systems) or 'no system'}."
    here = {
        name: entries for name, entries in opened.items() if allowed.partitions is None or name in allowed.partitions
    }
    if not here:
        return f"Only in the partitions {', '.join(allowed.partitions or ()) or 'of no system'}."
    entries = [entry for entries in here.values() for entry in entries]
    lists = (
        ("accounts", allowed.accounts, [entry.account for entry in entries]),
        ("projects", allowed.projects, [entry.project for entry in entries]),
    )
    needed = configuration.systems[key].needs_account
    given = [f"{what} {', '.join(patterns) or '(none)'}" for what, patterns, _ in lists if patterns is not None]
    for what, patterns, values in lists if needed else ():
        if patterns is not None and not any(matches(value, patterns) for value in values):
            return f"Only with the {what} {', '.join(patterns) or '(none)'}."
    if allowed.reservations is not None:
        also = f", with the {' and '.join(given)}" if given and needed else ""
        return f"Only in the reservations {', '.join(allowed.reservations) or '(none)'}{also}; none can be used here."
    return f"Only with the {' and '.join(given)} together."
