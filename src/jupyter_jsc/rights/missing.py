# SPDX-License-Identifier: BSD-3-Clause
"""What of a configuration a user is not offered, and why; for operators (``jupyter-jsc config show``). Pure.

Apart from :mod:`.options`, which has no time for reasons. Speaks English, as the configuration's reference does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jupyter_jsc.config.base import matches
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.notices import Reservation
from jupyter_jsc.config.stacks import Allowed
from jupyter_jsc.config.systems import System
from jupyter_jsc.rights.catalogue import allowed_by
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.tree import OptionTree, SystemChoice

_MOST_NAMES = 10


@dataclass(frozen=True)
class Missing:
    """Something that is not offered, and why."""

    place: str
    """Path in the configuration, e.g. ``systems.juwels.partitions.booster``."""
    reason: str


def missing_for(identity: Identity, configuration: Configuration, facts: Facts) -> tuple[Missing, ...]:
    """Return what :func:`~.options.options_for` leaves out for *identity*, in the order of the configuration."""
    tree = options_for(identity, configuration, facts)
    if configuration.groups and not tree.groups:
        return (Missing("groups", "The user is a member of no group, so nothing is offered."),)
    question = _Question(identity, configuration, facts, tree)
    found = [*question.accounts(), *question.options()]
    for key, system in configuration.systems.items():
        found += question.system(key, system)
    return tuple(found)


@dataclass(frozen=True)
class _Question:
    identity: Identity
    configuration: Configuration
    facts: Facts
    tree: OptionTree

    def accounts(self) -> Iterator[Missing]:
        """Yield account entries that the configuration does not know."""
        known = {word for system in self.configuration.systems.values() for word in system.account_keys}
        for word in dict.fromkeys(account.key for account in self.identity.accounts):
            if word not in known:
                yield Missing("systems.*.account_keys", f"No system knows the user's account entries with key {word}.")

    def options(self) -> Iterator[Missing]:
        """Yield options that are closed everywhere."""
        for key, option in self.configuration.options.items():
            if self._allowed(key):
                continue
            if option.groups is not None and not set(option.groups) & set(self.tree.groups):
                yield Missing(f"options.{key}", f"It is kept for {_named('the group', option.groups)}.")
            else:
                yield Missing(
                    f"options.{key}", f"It is not among the options of {_named('the group', self.tree.groups)}."
                )

    def system(self, key: str, system: System) -> Iterator[Missing]:
        """Yield what is left out on a system."""
        place = f"systems.{key}"
        entries = [account for account in self.identity.accounts if account.key in system.account_keys]
        if system.needs_account and not entries:
            yield Missing(
                place, f"No account opens it; {_named('account entries with the key', system.account_keys)} would."
            )
            return
        opened = set(system.default_partitions) if system.needs_account else set(system.partitions)
        opened.update(name for entry in entries for name in system.account_keys[entry.key])
        for name in system.partitions:
            if name not in opened:
                words = [word for word, names in system.account_keys.items() if name in names]
                would = f"; {_named('account entries with the key', words)} would" if words else ""
                yield Missing(f"{place}.partitions.{name}", f"No account opens it{would}.")
        choice = self.tree.systems.get(key)
        for option in self.configuration.options:
            yield from self._option(
                key, option, [name for name in system.partitions if name in opened], entries, choice
            )
        for name, item in self.configuration.reservations.items():
            if item.system == key and (choice is None or name not in choice.reservations):
                yield Missing(f"reservations.{name}", self._reservation(item, entries))

    def _option(
        self, key: str, option: str, opened: Sequence[str], entries: Sequence[Account], choice: SystemChoice | None
    ) -> Iterator[Missing]:
        allowed = self._allowed(option)
        found = choice.options.get(option) if choice is not None else None
        for name in opened if allowed else ():
            if found is None or name not in found.partitions:
                reasons = dict.fromkeys(
                    (f"{group}: " if group else "") + self._why(one, key, name, entries) for group, one in allowed
                )
                yield Missing(
                    f"systems.{key}.partitions.{name}", f"Not with the option {option}: {'; '.join(reasons)}."
                )

    def _allowed(self, key: str) -> list[tuple[str, Allowed]]:
        """Return where each active group opens an option."""
        option = self.configuration.options[key]
        if not self.configuration.groups:
            return [("", option.allowed)]
        groups = [(name, self.configuration.groups[name]) for name in self.tree.groups]
        found = [(name, allowed_by(name, group, key, option)) for name, group in groups]
        return [(name, allowed) for name, allowed in found if allowed is not None]

    def _why(self, allowed: Allowed, system: str, partition: str, entries: Sequence[Account]) -> str:
        """Return why a partition that is opened by an account is not in reach."""
        if allowed.systems is not None and system not in allowed.systems:
            return f"allowed.systems names {_listed(allowed.systems)}"
        if allowed.partitions is not None and partition not in allowed.partitions:
            return f"allowed.partitions names {_listed(allowed.partitions)}"
        accounts = [item for item in entries if allowed.accounts is None or matches(item.account, allowed.accounts)]
        if entries and not accounts:
            return f"allowed.accounts fits none of {_listed(item.account for item in entries)}"
        if entries and not any(
            allowed.projects is None or matches(item.project, allowed.projects) for item in accounts
        ):
            return f"allowed.projects fits none of {_listed(item.project for item in accounts)}"
        if allowed.reservations is not None:
            return f"a reservation is needed that fits {_listed(allowed.reservations)}"
        return "no account that is allowed opens this partition"

    def _reservation(self, item: Reservation, entries: Sequence[Account]) -> str:
        if item.ends is not None and item.ends <= self.facts.now:
            return f"It ended at {item.ends.isoformat()}."
        if not any(matches(one.project, item.projects) or matches(one.account, item.accounts) for one in entries):
            return f"It is for {_named('the project or account', [*item.projects, *item.accounts])}."
        return "No partition in which it may be used is offered with an option that lets it be chosen."


def _named(what: str, names: Iterable[str]) -> str:
    """Return *names* behind what they are."""
    return f"{what} {_listed(names)}" if names else what


def _listed(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(names))
    shown = ", ".join(listed[:_MOST_NAMES]) or "nothing"
    return f"{shown} and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else shown
