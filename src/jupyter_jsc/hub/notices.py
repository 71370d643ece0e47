# SPDX-License-Identifier: BSD-3-Clause
"""What stands around every page: announcements, the groups that one may act in, why there is nothing to start. Pure.

Called by :mod:`.frame` and :mod:`.pages`.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from jupyter_jsc.config.base import Language
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.notices import Announcement, Level
from jupyter_jsc.hub.words import Said, said
from jupyter_jsc.rights.identity import Identity
from jupyter_jsc.rights.membership import active, groups_of
from jupyter_jsc.rights.tree import OptionTree

_FIRST = (Level.DANGER, Level.WARNING, Level.INFO)


@dataclass(frozen=True)
class Notice:
    """An announcement as it is shown. ``id`` changes with its words, so that one who put it away sees the new ones."""

    id: str
    level: Level
    title: Said
    text: Said


@dataclass(frozen=True)
class GroupChoice:
    """A group that one may act in; the value of all groups together is empty."""

    value: str
    label: str
    description: Said
    chosen: bool


@dataclass(frozen=True)
class Frame:
    """What stands around a page."""

    notices: tuple[Notice, ...] = ()
    groups: tuple[GroupChoice, ...] = ()
    """Empty if there is nothing to choose."""
    acting: str = ""
    """The label of the one group whose rights count now although there might be others."""


class Nothing(Enum):
    """Why there is nothing that a user may start."""

    NO_GROUP = auto()
    OTHER_GROUP = auto()
    NO_ACCOUNT = auto()
    NOT_OPEN = auto()


def announcements(
    configuration: Configuration, groups: Collection[str], language: Language, now: datetime
) -> tuple[Notice, ...]:
    """Return what is announced to members of *groups* at *now*, what weighs most first."""
    shown = [
        _notice(key, item, language)
        for key, item in configuration.announcements.items()
        if (item.begins is None or item.begins <= now)
        and (item.ends is None or now < item.ends)
        and (item.groups is None or not set(item.groups).isdisjoint(groups))
    ]
    return tuple(sorted(shown, key=lambda notice: _FIRST.index(notice.level)))


def _notice(key: str, item: Announcement, language: Language) -> Notice:
    words = f"{key}\n{item.title.en}\n{item.title.de}\n{item.text.en}\n{item.text.de}"
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    return Notice(digest, item.level, said(item.title, language), said(item.text, language))


def frame(identity: Identity | None, configuration: Configuration, language: Language, now: datetime) -> Frame:
    """Return the frame for *identity*, or for somebody who is not logged in."""
    groups = groups_of(identity, configuration) if identity is not None else ()
    notices = announcements(configuration, groups, language, now)
    if identity is None or not groups:
        return Frame(notices)
    used = active(identity, configuration)
    labels = {key: configuration.groups[key].label for key in groups}
    if len(groups) == 1:
        return Frame(notices, acting=labels[groups[0]] if configuration.groups[groups[0]].exclusive else "")
    acting = labels[used[0]] if len(used) == 1 else ""
    choices = (
        GroupChoice("", "All my groups", Said("The rights of all of them, united."), used == groups),
        *(
            GroupChoice(key, labels[key], said(configuration.groups[key].description, language), used == (key,))
            for key in groups
        ),
    )
    return Frame(notices, choices, acting)


def why_nothing(identity: Identity, configuration: Configuration, tree: OptionTree) -> Nothing | None:
    """Return why *identity* may start nothing; None if there is something."""
    if tree.systems:
        return None
    groups = groups_of(identity, configuration)
    if configuration.groups and not groups:
        return Nothing.NO_GROUP
    if active(identity, configuration) != groups:
        return Nothing.OTHER_GROUP
    return Nothing.NOT_OPEN if identity.accounts else Nothing.NO_ACCOUNT
