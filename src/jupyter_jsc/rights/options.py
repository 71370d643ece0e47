# SPDX-License-Identifier: BSD-3-Clause
"""What a user may start: identity, configuration and the moment → the tree of choices. Pure, fast and total.

The form, the API and ``config show`` ask :func:`options_for`, the manager's gate :func:`options_of_start`; the answer is
what :mod:`.validate` checks with. What does not depend on the user comes ready from :mod:`.catalogue`, and parts that are
alike are one object, so the tree of a user with hundreds of accounts costs little.

A place (partition under account and project) is possible if any of the user's active groups permits it; see
:class:`jupyter_jsc.config.groups.Group`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from jupyter_jsc.config.base import Text
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights.catalogue import offers_for
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.limits import Usage
from jupyter_jsc.rights.membership import active
from jupyter_jsc.rights.moments import SystemMoment, moment_of
from jupyter_jsc.rights.offers import Offers, OptionOffer, SystemOffer
from jupyter_jsc.rights.patterns import united
from jupyter_jsc.rights.places import Found, Opened, Places
from jupyter_jsc.rights.texts import no_group
from jupyter_jsc.rights.tree import NOBODY, OptionChoice, OptionTree, PartitionChoice, SystemChoice
from jupyter_jsc.wire import StartLab

_CLUSTER: Opened = {NOBODY: {NOBODY: -1}}
"""Every partition is open to everybody."""


def options_for(identity: Identity, configuration: Configuration, facts: Facts) -> OptionTree:
    """Return everything that *identity* may choose, and what of it is blocked at the moment of *facts*."""
    groups = active(identity, configuration)
    offers = offers_for(groups, configuration)
    return _tree(groups, offers, _opened(identity.accounts, offers), configuration, facts)


def options_of_start(lab: StartLab, configuration: Configuration, facts: Facts) -> OptionTree:
    """Return what could be chosen on the system of *lab* with its groups, account and project.

    For the gate of a manager, which does not know the identity: account and project are taken as given and open
    whatever any entry can. The site itself has the last word on them.
    """
    groups = tuple(key for key in lab.groups if key in configuration.groups)
    offers = offers_for(groups, configuration)
    systems = tuple(offer for offer in offers.systems if offer.key == lab.options.system)
    account, project = lab.options.account, lab.options.project
    opened: dict[str, Opened] = {}
    if account is not None and project is not None:
        opened = {offer.key: {account: {project: offer.any_entry}} for offer in systems}
    return _tree(groups, replace(offers, systems=systems), opened, configuration, facts)


def _opened(accounts: Iterable[Account], offers: Offers) -> Mapping[str, Opened]:
    """Return what *accounts* open on each system."""
    opened: dict[str, dict[str, dict[str, int]]] = {}
    for entry in accounts:
        for offer in offers.by_key.get(entry.key, ()):
            projects = opened.setdefault(offer.key, {}).setdefault(entry.account, {})
            projects[entry.project] = projects.get(entry.project, 0) | offer.keys[entry.key]
    return opened


def _tree(
    groups: tuple[str, ...],
    offers: Offers,
    opened: Mapping[str, Opened],
    configuration: Configuration,
    facts: Facts,
) -> OptionTree:
    if configuration.groups and not groups:
        return OptionTree({}, (), no_group(configuration.support))
    usage = Usage.of(facts, groups, configuration)
    systems: dict[str, SystemChoice] = {}
    for offer in offers.systems:
        own = opened.get(offer.key) if offer.system.needs_account else _CLUSTER
        places = Places(offers, offer, own, facts.now) if own else None
        choice = _system(offer, places, usage, configuration, facts) if places else None
        if choice is not None:
            systems[offer.key] = choice
    return OptionTree(systems, groups, usage.overall())


def _system(
    offer: SystemOffer, places: Places, usage: Usage, configuration: Configuration, facts: Facts
) -> SystemChoice | None:
    found = [(option, here) for option in offer.options if (here := places.under(option.opening)).accounts]
    if not found:
        return None
    moment = moment_of(offer.key, offer.system, configuration.maintenance, facts.health.get(offer.key), facts.now)
    default = next((option for option, _ in found if option.option.default), found[0][0])
    reservations = united(here.reservations for _, here in found)
    return SystemChoice(
        label=offer.system.label,
        description=offer.system.description,
        needs_account=offer.system.needs_account,
        options={
            option.key: _option(offer, option, here, moment, usage.using(option), default=option is default)
            for option, here in found
        },
        reservations=offer.reservations.choices(reservations, facts.now) if reservations else {},
        blocked=moment.blocked or usage.on(offer),
        notice=moment.notice,
    )


def _option(
    system: SystemOffer, offer: OptionOffer, found: Found, moment: SystemMoment, blocked: Text, *, default: bool
) -> OptionChoice:
    option = offer.option
    return OptionChoice(
        label=option.label,
        description=option.description,
        default=default,
        deprecated=option.deprecated,
        accounts=found.accounts,
        partitions=_partitions(system, offer, found.partitions, moment),
        blocked=blocked,
        images=offer.images,
    )


def _partitions(
    system: SystemOffer, offer: OptionOffer, wanted: int, moment: SystemMoment
) -> Mapping[str, PartitionChoice]:
    if wanted == offer.all_partitions and not moment.partitions:
        return offer.partitions
    blocked = moment.partitions
    return {
        name: replace(offer.partitions[name], blocked=blocked[name]) if name in blocked else offer.partitions[name]
        for bit, name in enumerate(system.names)
        if wanted >> bit & 1
    }
