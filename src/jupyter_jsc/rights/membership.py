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
from jupyter_jsc.rights.patterns import Patterns, per_configuration

_Test = Callable[[Identity], bool]


@dataclass(frozen=True)
class _Members:
    """Who is in a group: one of the rules, of each all tests."""

    group: str
    exclusive: bool
    rules: tuple[tuple[_Test, ...], ...]


def groups_of(identity: Identity, configuration: Configuration) -> tuple[str, ...]:
    """Return the groups of *identity*, the one with the smallest weight first; of exclusive ones only the first.

    Groups of the same weight stand in the order of their keys.
    """
    found = []
    for members in _all_members(configuration):
        if any(all(test(identity) for test in rule) for rule in members.rules):
            if members.exclusive:
                return (members.group,)
            found.append(members.group)
    return tuple(found)


def active(identity: Identity, configuration: Configuration) -> tuple[str, ...]:
    """Return the groups whose rights *identity* has now: the one that was chosen, if it is theirs, else all of theirs."""
    groups = groups_of(identity, configuration)
    return (identity.group,) if identity.group is not None and identity.group in groups else groups


@per_configuration
def _all_members(configuration: Configuration) -> tuple[_Members, ...]:
    """Return the groups in the order in which they are asked: exclusive ones first."""
    groups = sorted(configuration.groups.items(), key=lambda item: (not item[1].exclusive, item[1].weight, item[0]))
    return tuple(
        _Members(key, group.exclusive, tuple(_tests(rule, configuration) for rule in group.members))
        for key, group in groups
    )


def _tests(rule: Rule, configuration: Configuration) -> tuple[_Test, ...]:
    tests: list[_Test] = []
    if rule.admin:
        tests.append(lambda identity: identity.admin)
    if rule.identity_providers is not None:
        words = _words(rule.identity_providers, configuration)
        tests.append(lambda identity: identity.authenticator in words)
    if rule.users is not None:
        users = frozenset(rule.users)
        tests.append(lambda identity: identity.user in users)
    if rule.patterns is not None:
        names = Patterns(rule.patterns)
        tests.append(lambda identity: names.fits(identity.user))
    if rule.entitlements is not None:
        wanted = Patterns(rule.entitlements)
        tests.append(lambda identity: any(map(wanted.fits, identity.entitlements)))
    return tuple(tests)


def _words(providers: list[str], configuration: Configuration) -> frozenset[str]:
    """Return the provider's words for logging in by one of these buttons."""
    known = [configuration.identity_providers[key] for key in providers if key in configuration.identity_providers]
    words = {word for provider in known for word in [*provider.authenticators, *provider.preselect.values()]}
    # No word at all says nothing about how somebody logged in.
    return frozenset(words - {""})
