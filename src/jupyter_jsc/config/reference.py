# SPDX-License-Identifier: BSD-3-Clause
"""The model → the reference page of the configuration, with examples out of a folder.

``make docs`` writes the page and the schema; a test compares them with what is committed. What the page says of a field
is the docstring beneath it in the model.
"""

import inspect
import sys
import types
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import AwareDatetime, HttpUrl
from pydantic.fields import FieldInfo

from jupyter_jsc.config import clusters, groups, notices, schema, source, stacks, systems
from jupyter_jsc.config.base import Pattern, Reference, Section, Text
from jupyter_jsc.config.document import Branch
from jupyter_jsc.config.model import Configuration, IdentityProvider, Service
from jupyter_jsc.config.notices import EventCode
from jupyter_jsc.config.schema import in_words, plain
from jupyter_jsc.config.shapes import shape_of
from jupyter_jsc.config.systems import HubUrl, VariableName
from jupyter_jsc.wire import HostName, Key

INDENT = "  "


class Part(NamedTuple):
    """A section of the page."""

    title: str
    model: type[Section]
    example: str = ""
    """Path of what is shown of the example; empty: nothing."""


PARTS = (
    Part("The whole", Configuration, "support"),
    Part("Identity providers", IdentityProvider, "identity_providers.jsc"),
    Part("Managers and TunnelMgr", Service, "managers.k8smgr"),
    Part("Systems", systems.System, "systems.juwels.account_keys"),
    Part("UNICORE", systems.Unicore, "systems.deep.unicore"),
    Part("Messages of a site", systems.SiteMessage),
    Part("Clusters", clusters.Cluster, "systems.hdf-cloud.kubernetes"),
    Part("Jump hosts", systems.JumpHost, "systems.hdf-cloud.jump_hosts"),
    Part("Ways back to the hub", systems.HubForward, "systems.deep.hub_urls"),
    Part("Partitions", systems.Partition, "systems.juwels.partitions.login"),
    Part("Resources", systems.Resource, "systems.juwels.partitions.devel.resources"),
    Part("Checkboxes", systems.Checkbox, "systems.juwels.partitions.login-vis.resources"),
    Part("Service options", stacks.ServiceOption, "options.jupyterlab-4.4"),
    Part("Containers", clusters.Container, "options.jupyterlab-4.6.container"),
    Part("Images", clusters.Image),
    Part("Where something is allowed", stacks.Allowed, "options.desktop.allowed"),
    Part("Software sets", stacks.SoftwareSet),
    Part("Software", stacks.Software, "software.kernels.items.jax"),
    Part("Groups", groups.Group, "groups.guests"),
    Part("Rules of membership", groups.Rule, "groups.ibg.members"),
    Part("Options of a group", groups.GroupOption, "groups.course-hpc-python.options"),
    Part("Ranges of a group", groups.Range, "groups.deep-developers.ranges"),
    Part("Job templates", stacks.JobTemplate, "jobs.interactive-qos"),
    Part("Start hooks", stacks.Hook, "jobs.x-server.hooks"),
    Part("The lab's side", stacks.LabSide, "lab"),
    Part("Texts of progress", notices.ProgressText, "texts.queued"),
    Part("Announcements", notices.Announcement, "announcements.survey"),
    Part("Maintenance", notices.Maintenance, "maintenance.jureca-gpu-2026-06"),
    Part("Reservations", notices.Reservation, "reservations.gpu-bootcamp"),
    Part("Retention", notices.Retention, "retention"),
)

INTRODUCTION = """\
# Reference of the configuration

<!-- Written by `make docs` from the model in src/jupyter_jsc/config; do not edit it here. -->

What a centre offers, and to whom. How to work with it: [change the configuration](../how-to/change-the-configuration.md) and
[operate the configuration](../how-to/operate-the-configuration.md). A whole one to read and to copy:
[examples/config](../../examples/config/README.md). For editors: [configuration.schema.json](configuration.schema.json).

## Rules for all of it

**Folder.** All files `*.yaml` and `*.yml` of a folder and of the folders in it are one configuration. Hidden files and files with other
endings do not count; symbolic links are refused. How you divide it into files is yours.

**Merging.** Mappings of the same name in several files become one, at every depth. A value or a list that stands in two files is a
mistake that names both places.

**Mistakes.** `jupyter-jsc config check` names all of them at once, with file and line. Unknown keys are mistakes, and names that lead
nowhere. A configuration with a mistake is refused as a whole.

**Texts.** What people read is one text for both languages, or one for each: `{en: Nodes, de: Knoten}`. Without `de` the English one is
shown.

**Keys.** The names under which things stand (`juwels`, `jupyterlab-4.6`) have letters, digits and any of `_ . -` behind the first one, at
most 100. They go into jobs, stored labs and addresses: what is renamed is a new thing, so rename the `label` instead.

**Patterns.** `*` stands for any text, `?` for one character, `[ab]` for one of these. Upper and lower case differ.

**References.** "Key of `systems`" means: a name that stands there. With `*`, as in `systems.*.partitions`, it stands in any of them.

**Manifests** of labs in clusters hold `${…}` where a value is filled in, always as the whole value of an entry: `${image}` (of a
container), `${secret}` (of the volume that is mounted at `/jsc`), `${claim.home}` (of a volume, for the claim whose `metadata.name` is
`home`), `${service_host}` (in `env`), and the resources of the partition by their keys: `${cpus}`, `${gpus}`, `${memory}` and `${home}`
(GiB, as a quantity), `${runtime}` (seconds), in `resources`, `env`, `sizeLimit` and `activeDeadlineSeconds`. An entry whose resource the
chosen partition does not have is left out. The portal's own template is [lab.yaml](../../src/jupyter_jsc/config/lab.yaml).

**Times** have a zone: `2027-04-13T06:00:00+02:00`.

**Codes of events**, under which `texts` stand, are in the example's [texts.yaml](../../examples/config/texts.yaml), in the order of a start.

**"none".** A list that is not given restricts nothing, and a limit that is not given does not limit; an empty list allows nothing.

**Versions.** A published version is called by its commit. A lab that runs keeps the version it was started under; everything else uses the
newest good one within a second.
"""


