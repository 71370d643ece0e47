# SPDX-License-Identifier: BSD-3-Clause
"""Identity and configuration → the groups of a user, and those whose rights count. Pure functions.

A rule of a group fits if everything that it gives holds; a member fits one of the group's rules. Without any group in
the configuration there is nothing to be a member of, and everything is open (:mod:`.options`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from jupyter_jsc.config.groups import Rule
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights.identity import Identity
from jupyter_jsc.rights.patterns import Lists, Patterns, per_configuration, united

_Test = Callable[[Identity, int], bool]
"""Whether an identity, with bits of the lists that its entitlements fit, meets a criterion."""


@dataclass(frozen=True)
class _Members:
    """Who is in a group: one of the rules, of each all tests."""

    group: str
    exclusive: bool
    rules: tuple[tuple[_Test, ...], ...]


@dataclass(frozen=True)
class _Groups:
    """The groups in the order in which they are asked: exclusive ones first."""

    members: tuple[_Members, ...]
    entitlements: Lists


def groups_of(identity: Identity, configuration: Configuration) -> tuple[str, ...]:
    """Return the groups of *identity*, the one with the smallest weight first; of exclusive ones only the first.

    Groups of the same weight stand in the order of their keys.
    """
    found = []
    groups = _groups(configuration)
    entitled = united(map(groups.entitlements.fitted_by, identity.entitlements))
    for members in groups.members:
        if any(all(test(identity, entitled) for test in rule) for rule in members.rules):
            if members.exclusive:
                return (members.group,)
            found.append(members.group)
    return tuple(found)


def active(identity: Identity, configuration: Configuration) -> tuple[str, ...]:
    """Return the groups whose rights *identity* has now: the one that was chosen, if it is theirs, else all of theirs."""
    groups = groups_of(identity, configuration)
    return (identity.group,) if identity.group is not None and identity.group in groups else groups


@per_configuration
def _groups(configuration: Configuration) -> _Groups:
    groups = sorted(configuration.groups.items(), key=lambda item: (not item[1].exclusive, item[1].weight, item[0]))
    lists = Lists()
    members = tuple(
        _Members(key, group.exclusive, tuple(_tests(rule, configuration, lists) for rule in group.members))
        for key, group in groups
    )
    return _Groups(members, lists)


def _tests(rule: Rule, configuration: Configuration, lists: Lists) -> tuple[_Test, ...]:
    tests: list[_Test] = []
    if rule.admin:
        tests.append(lambda identity, _: identity.admin)
    if rule.identity_providers is not None:
        words = _words(rule.identity_providers, configuration)
        tests.append(lambda identity, _: identity.authenticator in words)
    if rule.users is not None:
        users = frozenset(rule.users)
        tests.append(lambda identity, _: identity.user in users)
    if rule.patterns is not None:
        names = Patterns(rule.patterns)
        tests.append(lambda identity, _: names.fits(identity.user))
    if rule.entitlements is not None:
        bit = lists.add(rule.entitlements)
        tests.append(lambda _, entitled: bool(entitled & bit))
    return tuple(tests)


def _words(providers: list[str], configuration: Configuration) -> frozenset[str]:
    """Return the provider's words for logging in by one of these buttons."""
    known = [configuration.identity_providers[key] for key in providers if key in configuration.identity_providers]
    words = {word for provider in known for word in [*provider.authenticators, *provider.preselect.values()]}
    # No word at all says nothing about how somebody logged in.
    return frozenset(words - {""})
