# SPDX-License-Identifier: BSD-3-Clause
"""What a user would be offered, for operators: as JSON, and as trees for a terminal. Called by ``config show``.

Everything is computed by :mod:`jupyter_jsc.rights`, as for the user's own form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from rich.text import Text as Styled
from rich.tree import Tree

from jupyter_jsc.config import phrases
from jupyter_jsc.config.base import Language, Section, Text
from jupyter_jsc.config.groups import Rule
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub import documents
from jupyter_jsc.rights.accounts import parse_accounts
from jupyter_jsc.rights.entitlements import expand
from jupyter_jsc.rights.identity import Facts, Identity
from jupyter_jsc.rights.membership import groups_of
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.reasons import Missing, fitting_rules, missing
from jupyter_jsc.rights.tree import OptionChoice, OptionTree, PartitionChoice, Place, SystemChoice


class User(Section):
    """What the identity provider and the hub know of a user."""

    user: str = Field(min_length=1)
    """The user's name in the hub."""
    accounts: list[str] = Field(default_factory=list)
    """HPC account entries: Unix account, key of system and partitions, project, person."""
    entitlements: list[str] = Field(default_factory=list)
    """Entitlements, also those about accounts, and groups (``/portal/demo``)."""
    authenticator: str = ""
    """The provider's word for how the user logged in, as in ``identity_providers.*.authenticators``."""
    admin: bool = False
    """Whether the user is an administrator of the hub."""
    group: str | None = None
    """The group that the user acts in; none: all of theirs."""


@dataclass(frozen=True)
class Shown:
    """What is known of a user's rights."""

    identity: Identity
    groups: tuple[str, ...]
    """The user's, whichever of them they act in."""
    rules: Mapping[str, list[Rule]]
    """Group → the rules that the user fits."""
    skipped: tuple[str, ...]
    """What was given as account entries and is none."""
    tree: OptionTree
    missing: tuple[Missing, ...]


def shown(user: User, configuration: Configuration) -> Shown:
    """Return what *user* would be offered now, without any lab in use."""
    accounts, _ = parse_accounts(user.accounts, user.entitlements, configuration.account_namespaces)
    identity = Identity(
        user.user, accounts, expand(user.entitlements), user.authenticator, admin=user.admin, group=user.group
    )
    tree = options_for(identity, configuration, Facts())
    return Shown(
        identity,
        groups_of(identity, configuration),
        fitting_rules(identity, configuration),
        tuple(entry for entry in user.accounts if parse_accounts([entry])[1]),
        tree,
        tuple(missing(identity, configuration, tree)),
    )


def document(of: Shown, language: Language) -> dict[str, Any]:
    """Return all of it as JSON."""
    return {
        "user": of.identity.user,
        "member_of": of.groups,
        "fits": {key: [phrases.rule(rule) for rule in rules] for key, rules in of.rules.items() if rules},
        "skipped": of.skipped,
        "offered": documents.document(of.tree, language),
        "missing": documents.document(of.missing, language),
    }


def rendered(of: Shown, configuration: Configuration, language: Language) -> Iterator[Tree]:
    """Yield what people read: the groups, what is offered, and why not the rest."""
    yield _groups(of, configuration)
    yield _offered(of, language)
    if of.missing:
        yield _missing(of.missing, configuration)


def _groups(of: Shown, configuration: Configuration) -> Tree:
    root = Tree(_line(of.identity.user, "bold"))
    for entry in of.skipped:
        root.add(_line(f"no account entry, gives no rights: {entry[:100]!r}", "yellow"))
    if of.identity.group is not None and of.identity.group not in of.groups:
        root.add(_line(f"does not act in the group {of.identity.group!r}: is no member of it", "yellow"))
    for key in of.groups:
        acts = "" if key in of.tree.groups else "; its rights do not count, as the user acts in another one"
        root.add(_line(f"group {key}: {_fitting(of.rules[key])}{acts}"))
    for key, group in configuration.groups.items():
        if key in of.groups:
            continue
        if of.rules[key]:
            root.add(_line(f"not in group {key}: the exclusive group {of.groups[0]} takes its place", "dim"))
        else:
            root.add(_line(f"not in group {key}: fits none of {_fitting(group.members)}", "dim"))
    return root