def page(folder: Path) -> str:
    """Return the page, with examples from the configuration in *folder*."""
    contents = "\n".join(f"- {_link(part)}: {_about(part.model)}" for part in PARTS)
    tree = source.read_folder(folder).tree
    parts = "\n".join(_part(part, folder, tree) for part in PARTS)
    return f"{INTRODUCTION}\n## Contents\n\n{contents}\n\n{parts}"


def _part(part: Part, folder: Path, tree: Branch) -> str:
    rows = "\n".join(_row(part.model, name, info) for name, info in part.model.model_fields.items())
    table = f"| key | what it is | default | meaning |\n|---|---|---|---|\n{rows}\n"
    example = f"\n```yaml\n{excerpt(folder, tree, part.example)}\n```\n" if part.example else ""
    return f"## {part.title}\n\n{_about(part.model)}\n\n{table}{example}"


def _about(model: type[Section]) -> str:
    return plain(inspect.getdoc(model) or "")


def _link(part: Part) -> str:
    return f"[{part.title}](#{part.title.lower().replace(' ', '-').replace(chr(39), '')})"


def _row(model: type[Section], name: str, info: FieldInfo) -> str:
    meaning = " ".join(filter(None, [plain(info.description or ""), _about_values(info.annotation)]))
    cells = (f"`{name}`", _kind(model, name, info), _default(info), meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _kind(model: type[Section], name: str, info: FieldInfo) -> str:
    """Return what a field is, in words."""
    words = _words(Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation)
    if words in {"number", "whole number", "text"}:
        return shape_of(model).fields[name].allowed.removeprefix("a ")
    return words


def _words(annotation: Any) -> str:
    for known, words in _NAMED:
        if annotation == known:
            return words
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marks = [mark for mark in arguments[1:] if isinstance(mark, Reference)]
        return f"key of {in_words(marks[0].target)}" if marks else _words(arguments[0])
    if origin in {Union, types.UnionType}:
        return " or ".join(_words(inner) for inner in arguments if inner is not type(None))
    if origin is dict:
        return f"mapping: {_words(arguments[0])} → {_words(arguments[1])}"
    if origin is list:
        return f"list: {_words(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return _section(annotation)


def _section(annotation: Any) -> str:
    return next(_link(part) for part in PARTS if part.model is annotation)


_NAMED: tuple[tuple[Any, str], ...] = (
    (Text, "[text](#rules-for-all-of-it), en and de"),
    (Pattern, "pattern"),
    (Key, "key"),
    (EventCode, "code of an event"),
    (VariableName, "name of a variable"),
    (HostName, "host name or address"),
    (HubUrl, "address, http or https, or `direct`"),
    (dict[str, Any], "manifest"),
    (HttpUrl, "address, http or https"),
    (AwareDatetime, "time"),
    (datetime, "time"),
    (bool, "true or false"),
    (int, "whole number"),
    (float, "number"),
    (str, "text"),
)


def _about_values(annotation: Any) -> str:
    """Return what an enumeration says of its values; most say no more than their field."""
    if not (isinstance(annotation, type) and issubclass(annotation, StrEnum)):
        return ""
    words = plain(inspect.getdoc(annotation) or "")
    return words if ":" in words or ";" in words else ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**needed**"
    value = info.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Section):
        return "empty" if isinstance(value, Text) else "its defaults"
    return "empty" if value in ("", [], {}) else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def excerpt(folder: Path, tree: Branch, path: str) -> str:
    """Return the lines of a file that say what stands at *path* of *tree*, which was read from *folder*.

    The keys that lead there stand above them, so that they can be copied into a file.
    """
    keys = _split(tree, path)
    around: Any = tree
    for key in keys[:-1]:
        around = around[key]
    place = around.places[keys[-1]]
    lines = (folder / place.file).read_text("utf-8").splitlines()[place.line - 1 :]
    depth = len(lines[0]) - len(lines[0].lstrip())
    block = [lines[0], *_deeper(lines[1:], depth)]
    above = [f"{INDENT * level}{key}:" for level, key in enumerate(keys[:-1])]
    return "\n".join([*above, *(f"{INDENT * (len(keys) - 1)}{line[depth:]}".rstrip() for line in block)])


def _split(tree: Any, path: str) -> list[str]:
    """Return the keys of *path*, which may have dots in them."""
    keys: list[str] = []
    rest = path
    while rest:
        key = max((key for key in tree if rest == key or rest.startswith(f"{key}.")), key=len)
        keys.append(key)
        tree, rest = tree[key], rest[len(key) + 1 :]
    return keys


def _deeper(lines: list[str], depth: int) -> Iterator[str]:
    """Yield the lines that stand deeper than *depth*, without what is empty behind them."""
    kept: list[str] = []
    for line in lines:
        own = len(line) - len(line.lstrip())
        if line.strip() and own <= depth:
            break
        kept.append(line)
    while kept and (not kept[-1].strip() or kept[-1].lstrip().startswith("#")):
        kept.pop()
    yield from kept


def main(folder: Path, docs: Path) -> None:
    """Write page and schema into *docs*."""
    (docs / "configuration.md").write_text(page(folder), "utf-8")
    (docs / "configuration.schema.json").write_text(schema.document(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
