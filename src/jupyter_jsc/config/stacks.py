# SPDX-License-Identifier: BSD-3-Clause
"""What is started: service options (JupyterLab versions and other stacks), software that goes with them, job templates."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, HttpUrl

from jupyter_jsc.config.base import AnyPartitionKey, GroupKey, OptionKey, Pattern, Section, SystemKey, Text
from jupyter_jsc.config.clusters import Container
from jupyter_jsc.config.systems import PartitionKind, VariableName
from jupyter_jsc.wire import Key


class Allowed(Section):
    """Where something may be used: each list that is given must hold; a list that is not given allows everything."""

    systems: list[SystemKey] | None = None
    """On these systems only."""
    accounts: list[Pattern] | None = None
    """With Unix accounts that match one of these patterns only."""
    projects: list[Pattern] | None = None
    """With projects that match one of these patterns only."""
    partitions: list[AnyPartitionKey] | None = None
    """In partitions with these keys only, on whichever system."""
    reservations: list[Pattern] | None = None
    """In reservations that match one of these patterns only: one must be chosen, and a partition without any is not
    offered. So a course sees nothing but its reservation."""


class ServiceOption(Section):
    """Something that can be started: a JupyterLab version or another stack."""

    label: str
    """Its name for people."""
    description: Text = Text(en="")
    """One sentence: what it is good for."""
    order: int = 0
    """Options with smaller numbers stand first."""
    default: bool = False
    """Chosen for a new lab; the first one that the user may start, if several or none are."""
    deprecated: Text | None = None
    """Why it should not be used any more, and until when it works. It still starts."""
    groups: list[GroupKey] | None = None
    """Only for members of these groups; none: for everybody."""
    allowed: Allowed = Allowed()
    """Where it may be used."""
    max_labs_per_user: int | None = Field(default=None, ge=0)
    """How many labs of one user may be in use with it at once; none: no limit."""
    python: str = "python3"
    """The interpreter that runs the lab's server, after ``setup``."""
    setup: list[str] = []
    """HPC systems only: shell lines before the server starts, e.g. ``module load Jupyter``. An image has all of it inside."""
    container: Container | None = None
    """Images and manifests for clusters; needed on systems of the kind ``kubernetes``, and only for these."""


class SoftwareKind(StrEnum):
    """What a set holds; says where the form shows it."""

    MODULES = "modules"
    KERNELS = "kernels"
    EXTENSIONS = "extensions"
    PROXIES = "proxies"


class Software(Section):
    """One thing of a software set that users switch on or off."""

    label: str
    """Its name for people."""
    description: Text = Text(en="")
    """One sentence: what it is."""
    documentation: HttpUrl | None = None
    """Where it is documented."""
    default: bool | list[OptionKey] = False
    """Whether it is on in a new lab, or with which options."""
    options: list[OptionKey] | None = None
    """Only with these options; none: with all."""
    systems: list[SystemKey] | None = None
    """Only on these systems; none: on all."""
    compute_only: bool = False
    """Only in batch partitions."""
    modules: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+/-]*$")]] = []
    """Environment modules to load, in this order."""
    environment: dict[VariableName, str] = {}
    """Variables of the lab's environment while it is on."""

    def fits(self, system: str, option: str, kind: PartitionKind) -> bool:
        """Tell whether it can be switched on in a partition of that kind."""
        return (
            (self.options is None or option in self.options)
            and (self.systems is None or system in self.systems)
            and (not self.compute_only or kind is PartitionKind.BATCH)
        )

    def by_default(self, option: str) -> bool:
        """Tell whether it is on in a new lab."""
        return self.default if isinstance(self.default, bool) else option in self.default


class SoftwareSet(Section):
    """Software that users choose from."""

    label: Text
    """Its heading in the form, e.g. ``Kernels``."""
    kind: SoftwareKind
    """What it holds."""
    order: int = 0
    """Sets with smaller numbers stand first."""
    items: dict[Key, Software] = Field(min_length=1)
    """What can be chosen, in the order of the form."""


class HookMoment(StrEnum):
    """When a hook runs: before software is loaded, or after it, just before the server starts."""

    BEFORE_SOFTWARE = "before_software"
    BEFORE_SERVER = "before_server"


class Hook(Section):
    """Shell lines of the operators that run on the node before the lab's server starts."""

    label: Text
    """What it does, as users read it while it runs, e.g. ``Checking the quota of your home``."""
    run: list[str] = Field(min_length=1)
    """Lines of a bash script; variables that they export reach the lab. The last lines of output are shown if it fails."""
    when: HookMoment = HookMoment.BEFORE_SOFTWARE
    """When it runs."""
    required: bool = True
    """Whether the start fails with it; otherwise the lab starts all the same, with a warning in its history."""
    timeout_s: int = Field(default=60, ge=1, le=3600)
    """Seconds after which it counts as failed."""


class JobTemplate(Section):
    """What jobs get beyond the user's choice. All templates whose filters fit are applied, in their order."""

    systems: list[SystemKey] | None = None
    """Only on these systems; none: on all."""
    partitions: list[AnyPartitionKey] | None = None
    """Only in partitions with these keys; none: in all."""
    options: list[OptionKey] | None = None
    """Only with these options; none: with all."""
    resources: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")], str] = {}
    """More of the job description's ``Resources``, e.g. ``{QoS: interactive, NodeConstraints: largedata}``."""
    environment: dict[VariableName, str] = {}
    """Variables of the lab's environment."""
    hooks: dict[Key, Hook] = {}
    """Scripts that run before the server starts, in this order."""


class LabSide(Section):
    """What the launcher does for every lab, beside job templates."""

    user_hook: str = ".jupyter/start_lab.sh"
    """Script in the user's home that is run before the server starts, if it is there; empty: none."""
    user_hook_timeout_s: int = Field(default=60, ge=1, le=3600)
    """Seconds after which the user's script counts as failed. The lab starts all the same, with a warning."""
