# SPDX-License-Identifier: BSD-3-Clause
"""Two configurations → what changes for whom, in sentences. Pure; called by ``jupyter-jsc config diff``.

Both trees are walked side by side, so nothing that differs is left out. What is about a group tells what its members
have in the end, where the configuration has a value for everybody else; words stand in :mod:`.phrases`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from jupyter_jsc.config import phrases
from jupyter_jsc.config.base import Section, Text
from jupyter_jsc.config.document import Path
from jupyter_jsc.config.findings import is_secret, written
from jupyter_jsc.config.groups import Group, Range
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import Resource, SiteMessage

EVERYBODY = ""
"""The scope of what is not about one group."""

_IN_ORDER = frozenset({"identity_providers", "partitions", "resources", "items", "jobs", "hooks"})
"""Mappings whose order means something."""


@dataclass(frozen=True)
class Change:
    """One thing that changes."""

    scope: str
    """The key of the group whose members it is about; :data:`EVERYBODY` for everybody."""
    path: str
    """Where it stands, e.g. ``systems.juwels.partitions.devel.resources.nodes.maximum``."""
    before: Any
    """What stood there, as JSON; None if nothing did."""
    after: Any
    """What stands there now, as JSON; None if nothing does."""
    sentence: str
    """What it means, for people."""

    def document(self) -> dict[str, Any]:
        """Return the change as JSON."""
        return asdict(self)


def diff(before: Configuration, after: Configuration) -> list[Change]:
    """Return what changes from *before* to *after*: first for everybody, then group by group."""
    found = list(_Walk(before, after).everything())
    order = [EVERYBODY, *after.groups, *before.groups]
    return sorted(found, key=lambda change: order.index(change.scope))


class _Walk:
    """Goes through both trees side by side."""

    def __init__(self, before: Configuration, after: Configuration) -> None:
        self._before = before
        self._after = after

    def everything(self) -> Iterator[Change]:
        yield from self._section(self._before, self._after, ())
        yield from self._kept_options()

    def _section(self, before: Section, after: Section, path: Path) -> Iterator[Change]:
        for name in type(after).model_fields:
            yield from self._value(getattr(before, name), getattr(after, name), (*path, name))

    def _value(self, before: Any, after: Any, path: Path) -> Iterator[Change]:
        if path[0] == "groups" and len(path) == 3 and path[2] in {"options", "ranges", "systems"}:
            yield from {"options": self._options, "ranges": self._ranges, "systems": self._systems}[str(path[2])](
                before, after, path
            )
        elif isinstance(before, Text) and isinstance(after, Text):
            if before.model_dump() != after.model_dump():
                yield self._change(path, before, after)
        elif isinstance(before, Resource) and isinstance(after, Resource):
            yield from self._resource(before, after, path)
        elif isinstance(before, Section) and isinstance(after, Section):
            yield from self._section(before, after, path)
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from self._mapping(before, after, path)
        elif path[-1] == "manifests":
            if before != after:
                yield self._change(path, before, after, phrases.manifests(before, after))
        elif isinstance(before, list) and isinstance(after, list):
            yield from self._list(before, after, path)
        elif before != after:
            yield self._change(path, before, after)

    def _mapping(self, before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> Iterator[Change]:
        for key in [*before, *(key for key in after if key not in before)]:
            if key in before and key in after:
                yield from self._value(before[key], after[key], (*path, key))
            else:
                yield self._change((*path, key), before.get(key), after.get(key))
        stayed = [key for key in before if key in after], [key for key in after if key in before]
        if stayed[0] != stayed[1] and path[-1] in _IN_ORDER:
            sentence = f"has its `{path[-1]}` in another order: {phrases.words_of(after)}"
            yield self._change(path, list(before), list(after), sentence)

    def _list(self, before: list[Any], after: list[Any], path: Path) -> Iterator[Change]:
        old, new = ({_identity(item): item for item in items} for items in (before, after))
        gone, come = [old[key] for key in old if key not in new], [new[key] for key in new if key not in old]
        if gone or come or list(map(_identity, before)) != list(map(_identity, after)):
            yield self._change(path, before, after, phrases.listed(path, gone, come))
        for place, item in enumerate(after):
            if isinstance(item, Section) and _identity(item) in old:
                yield from self._section(old[_identity(item)], item, (*path, place))

    def _resource(self, before: Resource, after: Resource, path: Path) -> Iterator[Change]:
        for field, sentence in phrases.limits(str(path[-1]), before, after):
            yield self._change((*path, field), getattr(before, field), getattr(after, field), sentence, path[:4])
        for field in type(after).model_fields:
            if field not in {"minimum", "maximum", "default"}:
                yield from self._value(getattr(before, field), getattr(after, field), (*path, field))

    def _options(self, before: Any, after: Any, path: Path) -> Iterator[Change]:
        """What the members of a group may start."""
        group = str(path[1])
        if before is None or after is None:
            if before is not after:
                yield self._change(path, before, after, phrases.may_start(self._after.groups[group]), path[:2])
            return
        for key in [*before, *(key for key in after if key not in before)]:
            name = phrases.name_of(("options", key), self._after, self._before)
            if key in before and key in after:
                yield from self._value(before[key], after[key], (*path, key))
            elif key in before:
                yield self._change((*path, key), before[key], None, f"may no longer start {name}", path[:2])
            else:
                kept = "" if may_start(group, key, self._after) else ", but the option is kept for other groups"
                yield self._change((*path, key), None, after[key], f"may start {name}{kept}", path[:2])

    def _kept_options(self) -> Iterator[Change]:
        """Yield which groups win or lose an option because the option says so."""
        for option in self._before.options.keys() & self._after.options.keys():
            old, new = self._before.options[option].groups, self._after.options[option].groups
            for group in self._before.groups.keys() & self._after.groups.keys() if old != new else ():
                allowed = may_start(group, option, self._after)
                if names(group, option, self._before) == names(group, option, self._after) and allowed != may_start(
                    group, option, self._before
                ):
                    name = phrases.name_of(("options", option), self._after)
                    sentence = f"may {'' if allowed else 'no longer '}start {name}"
                    yield self._change(("options", option, "groups"), old, new, sentence, ("groups", group))

    def _ranges(self, before: list[Range], after: list[Range], path: Path) -> Iterator[Change]:
        """The limits of a group's members, which without a range are everybody's."""
        old, new = ({_identity(item): (place, item) for place, item in enumerate(items)} for items in (before, after))
        for key in [*old, *(key for key in new if key not in old)]:
            place, item = new.get(key) or old[key]
            was, now = old[key][1] if key in old else None, new[key][1] if key in new else None
            if was == now or (now is None and _resource_of(self._after, item) is None):
                continue  # what is removed altogether is said there
            limits = was or _resource_of(self._before, item), now or _resource_of(self._after, item)
            sentence = self._range_sentence(item, limits) + (", as everybody" if now is None else "")
            yield self._change((*path, place), was, now, sentence, path[:2])
        if list(old) != list(new) and old.keys() == new.keys():
            yield self._change(path, before, after, phrases.listed(path, [], []))

    def _range_sentence(self, item: Range, limits: tuple[Range | Resource | None, Range | Resource | None]) -> str:
        system = phrases.name_of(("systems", item.system), self._after, self._before)
        was, now = (None if each is None else phrases.in_range(each, item.resource) for each in limits)
        where = f"in partition {item.partition} of {system}"
        if now is None:
            return f"can no longer choose {item.resource} {where}"
        return f"may choose {now} {where}" + (f" instead of {was}" if was else "")

    def _systems(self, before: dict[str, int], after: dict[str, int], path: Path) -> Iterator[Change]:
        """How many labs a group's members may have, which without a number of the group is everybody's."""
        for key in [*before, *(key for key in after if key not in before)]:
            if before.get(key) == after.get(key) or key not in self._after.systems:
                continue  # a system that is removed is said there
            old, new = (
                own.get(key, everybody.systems[key].max_labs_per_user if key in everybody.systems else None)
                for own, everybody in ((before, self._before), (after, self._after))
            )
            name = phrases.name_of(("systems", key), self._after, self._before)
            sentence = f"may have {phrases.labs(new)} per member at once on {name} instead of {phrases.labs(old)}"
            yield self._change((*path, key), before.get(key), after.get(key), sentence, path[:2])

    def _change(self, path: Path, before: Any, after: Any, predicate: str = "", about: Path | None = None) -> Change:
        subject = path if about is None else about
        name = phrases.name_of(subject, self._after, self._before)
        if is_secret(path):
            before, after, predicate = "(hidden)", "(hidden)", f"has another `{path[-1]}`"
        colon = ":" if about is not None and subject[0] == "groups" else ""
        sentence = f"{name}{colon} {predicate or phrases.changed(path, before, after)}"
        scope = str(subject[1]) if subject[0] == "groups" and len(subject) > 1 else EVERYBODY
        own = self._apart(path) if scope == EVERYBODY else []
        apart = f"; not for {phrases.words_of(own)}, who have their own" if own else ""
        return Change(
            scope, written(path), to_jsonable_python(before), to_jsonable_python(after), f"{sentence}{apart}."
        )

    def _apart(self, path: Path) -> list[str]:
        """Return the groups that have a value of their own for what stands at *path*."""
        return [key for key, group in self._after.groups.items() if _has_own(group, path)]


def names(group: str, option: str, configuration: Configuration) -> bool:
    """Tell whether the options of a group say that its members may start an option."""
    options = configuration.groups[group].options
    return options is None or option in options


def may_start(group: str, option: str, configuration: Configuration) -> bool:
    """Tell whether members of a group may start an option somewhere."""
    if option not in configuration.options or not names(group, option, configuration):
        return False
    groups = configuration.options[option].groups
    return groups is None or group in groups


def _has_own(group: Group, path: Path) -> bool:
    match path:
        case ("systems", system, "max_labs_per_user"):
            return system in group.systems
        case (
            "systems",
            system,
            "partitions",
            partition,
            "resources",
            resource,
            "minimum" | "maximum" | "default" as field,
        ):
            place = system, partition, resource
            return any(_identity(own) == place and getattr(own, field) is not None for own in group.ranges)
        case ("options", option, "max_labs_per_user"):
            own = (group.options or {}).get(str(option))
            return own is not None and own.max_labs_per_user is not None
        case ("options", option, "allowed", field):
            own = (group.options or {}).get(str(option))
            return own is not None and getattr(own.allowed, str(field)) is not None
    return False


def _resource_of(configuration: Configuration, item: Range) -> Resource | None:
    """Return the resource that *item* is about, as everybody may choose it."""
    system = configuration.systems.get(item.system)
    partition = system.partitions.get(item.partition) if system else None
    return partition.resources.get(item.resource) if partition else None


def _identity(item: Any) -> Any:
    """Return what makes an item of a list the same one in both."""
    if isinstance(item, Range):
        return item.system, item.partition, item.resource
    if isinstance(item, SiteMessage):
        return item.contains
    return item.model_dump_json() if isinstance(item, BaseModel) else item
