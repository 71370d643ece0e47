# SPDX-License-Identifier: BSD-3-Clause
"""The form for a lab's options: what was typed, completed, with what had to change and what will start. Pure.

Called by :mod:`.formpage`. :mod:`.completion` keeps what is still possible, :mod:`.fields` makes what the template
prints; this puts both together and says in words what was not kept and what would start.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from jupyter_jsc import wire
from jupyter_jsc.config.base import Language
from jupyter_jsc.config.notices import Reservation
from jupyter_jsc.config.stacks import SoftwareKind
from jupyter_jsc.config.systems import PartitionKind
from jupyter_jsc.hub.completion import Change, Completed, Selection, Shown, complete, selected
from jupyter_jsc.hub.fields import Field, Maker
from jupyter_jsc.hub.words import Said, resources, said
from jupyter_jsc.rights.tree import OptionTree
from jupyter_jsc.rights.validate import blocked

_NUMBER = re.compile(r"^-?[0-9]{1,9}$")
_CHOICES = ("system", "option", "account", "project", "partition", "reservation", "image")
_KINDS = {
    SoftwareKind.MODULES: ("module", "modules"),
    SoftwareKind.KERNELS: ("kernel", "kernels"),
    SoftwareKind.EXTENSIONS: ("extension", "extensions"),
    SoftwareKind.PROXIES: ("proxy", "proxies"),
}


@dataclass(frozen=True)
class Typed:
    """What came from the browser: ``resources`` holds numbers, or the text where it is no number."""

    title: str = ""
    suggested: str = ""
    """The title that the form had suggested; still untouched if it equals ``title``."""
    place: str = ""
    """System and partition that the numbers were typed for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    shown: Shown | None = None
    """What the form had offered; None: these are saved options."""


@dataclass(frozen=True)
class Form:
    """Everything that the form's template prints."""

    title: str
    suggested: str
    place: str
    options: Mapping[str, Any]
    """The options that are saved, which are what was typed while there are no mistakes."""
    fields: tuple[Field, ...]
    changes: tuple[str, ...]
    mistakes: tuple[Change, ...]
    summary: str
    """What will be started, in one sentence that is true; empty while there are mistakes."""
    blocked: Said
    """Why it cannot be started just now; it can be saved all the same."""


@dataclass(frozen=True)
class Asked:
    """For whom and when the form is made."""

    tree: OptionTree
    taken: Collection[str]
    """The titles of the user's labs."""
    now: datetime
    language: Language = "en"
    reservations: Mapping[str, Reservation] = field(default_factory=dict)


def read(arguments: Mapping[str, Sequence[str]]) -> Typed:
    """Return what the browser sent: for each name its values."""
    last = {name: values[-1] for name, values in arguments.items() if values}
    options: dict[str, Any] = {name: last[name] for name in _CHOICES if name in last}
    numbers = {name: _number(value.strip()) for name, value in _under("resources.", last).items()}
    boxes, ticked = _under("box.", last), _under("on.", last)
    # A box that is ticked just now has no number yet; the number of one that is not ticked does not count.
    options["resources"] = {
        name: numbers.get(name) for name in [*numbers, *ticked] if name not in boxes or name in ticked
    }
    offered = _under("offered.", last)
    software = _under("software.", arguments)
    options["software"] = {name: [value for value in software.get(name, ()) if value] for name in offered}
    shown = Shown({*numbers, *boxes}, {name: value.split() for name, value in offered.items()})
    title = " ".join(last.get("title", "").split())
    return Typed(title, last.get("suggested", ""), last.get("place", ""), options, shown)


def _under(prefix: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in arguments.items() if name.startswith(prefix)}


def _number(text: str) -> int | str:
    return int(text) if _NUMBER.match(text) else text


