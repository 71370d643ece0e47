# SPDX-License-Identifier: BSD-3-Clause
"""The messages between hub, managers and TunnelMgr. Both sides import these models.

Unknown fields are ignored and new fields have defaults, so that a partner's older manager keeps working.
A user's credential never stands in a message that is answered, logged or stored: requests for one lab
carry it in the header :data:`CREDENTIAL_HEADER`, :class:`LabRef` in a batch as a secret.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from jupyter_jsc import names

CREDENTIAL_HEADER = "X-JSC-Credential"
"""The credential to act with at the site: the user's fresh access token, or a site's token."""

LabId = Annotated[str, StringConstraints(pattern=names.LAB_ID.pattern)]
StartId = Annotated[str, StringConstraints(pattern=names.START_ID.pattern)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$", max_length=253)]
Port = Annotated[int, Field(ge=1024, le=65535, strict=True)]


class Message(BaseModel):
    """Base of all messages: frozen, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class State(StrEnum):
    """What a site says of a lab. ``unknown`` never stops, forgets or duplicates anything."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Handle(Message):
    """What a site needs to find a lab again; a hint that may be lost."""

    url: str = Field(max_length=2000)


class LabRef(Message):
    """Names one start of one lab to a site driver, with the credential to act with."""

    lab_id: LabId
    start_id: StartId
    system: Key
    handle: Handle | None = None
    credential: SecretStr | None = None
    account: Key | None = None
    """The user preferences of UNICORE: Unix account, and project below."""
    project: Key | None = None
    configuration: str = Field(default="", max_length=64)
    """The version of the configuration that the start was made with; serves a system that was removed since."""
    hub: Key | None = None
    """The hub that asks, by its credential: whatever a request says here, the manager's gate writes over."""


class Options(Message):
    """What the user chose, checked by the hub against the configuration and the user's accounts.

    ``resources`` holds values by resource key of the partition, e.g. ``{"nodes": 1, "gpus": 4,
    "runtime": 60}`` (runtime in minutes); one with a checkbox is left out while that is off. ``software`` holds
    what is switched on, by set; None stands for what is on by default. Systems without accounts have neither
    account nor project.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: Key
    option: Key
    account: Key | None = None
    project: Key | None = None
    partition: Key | None = None
    reservation: Key | None = None
    resources: dict[Key, Annotated[int, Field(strict=True)]] = {}
    software: dict[Key, list[Key]] | None = None
    image: Key | None = None
    """Key of the container image, where the option has images to choose from."""


class StartLab(Message):
    """All that a manager needs to start one lab. Repeating it with the same start id changes nothing."""

    lab_id: LabId
    start_id: StartId
    hub: Key
    user: str = Field(max_length=255)
    options: Options
    groups: list[Key] = []
    """The groups whose rights the options were checked with; the manager checks with them again."""
    configuration: str = Field(default="", max_length=64)
    """The version of the configuration that the start was checked with."""
    env: dict[str, str]
    """Environment of the lab without anything secret: it may be read in the stored job."""
    secrets: dict[str, SecretStr]
    """Environment of the lab that is secret: staged as one 0600 file, never stored with the job."""
    events_url: str
    """Where the launcher posts :class:`Event` (``…/events``) with the lab's own token."""
    started_url: str
    """Where the launcher posts :class:`LabStarted`."""
    hub_urls: list[str] = []
    """How the lab reaches the hub, in the order to try: bases that take the place of the hub's in the addresses above and
    in ``env``; ``direct`` stands for what is there. Empty: as they are."""


class StartAnswer(Message):
    """The site has the job."""

    handle: Handle
    site_token: SecretStr | None = None
    """A token of the site, limited to it, that supervises and stops this start when the user is away."""
    site_token_expires: datetime | None = None


class Event(Message):
    """One line of a start's history, as its sender posts it; the journal adds id, time and sender."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
    progress: int = Field(default=0, ge=0, le=100)
    text: str = Field(default="", max_length=500)
    details: str = Field(default="", max_length=8192)


class LabState(Message):
    """What the site says of one start, and why."""

    state: State
    code: str = ""
    """Machine-readable reason, e.g. ``time_limit``, ``cancelled``, ``gone``, ``refused``, ``credential``."""
    text: str = ""
    """One sentence for the user; empty if there is nothing to say."""
    nodes: list[HostName] | None = None
    """The hosts of the job's allocation; None if the site does not tell."""
    expected_start: datetime | None = None
    ends: datetime | None = None
    """When the time limit ends the lab."""
    exit_code: int | None = None
    log_tail: str = Field(default="", max_length=8192)
    """The last lines of the lab's output, once it has ended."""
    site_id: str = ""
    """The batch system's id of the job, for support."""
    history: list[Event] = Field(default=[], max_length=50)
    """What the site itself tells of this start so far, oldest first; empty where sites keep no history."""


class PollRequest(Message):
    """Ask about many labs at once."""

    labs: list[LabRef] = Field(max_length=2000)


class PollAnswer(Message):
    """The states by start id; a lab that the manager could not ask about is ``unknown``."""

    states: dict[StartId, LabState]


class PartitionHealth(Message):
    """What a site says of a partition right now."""

    free_nodes: int | None = None


class SystemHealth(Message):
    """What a manager says of a system."""

    available: bool
    text: str = ""
    partitions: dict[Key, PartitionHealth] = {}


class SiteNotice(Message):
    """A manager passes on that a site spoke of a start (a verified notification): look at it now."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
    text: str = Field(default="", max_length=500)


class LabStarted(Message):
    """The lab listens; posted by the launcher."""

    host: HostName
    port: Port


class OpenTunnel(Message):
    """Ask TunnelMgr for the endpoint of a lab. Repeatable: the same answer for the same request."""

    start_id: StartId
    system: Key
    host: HostName
    port: Port
    configuration: str = Field(default="", max_length=64)
    """The version of the configuration that the start was made with; serves a system that was removed since."""


class Tunnel(Message):
    """A tunnel's record."""

    lab_id: LabId
    start_id: StartId
    system: Key
    host: HostName
    port: Port
    endpoint_host: str
    endpoint_port: int
    jump_host: str | None = None
    connected: bool = False


class JumpHostState(StrEnum):
    """``draining`` gets no new tunnels, ``closed`` has none."""

    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class JumpHostInfo(Message):
    """A jump host as TunnelMgr sees it."""

    name: str
    system: Key
    state: JumpHostState
    connected: bool
    tunnels: int
    heartbeat_age_s: float | None = None
    hub_forward: str | None = None
    """How its way back to the hub is: ``open``, or why it is not; None: it has none."""


class JumpHostChange(Message):
    """Open, drain or close a jump host."""

    state: JumpHostState


class Readiness(Message):
    """The answer of ``/health/ready``: each dependency with ``ok`` or what is wrong."""

    ready: bool
    dependencies: dict[str, str] = {}
    details: dict[str, Any] = {}
