# SPDX-License-Identifier: BSD-3-Clause
"""Differences of the configuration in words: who or what they are about, and what changes. Pure; called by :mod:`.diff`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from jupyter_jsc.config.base import Section, Text
from jupyter_jsc.config.document import Path
from jupyter_jsc.config.groups import Group, Range, Rule
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.notices import Announcement, Maintenance, Reservation
from jupyter_jsc.config.stacks import ServiceOption
from jupyter_jsc.config.systems import JumpHost, Partition, Resource, SiteMessage, System

_NOUNS = {
    "systems": "",
    "options": "",
    "groups": "group",
    "partitions": "partition",
    "resources": "resource",
    "jump_hosts": "jump host",
    "managers": "manager",
    "identity_providers": "the button of the login page",
    "software": "the software set",
    "items": "the software",
    "jobs": "job template",
    "hooks": "hook",
    "images": "image",
    "texts": "the text of the event",
    "announcements": "announcement",
    "maintenance": "maintenance",
    "reservations": "reservation",
}
"""What stands in a mapping; empty where the label says it."""
_PARTS = {"tunnelmgr": "TunnelMgr", "lab": "every lab", "retention": "retention"}
_LABELLED = frozenset({"systems", "options", "items"})
_LONGEST = 120

_FIELDS = {
    "label": "is called {after} instead of {before}",
    "url": "is reached at {after} instead of {before}",
    "max_labs_per_user": "allows {after} per user at once instead of {before}",
    "max_labs": "may have {after} of all members together instead of {before}",
    "begins": "begins {after} instead of {before}",
    "ends": "ends {after} instead of {before}",
    "state": "is {after} instead of {before}",
    "order": "has the place {after} in the order instead of {before}",
    "history_days": "keeps ended starts for {after} days instead of {before}",
    "versions_days": "keeps earlier versions for {after} days instead of {before}",
}
_WHERE = {
    "systems": "on the systems",
    "accounts": "with the accounts",
    "projects": "with the projects",
    "partitions": "in the partitions",
    "reservations": "in the reservations",
}
"""Lists of :class:`.stacks.Allowed`."""
_VALUES = frozenset({"environment", "resources", "preselect", "account_keys"})
"""Mappings of plain values."""
_NONE = {"begins": "at once", "ends": "never"}


def name_of(path: Path, *configurations: Configuration) -> str:
    """Return what *path* is about, in the words of the first of *configurations* that has it."""
    words: list[str] = []
    at = 0
    while at < len(path):
        part = path[at]
        named = part in {"jobs", "hooks"} if path[0] == "jobs" else part in _NOUNS
        if named and at + 1 < len(path):
            words.append(_noun(path[: at + 2], configurations))
            at += 1
        elif part in _PARTS and at == 0:
            words.append(_PARTS[str(part)])
        at += 1
    return ": ".join(words) or "the portal"


def _noun(path: Path, configurations: Sequence[Configuration]) -> str:
    kind, key = str(path[-2]), str(path[-1])
    # What a group says of an option is about the option itself.
    path = path[-2:] if kind == "options" else path
    labels = (label for configuration in configurations if (label := _label(configuration, path)))
    return f"{_NOUNS[kind]} {next(labels, key) if kind in _LABELLED else key}".strip()


def _label(configuration: Configuration, path: Path) -> str:
    node: Any = configuration
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else getattr(node, str(part), None)
    return str(node.label) if node is not None else ""


def changed(path: Path, before: Any, after: Any) -> str:
    """Return what happens to the value at *path*, as a predicate."""
    field = str(path[-1])
    if isinstance(after, Section) and not isinstance(after, Text) and before is None:
        return _come(after) if path[-2] in _NOUNS else f"has `{field}` now"
    if isinstance(before, Section) and not isinstance(before, Text) and after is None:
        return _gone(before) if path[-2] in _NOUNS else f"has no `{field}` any more"
    if path[-2:-1] == ("allowed",):
        return _allowed(field, before, after)
    if isinstance(before, Text) and isinstance(after, Text) and before.en == after.en:
        old, new = (_quoted(text.de) if text.de else "nothing" for text in (before, after))
        return f"has {new} as `{field}` in German, not {old}"
    old, new = _value(before, field), _value(after, field)
    if field in _FIELDS and not (field == "label" and _is_empty(before)):
        return _FIELDS[field].format(before=old, after=new)
    if isinstance(after, bool):
        return f"has `{field}` {'on' if after else 'off'} now"
    where = _where(path)
    if _is_empty(before):
        return f"has {new} as {where} now"
    return f"has no {where} any more; it was {old}" if _is_empty(after) else f"has {new} as {where}, not {old}"


def listed(path: Path, gone: Sequence[Any], come: Sequence[Any]) -> str:
    """Return what a list loses and gains, as a predicate; neither: that only the order differs."""
    if path[-2:-1] == ("allowed",) and (gone or come):
        where = _WHERE[str(path[-1])]
        words = [f"may be used {where} {words_of(come)} too"] if come else []
        words += [f"may no longer be used {where} {words_of(gone)}"] if gone else []
        return " and ".join(words)
    words = [f"gains {words_of(come)} in {_where(path)}"] if come else []
    words += [f"loses {words_of(gone)} from {_where(path)}"] if gone else []
    return " and ".join(words) or f"has the same in {_where(path)}, in another order or number"


def manifests(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> str:
    """Return how the labs of an option are made otherwise than before, as a predicate."""
    if not before or not after:
        return f"is made of {'manifests of its own' if after else 'manifests of the portal'} in clusters now"
    changed = [item for item in after if item not in before] + [
        item for item in before if item not in after and _object(item) not in map(_object, after)
    ]
    return f"is made of other objects in clusters: {', '.join(map(_object, changed)) or 'the same in another order'}"


def _object(manifest: Mapping[str, Any]) -> str:
    """Return a manifest in words: ``PersistentVolumeClaim home``."""
    return " ".join(filter(None, [str(manifest["kind"]), (manifest.get("metadata") or {}).get("name", "")]))


def _where(path: Path) -> str:
    inside = len(path) > 1 and path[-2] in _VALUES
    return f"`{path[-2]}` for {path[-1]}" if inside else f"`{path[-1]}`"


def limits(label: str, before: Resource, after: Resource) -> Iterable[tuple[str, str]]:
    """Yield each field of a resource whose number differs, with a predicate for the partition."""
    unit = f" {after.unit}" if after.unit else ""
    for field, verb in (("minimum", "asks for at least"), ("maximum", "allows"), ("default", "suggests")):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield field, f"{verb} {new}{unit} {label} instead of {old}{unit}"


def labs(limit: int | None) -> str:
    """Return a limit of labs."""
    return "any number of labs" if limit is None else "1 lab" if limit == 1 else f"{limit} labs"


def in_range(limits_: Range | Resource, resource: str) -> str:
    """Return the limits of a resource: ``1 to 4 nodes (at first 2)``."""
    first = "" if limits_.default is None else f" (at first {limits_.default})"
    return f"{limits_.minimum} to {limits_.maximum} {resource}{first}"


def words_of(values: Iterable[Any]) -> str:
    """Return *values* in a row."""
    return ", ".join(_value(value, "") for value in values) or "nothing"


def _come(section: Section) -> str:
    words = "is new"
    if isinstance(section, System):
        words += f": partitions {words_of(section.partitions)}"
    elif isinstance(section, ServiceOption):
        words += "" if section.groups is None else f": only for members of {words_of(section.groups)}"
    elif isinstance(section, Partition):
        words += _resources(section)
    elif isinstance(section, JumpHost):
        words += f": {section.host}"
    elif isinstance(section, Group):
        own = "; resources have limits of its own" if section.ranges else ""
        words += f": members are {words_of(section.members)}; {may_start(section)}{own}"
    elif isinstance(section, Announcement):
        words = f"is new: {_quoted(section.title.en)}, {_period(section.begins, section.ends)}"
    elif isinstance(section, Maintenance):
        partitions = "" if section.partitions is None else f", partitions {words_of(section.partitions)}"
        words += f": {words_of(section.systems)}{partitions}, {_period(section.begins, section.ends)}"
    elif isinstance(section, Reservation):
        for_ = [f"projects {words_of(section.projects)}"] if section.projects else []
        for_ += [f"accounts {words_of(section.accounts)}"] if section.accounts else []
        words += f": {section.system}, for {' and '.join(for_)}, {_period(section.begins, section.ends)}"
    return words


def rule(of: Rule) -> str:
    """Return who fits a rule."""
    if of.everybody:
        return "everybody"
    words = ["administrators"] if of.admin else []
    words += [
        f"{name.replace('_', ' ')} {' or '.join(map(_cut, values))}"
        for name in ("users", "patterns", "entitlements", "identity_providers")
        if (values := getattr(of, name)) is not None
    ]
    return f"({' and '.join(words)})"


def may_start(group: Group) -> str:
    """Return which options a group names, as a predicate."""
    if group.options is None:
        return "may start every option that is not kept for other groups"
    return f"may start only {words_of(group.options)}"


def _gone(section: Section) -> str:
    if isinstance(section, System | Partition | ServiceOption):
        with_ = "with it" if isinstance(section, ServiceOption) else "there"
        return f"is removed; labs that run {with_} go on"
    return "is removed"


def _resources(partition: Partition) -> str:
    asked = [in_range(resource, key) for key, resource in partition.resources.items()]
    return f": {'; '.join(asked)}" if asked else ""


def _period(begins: datetime | None, ends: datetime | None) -> str:
    if begins is None and ends is None:
        return "until it is removed"
    since = "from now" if begins is None else f"from {_moment(begins)}"
    return f"{since} {'until it is removed' if ends is None else f'to {_moment(ends)}'}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"


def _allowed(field: str, before: Any, after: Any) -> str:
    if after is None:
        return f"may be used whatever the {field}, no longer only {_WHERE[field]} {words_of(before)}"
    return f"may be used only {_WHERE[field]} {words_of(after)}"


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", []) or (isinstance(value, Text) and not value)


def _value(value: Any, field: str) -> str:
    """Return a value in words, cut."""
    if field in {"max_labs_per_user", "max_labs"}:
        return labs(value)
    if value is None:
        return _NONE.get(field, "none")
    if isinstance(value, Text):
        return _quoted(value.en)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Rule):
        return rule(value)
    if isinstance(value, SiteMessage):
        return _quoted(value.contains)
    if isinstance(value, list):
        return words_of(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value)
    return _quoted(text) if " " in text or not text else _cut(text)


def _quoted(text: str) -> str:
    return f"“{_cut(text)}”"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