def build(typed: Typed, asked: Asked, *, submitted: bool = False) -> Form:
    """Return the form for what was typed: completed, or, where the typed values stand, with their mistakes.

    Numbers typed for the partition that is shown stay as they were typed; *submitted* makes every value that is not
    possible a mistake.
    """
    done = complete(typed.options, asked.tree, asked.language, typed.shown)
    here = selected(done.options, asked.tree)
    place = f"{done.options['system']}/{done.options['partition']}"
    stays = place == typed.place
    mistakes = [c for c in done.changes if submitted or (stays and c.field.startswith("resources."))]
    if submitted and not typed.title:
        mistakes.insert(0, Change("title", "Give the lab a name.", ""))
    suggested = fresh_title(f"{here.system.label} {here.partition.label}", asked.taken)
    untouched = typed.title == typed.suggested and not submitted
    maker = Maker(done.options, asked.tree, asked.language, asked.reservations, asked.now)
    mistaken = {change.field: change.mistake for change in mistakes}
    typed_numbers = _as_typed(typed, mistakes) if stays else {}
    fields = maker.fields(typed.options, typed_numbers)
    return Form(
        title=suggested if untouched else typed.title,
        suggested=suggested,
        place=place,
        options=done.options,
        fields=tuple(replace(item, mistake=mistaken.get(item.name, "")) for item in fields),
        changes=tuple(change.instead for change in done.changes if change not in mistakes and _matters(change, here)),
        mistakes=tuple(mistakes),
        summary="" if mistakes else summary(done, here, asked.language),
        blocked=said(blocked(wire.Options.model_validate(done.options), asked.tree), asked.language),
    )


def _as_typed(typed: Typed, mistakes: Sequence[Change]) -> dict[str, Any]:
    """Return the numbers with mistakes, which stay as they were typed."""
    fields = {change.field for change in mistakes}
    return {key: value for key, value in typed.options["resources"].items() if f"resources.{key}" in fields}


def with_mistake(form: Form, name: str, mistake: str) -> Form:
    """Return *form* with one more mistake at a field."""
    fields = tuple(replace(item, mistake=mistake) if item.name == name else item for item in form.fields)
    return replace(form, fields=fields, mistakes=(*form.mistakes, Change(name, mistake, "")))


def _matters(change: Change, here: Selection) -> bool:
    return change.field != "account" or len(here.option.accounts) > 1


def summary(done: Completed, here: Selection, language: Language) -> str:
    """Return what will start, in words that are always true."""
    chosen = done.options
    where = f"{here.option.label} on {here.system.label}, {here.partition.label}"
    numbers = {key: value for key, value in chosen["resources"].items() if key != "runtime"}
    what = resources(numbers, here.partition.resources, language)
    runtime = chosen["resources"].get("runtime")
    time = f" for {resources({'runtime': runtime}, {}, language)}" if runtime else ""
    reservation = f", in reservation {chosen['reservation']}" if chosen["reservation"] else ""
    image = f", image {here.option.images[chosen['image']].label}" if len(here.option.images) > 1 else ""
    sentences = [f"{where}{reservation}{f': {what}' if what else ''}{time}{image}."]
    if here.partition.kind is PartitionKind.INTERACTIVE:
        sentences.append("Starts at once, without a queue.")
    if here.partition.software:
        sentences.append(f"{_software(chosen['software'], here)}.")
    if here.system.needs_account:
        sentences.append(f"Project {chosen['project']}, account {chosen['account']}.")
    return " ".join(sentences)


def _software(on: Mapping[str, Sequence[str]], here: Selection) -> str:
    counts = dict.fromkeys(_KINDS, 0)
    for key, names in on.items():
        counts[here.partition.software[key].kind] += len(names)
    words = [f"{count} {_KINDS[kind][count != 1]}" for kind, count in counts.items() if count]
    return f"With {' and '.join(filter(None, [', '.join(words[:-1]), *words[-1:]]))}" if words else "No extra software"


def fresh_title(name: str, taken: Collection[str]) -> str:
    """Return *name*, with a number behind it if a lab has that title already."""
    title, number = name[:50].strip(), 2
    while title in taken:
        title = f"{name[:50].strip()} {number}"
        number += 1
    return title
