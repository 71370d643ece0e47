# SPDX-License-Identifier: BSD-3-Clause
"""Groups: sets of users with rights (virtual organisations, courses, institutes)."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from jupyter_jsc.config.base import OptionKey, Pattern, Reference, Section, SystemKey, Text
from jupyter_jsc.config.stacks import Allowed
from jupyter_jsc.wire import Key


class Rule(Section):
    """Who is a member: everything that is given must hold. At least one thing is given."""

    everybody: bool | None = None
    """``true``: whoever may log in."""
    identity_providers: list[Annotated[Key, Reference("identity_providers")]] | None = None
    """Logged in by one of these."""
    users: list[str] | None = None
    """One of these user names, exactly."""
    patterns: list[Pattern] | None = None
    """A user name that matches one of these patterns, e.g. ``*@example.org``."""
    entitlements: list[Pattern] | None = None
    """Holds an entitlement or a group (with its ancestors, roles and authority) that matches one of these patterns."""
    admin: bool | None = None
    """``true``: administrators of the hub."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set or all(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("a rule needs at least one criterion; `everybody: true` means all users")
        if self.everybody is False or self.admin is False:
            raise ValueError("`everybody` and `admin` can only be `true`; leave them out otherwise")
        return self


class Range(Section):
    """Other limits for a resource, for a group."""

    system: SystemKey
    """On this system."""
    partition: Annotated[Key, Reference("systems/{system}/partitions")]
    """In this partition."""
    resource: Annotated[Key, Reference("systems/{system}/partitions/{partition}/resources")]
    """This resource."""
    minimum: int = Field(ge=0)
    """Smallest value."""
    maximum: int = Field(ge=0)
    """Largest value."""
    default: int | None = Field(default=None, ge=0)
    """Value of a new lab; none: the partition's own, moved inside the limits."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        if self.default is not None and not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is not between minimum {self.minimum} and maximum {self.maximum}")
        return self


class GroupOption(Section):
    """How a group may use a service option."""

    allowed: Allowed = Allowed()
    """Replaces, list by list, where the option may be used; a list that is not given stays the option's own."""
    max_labs_per_user: int | None = Field(default=None, ge=0)
    """How many labs of one member may be in use with it at once; none: the option's own limit."""


class Group(Section):
    """A set of users with rights."""

    label: str
    """Its name for people."""
    description: Text = Text(en="")
    """One sentence for its members."""
    members: list[Rule] = Field(min_length=1)
    """Whoever fits one of these rules is a member."""
    weight: int = 99
    """Groups with smaller weight count first: for defaults, and for which exclusive group wins."""
    exclusive: bool = False
    """Members have the rights of this group alone, whatever else they are in; the one with the smallest weight wins."""
    options: dict[OptionKey, GroupOption] | None = None
    """The options that members may start, and how; none: every option that is not kept for other groups."""
    ranges: list[Range] = []
    """Other limits for resources; members of several groups get the widest."""
    max_labs: int | None = Field(default=None, ge=0)
    """How many labs of all members together may be in use at once; none: no limit."""
    max_labs_per_user: int | None = Field(default=None, ge=0)
    """How many labs of one member may be in use at once; none: no limit."""
    systems: dict[SystemKey, Annotated[int, Field(ge=0)]] = {}
    """System → how many labs of one member may be in use there at once; replaces the system's own limit."""
