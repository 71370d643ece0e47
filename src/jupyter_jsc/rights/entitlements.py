# SPDX-License-Identifier: BSD-3-Clause
"""Entitlements and groups of the identity provider → the strings that rules of groups are matched with. Pure.

A group of AARC-G069, ``urn:<namespace>:group:<parent>:<child>[:role=<role>][#<authority>]``, becomes a URN for itself and
for each group above it, with and without authority; for itself also with and without its role. A role belongs to the
last group alone: who leads a sub-group does not lead the whole. So of
``urn:geant:centre.example:group:physics:quantum:role=lead#login.centre.example`` a rule may name any of ::

    urn:geant:centre.example:group:physics
    urn:geant:centre.example:group:physics#login.centre.example
    urn:geant:centre.example:group:physics:quantum
    urn:geant:centre.example:group:physics:quantum#login.centre.example
    urn:geant:centre.example:group:physics:quantum:role=lead
    urn:geant:centre.example:group:physics:quantum:role=lead#login.centre.example

In these ``urn`` and the namespace are lower-case, and percent-encoded characters stand decoded where they cannot be
mistaken for a separator. ``urn:*:group:physics`` is the pattern for whoever grants it. Plain groups (``/portal/demo``)
become themselves and the groups above (``/portal``). Everything else is opaque: it stays exactly as it came.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

_MOST_VALUES = 1000
_MOST_STRINGS = 5000
_LONGEST_VALUE = 1000
_DEEPEST = 20
_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SEPARATORS = frozenset(":#=%/?")


def expand(values: object) -> tuple[str, ...]:
    """Return the strings for *values* (a string, a list of them, or nothing), each once, in order of appearance.

    What is no string, or longer than a thousand characters, is left out, and so is what comes after the first thousand
    values.
    """
    listed = values if isinstance(values, list | tuple) else [values]
    found: dict[str, None] = {}
    for value in listed[:_MOST_VALUES]:
        if isinstance(value, str) and 0 < len(value := value.strip()) <= _LONGEST_VALUE:
            found[value] = None
            found.update(dict.fromkeys(_expanded(value)))
        if len(found) >= _MOST_STRINGS:
            break
    return tuple(found)[:_MOST_STRINGS]


def _expanded(value: str) -> Iterator[str]:
    if value.startswith("/"):
        yield from _plain(value)
    elif value[:4].lower() == "urn:":
        yield from _urn(value)


def _plain(value: str) -> Iterator[str]:
    names = value.strip("/").split("/")
    if all(names) and len(names) <= _DEEPEST:
        for depth in range(1, len(names) + 1):
            yield "/" + "/".join(names[:depth])


def _urn(value: str) -> Iterator[str]:
    name, _, authority = value.partition("#")
    parts = name.split(":")
    lowered = [part.lower() for part in parts]
    if "group" not in lowered[3:] or not all(parts) or len(parts) > 2 * _DEEPEST:
        return
    begin = lowered.index("group", 3)
    role = parts.pop() if lowered[-1].startswith("role=") and lowered[-1] != "role=" else ""
    groups = [_decoded(part) for part in parts[begin + 1 :]]
    # A name that looks like a role is none: below it, "role=lead" would be a role that nobody gave.
    if not groups or len(groups) > _DEEPEST or any(name.lower().startswith("role=") for name in groups):
        return
    base = ":".join([*lowered[:begin], "group"])
    forms = [":".join([base, *groups[:depth]]) for depth in range(1, len(groups) + 1)]
    if role:
        forms.append(f"{forms[-1]}:role={_decoded(role[5:])}")
    for form in forms:
        yield form
        if authority:
            yield f"{form}#{_decoded(authority)}"


def _decoded(part: str) -> str:
    return _ENCODED.sub(_decode, part)


def _decode(match: re.Match[str]) -> str:
    text = unquote(match[0], errors="replace")
    # An encoded separator stays encoded, else "a%3Arole%3Dlead" would become a role that nobody gave.
    harmless = text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text and _SEPARATORS.isdisjoint(text)
    return text if harmless else match[0].upper()
