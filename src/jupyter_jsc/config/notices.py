# SPDX-License-Identifier: BSD-3-Clause
"""What the portal says and keeps: texts of progress, announcements, maintenance, reservations, retention."""

from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from jupyter_jsc.config.base import AnyPartitionKey, GroupKey, Pattern, Reference, Section, SystemKey, Text
from jupyter_jsc.wire import Key

EventCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
_LONGEST_DAYS = 36500


def _in_reach(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 2999:  # near the ends of the calendar no other zone can say it
        raise ValueError("the year is not between 1970 and 2999")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_reach)]
PLACEHOLDERS = ("text", "system", "partition", "option", "project")


class ProgressText(Section):
    """The centre's own words for an event of a start."""

    text: Text
    """``{text}`` stands for the portal's own words in the same language, ``{system}``, ``{partition}``, ``{option}`` and
    ``{project}`` for the lab's."""
    progress: int | None = Field(default=None, ge=0, le=100)
    """Percent that the bar shows; none: the portal's own."""

    @model_validator(mode="after")
    def _placeholders_known(self) -> Self:
        for text in (self.text.en, self.text.de):
            if not _only_names(text):
                allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                raise ValueError(f"{text!r} has a placeholder other than {allowed}")
        return self


class Level(StrEnum):
    """How an announcement looks."""

    INFO = "info"
    WARNING = "warning"
    DANGER = "danger"


class Announcement(Section):
    """A message on every page."""

    title: Text
    """A few words."""
    text: Text = Text(en="")
    """One or two sentences."""
    level: Level = Level.INFO
    """How it looks."""
    begins: Moment | None = None
    """Shown from then on; none: at once."""
    ends: Moment | None = None
    """Shown until then; none: for ever."""
    groups: list[GroupKey] | None = None
    """Only for members of these groups; none: for everybody, before the login too."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _check_order(self.begins, self.ends)
        return self


class Maintenance(Section):
    """A time in which nothing new starts; labs that run are left alone."""

    systems: list[SystemKey] = Field(min_length=1)
    """Where."""
    partitions: list[AnyPartitionKey] | None = None
    """Only partitions with these keys; none: all."""
    begins: Moment
    """From then on."""
    ends: Moment | None = None
    """Until then; none: until this entry is removed."""
    text: Text = Text(en="")
    """Why, in one sentence."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _check_order(self.begins, self.ends)
        return self


class Reservation(Section):
    """Nodes that a batch system keeps for some projects or accounts for some time."""

    system: SystemKey
    """Where."""
    projects: list[Pattern] = []
    """Projects that may use it."""
    accounts: list[Pattern] = []
    """Unix accounts that may use it."""
    partitions: list[Annotated[Key, Reference("systems/{system}/partitions")]] | None = None
    """In these partitions; none: in all."""
    begins: Moment | None = None
    """From then on; none: now."""
    ends: Moment | None = None
    """Until then; none: for ever."""
    description: Text = Text(en="")
    """One sentence, e.g. which course it is for."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _check_order(self.begins, self.ends)
        if not self.projects and not self.accounts:
            raise ValueError("a reservation needs `projects` or `accounts`, else nobody could use it")
        return self


class Retention(Section):
    """How long things are kept."""

    history_days: int = Field(default=90, ge=1, le=_LONGEST_DAYS)
    """Days that ended starts and their events are kept. The newest start of a lab always stays."""
    versions_days: int = Field(default=90, ge=1, le=_LONGEST_DAYS)
    """Days that earlier versions of this configuration are kept for labs that were started under them; longer than the
    longest runtime."""


def _only_names(text: str) -> bool:
    """Tell whether *text* has plain placeholders only: ``{text.attribute}`` and ``{text:>9999}`` are none."""
    try:
        parts = [part[1:] for part in Formatter().parse(text)]
    except ValueError:
        return False
    return all(name is None or (name in PLACEHOLDERS and not form and not turned) for name, form, turned in parts)


def _check_order(begins: datetime | None, ends: datetime | None) -> None:
    if begins is not None and ends is not None and begins >= ends:
        raise ValueError(f"begins {begins.isoformat()} is not before ends {ends.isoformat()}")
