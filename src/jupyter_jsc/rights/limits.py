# SPDX-License-Identifier: BSD-3-Clause
"""Which limits a user's live labs fill. Pure; called by :mod:`.options` with what the groups may (:mod:`.catalogue`).

The limits for a user count that user's labs in use: all of them, those on a system, those with an option. A group's
limit for all members together blocks an option only when every group that opens it is full.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jupyter_jsc.config.base import Text
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights import texts
from jupyter_jsc.rights.identity import Facts, LiveLab
from jupyter_jsc.rights.offers import OptionOffer, SystemOffer
from jupyter_jsc.rights.tree import FREE


def widest(limits: Sequence[int | None]) -> int | None:
    """Return the largest of *limits*, of which None is the largest; None for none at all."""
    numbers = [limit for limit in limits if limit is not None]
    return max(numbers) if numbers and len(numbers) == len(limits) else None


class Usage(NamedTuple):
    """The user's labs in use, the limits over all of them, and the groups that are full."""

    labs: tuple[LiveLab, ...]
    limits: tuple[int | None, ...]
    full: Mapping[str, Text]

    @classmethod
    def of(cls, facts: Facts, groups: Sequence[str], configuration: Configuration) -> "Usage":
        """Return what *facts* say of a user in *groups*, who may use the most generous of them."""
        members = {key: configuration.groups[key] for key in groups}
        full = {
            key: texts.group_full(group.label, group.max_labs)
            for key, group in members.items()
            if group.max_labs is not None and facts.group_labs.get(key, 0) >= group.max_labs
        }
        own = widest([group.max_labs_per_user for group in members.values()])
        return cls(facts.labs, (configuration.max_labs_per_user, own), full)

    def overall(self) -> Text:
        """Return which limit over all of the user's labs is reached."""
        titles = [lab.title for lab in self.labs]
        return next((text for limit in self.limits if (text := _reached(limit, titles, texts.EVERYWHERE))), FREE)

    def on(self, offer: SystemOffer) -> Text:
        """Return whether the user's labs on a system reach the limit there."""
        if offer.max_labs is None:
            return FREE
        titles = [lab.title for lab in self.labs if lab.system == offer.key]
        return _reached(offer.max_labs, titles, texts.on_system(offer.system.label))

    def using(self, offer: OptionOffer) -> Text:
        """Return whether the user's labs with an option reach its limit, or its groups theirs."""
        if self.full and offer.groups and all(key in self.full for key in offer.groups):
            return self.full[offer.groups[0]]
        if offer.max_labs is None:
            return FREE
        titles = [lab.title for lab in self.labs if lab.option == offer.key]
        return _reached(offer.max_labs, titles, texts.with_option(offer.option.label))


def _reached(limit: int | None, titles: Sequence[str], where: Text) -> Text:
    return FREE if limit is None or len(titles) < limit else texts.limit_reached(limit, titles, where)