def _fitting(rules: list[Rule]) -> str:
    return ", ".join(map(phrases.rule, rules))


def _offered(of: Shown, language: Language) -> Tree:
    root = Tree(_line("Offered" if of.tree.systems else "Nothing is offered", "bold"))
    _notes(root, of.tree.blocked, language=language)
    for system in of.tree.systems.values():
        _system(root.add(_line(system.label, "bold")), system, language)
    return root


def _system(node: Tree, system: SystemChoice, language: Language) -> None:
    _notes(node, system.blocked, system.notice, language=language)
    for option in system.options.values():
        marks = ["default"] if option.default else []
        marks += ["deprecated"] if option.deprecated is not None else []
        inner = node.add(_line(option.label + (f" ({', '.join(marks)})" if marks else "")))
        _notes(inner, option.blocked, language=language)
        _option(inner, option, system, language)


def _option(node: Tree, option: OptionChoice, system: SystemChoice, language: Language) -> None:
    if system.needs_account:
        for account, projects in option.accounts.items():
            for places, names in _alike(projects).items():
                node.add(_line(f"{account} with {', '.join(names)}: {', '.join(places)}"))
    for key, partition in option.partitions.items():
        inner = node.add(_line(f"{key}: {_resources(partition)}"))
        _notes(inner, partition.blocked, language=language)
        _reservations(inner, key, option, system, language)
    for partitions, lines in _software(option, language):
        inner = node.add(_line(f"software in {', '.join(partitions)}"))
        for words in lines:
            inner.add(_line(words))


def _software(option: OptionChoice, language: Language) -> Iterator[tuple[list[str], tuple[str, ...]]]:
    """Yield partitions with the same software, and what that is."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for key, partition in option.partitions.items():
        lines = tuple(
            f"{chosen.label.say(language)}: "
            + ", ".join(f"{item.label}{' (on)' if item.default else ''}" for item in chosen.items.values())
            for chosen in partition.software.values()
        )
        if lines:
            alike.setdefault(lines, []).append(key)
    for lines, keys in alike.items():
        yield keys, lines


def _alike(projects: Mapping[str, Mapping[str, Place]]) -> dict[tuple[str, ...], list[str]]:
    """Return partitions → the projects that open exactly these."""
    found: dict[tuple[str, ...], list[str]] = {}
    for project, places in projects.items():
        found.setdefault(tuple(places), []).append(project)
    return found


def _resources(partition: PartitionChoice) -> str:
    words = []
    for key, resource in partition.resources.items():
        switched = "" if resource.checkbox is None else ", if its box is ticked"
        words.append(phrases.in_range(resource, f"{resource.unit} {key}".strip()) + switched)
    return "; ".join(words) or "nothing to choose"


def _reservations(node: Tree, partition: str, option: OptionChoice, system: SystemChoice, language: Language) -> None:
    for key, reservation in system.reservations.items():
        projects = {
            project: places[partition]
            for account in option.accounts.values()
            for project, places in account.items()
            if partition in places and key in places[partition].reservations
        }
        if not projects:
            continue
        required = " (one must be chosen)" if all(place.reservation_required for place in projects.values()) else ""
        inner = node.add(_line(f"reservation {key} for {', '.join(projects)}{required}"))
        _notes(inner, reservation.blocked, language=language)


def _missing(found: tuple[Missing, ...], configuration: Configuration) -> Tree:
    root = Tree(_line("Not offered", "bold"))
    systems: dict[str, Tree] = {}
    for each in found:
        label = configuration.systems[each.system].label
        if not each.option and not each.partition:
            root.add(_line(f"{label}: {each.reason}"))
            continue
        if each.system not in systems:
            systems[each.system] = root.add(_line(label))
        option = configuration.options[each.option].label if each.option else ""
        partition = f"partition {each.partition}" if each.partition else ""
        systems[each.system].add(_line(f"{' in '.join(filter(None, [option, partition]))}: {each.reason}"))
    return root


def _notes(node: Tree, *texts: Text, language: Language) -> None:
    for text in texts:
        if text:
            node.add(_line(text.say(language), "yellow"))


def _line(text: str, style: str = "") -> Styled:
    """Return one line in which nothing is markup, with whatever cannot be printed escaped."""
    return Styled("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text), style=style)
