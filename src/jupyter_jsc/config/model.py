# SPDX-License-Identifier: BSD-3-Clause
"""The configuration: what a centre has and offers. One frozen tree, made by :mod:`.load`.

The parts stand in :mod:`.systems`, :mod:`.stacks`, :mod:`.groups` and :mod:`.notices`. Every field says meaning, unit
and default beneath it, which is also its line of the reference page and of the JSON Schema. Unknown keys are mistakes.
"""

from pydantic import Field, HttpUrl

from jupyter_jsc.config.base import Pattern, Section, Text
from jupyter_jsc.config.groups import Group
from jupyter_jsc.config.notices import Announcement, EventCode, Maintenance, ProgressText, Reservation, Retention
from jupyter_jsc.config.stacks import JobTemplate, LabSide, ServiceOption, SoftwareSet
from jupyter_jsc.config.systems import System
from jupyter_jsc.wire import Key


class IdentityProvider(Section):
    """A button of the login page."""

    label: str
    """What the button says after "Log in with"."""
    description: Text = Text(en="")
    """One sentence under the button: who should take it."""
    preselect: dict[str, str] = {}
    """Parameters for the authorisation request that make the provider skip its own choice, e.g.
    ``{uy_select_authn: jsc.password}`` for Unity."""
    authenticators: list[str] = []
    """Values of the provider's claim about how a user logged in that mean this button, exactly as it says them: Unity
    says ``"[jsc.password]"``, brackets included. Rules of groups see by them who logged in where."""


class Service(Section):
    """Another service of ours."""

    url: HttpUrl
    """Its address."""
    ca_file: str = ""
    """PEM file of the authority that signed its certificate; empty: the machine's own set."""
    timeout_s: float = Field(default=20.0, gt=0, le=300)
    """Seconds that a usual request may take; starting and stopping have longer limits of their own."""


class Configuration(Section):
    """The whole tree."""

    hub: Key
    """Name of this portal; part of every lab id, so it never changes."""
    support: str = "the support team"
    """Whom users should ask; a mail address or a name."""
    identity_providers: dict[Key, IdentityProvider] = Field(min_length=1)
    """The buttons of the login page, in this order."""
    account_namespaces: list[Pattern] = []
    """URN namespaces (``urn:geant:example.org``) whose resource entitlements (AARC-G069) open accounts; none: no
    entitlement does, only the provider's list of account entries and what operators push."""
    managers: dict[Key, Service]
    """The services that start labs on systems."""
    tunnelmgr: Service
    """The service that reaches labs through SSH."""
    systems: dict[Key, System]
    """Where labs run."""
    options: dict[Key, ServiceOption] = Field(min_length=1)
    """What can be started."""
    software: dict[Key, SoftwareSet] = {}
    """Software that users switch on or off, by set."""
    groups: dict[Key, Group] = {}
    """Sets of users with rights. None at all: everybody may start every option on whatever their accounts open."""
    max_labs_per_user: int | None = Field(default=None, ge=0)
    """How many labs of one user may be in use at once; none: no limit."""
    jobs: dict[Key, JobTemplate] = {}
    """What jobs get beyond the user's choice, by system, partition and option; applied in this order."""
    lab: LabSide = LabSide()
    """What the launcher does for every lab."""
    texts: dict[EventCode, ProgressText] = {}
    """The centre's own words for events of a start, by the event's code."""
    announcements: dict[Key, Announcement] = {}
    """Messages on every page."""
    maintenance: dict[Key, Maintenance] = {}
    """Times in which nothing new starts."""
    reservations: dict[Key, Reservation] = {}
    """Reservations that users may choose, by the name that the batch system knows; usually a file of its own that a
    script writes."""
    retention: Retention = Retention()
    """How long things are kept."""
