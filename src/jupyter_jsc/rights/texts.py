# SPDX-License-Identifier: BSD-3-Clause
"""What users read in the tree of their choices, in both languages. Pure; called by the modules that decide."""

import functools
from collections.abc import Sequence
from datetime import datetime

from jupyter_jsc.config.base import Text
from jupyter_jsc.config.notices import Maintenance

EVERYWHERE = Text(en="")
_MOST_TITLES = 10
_LONGEST_HEALTH = 300


def no_group(support: str) -> Text:
    """Say why a user of no group is offered nothing."""
    return Text(
        en=f"You are in no group that may start labs. Ask {support} if you should be.",
        de=f"Sie sind in keiner Gruppe, die Labs starten darf. Fragen Sie {support}, wenn das nicht stimmt.",
    )


@functools.lru_cache(1000)
def on_system(label: str) -> Text:
    """Return the place of a system's limit, for :func:`limit_reached`."""
    return Text(en=f" on {label}", de=f" auf {label}")


@functools.lru_cache(1000)
def with_option(label: str) -> Text:
    """Return the place of an option's limit, for :func:`limit_reached`."""
    return Text(en=f" with {label}", de=f" mit {label}")


def limit_reached(limit: int, titles: Sequence[str], where: Text) -> Text:
    """Say that labs called *titles* fill a limit *where*, which is :data:`EVERYWHERE` for the limit over all."""
    german = where.say("de")
    if limit == 0:
        return Text(en=f"No labs may be started{where.en}.", de=f"Es dürfen keine Labs{german} gestartet werden.")
    used = len(titles)
    if limit == 1:
        named = _listed(titles, "and", "more")
        benannt = _listed(titles, "und", "weitere")
        return Text(
            en=f"{used} of 1 lab{where.en} is in use: {named}. Stop it to start another.",
            de=f"{used} von 1 Lab{german} ist in Gebrauch: {benannt}. Stoppen Sie es, um ein anderes zu starten.",
        )
    return Text(
        en=f"{used} of {limit} labs{where.en} are in use: {_listed(titles, 'and', 'more')}. Stop one to start another.",
        de=f"{used} von {limit} Labs{german} sind in Gebrauch: {_listed(titles, 'und', 'weitere')}. "
        "Stoppen Sie eines, um ein anderes zu starten.",
    )


def group_full(label: str, limit: int) -> Text:
    """Say that all members together use as many labs as they may."""
    if limit == 0:
        return Text(
            en=f"The group {label} may not start labs just now.",
            de=f"Die Gruppe {label} darf zurzeit keine Labs starten.",
        )
    return Text(
        en=f"The {limit} labs that all members of {label} together may use are in use. Try again later.",
        de=f"Die {limit} Labs, die alle Mitglieder von {label} zusammen nutzen dürfen, sind in Gebrauch. "
        "Versuchen Sie es später.",
    )


def not_begun(name: str, begins: datetime) -> Text:
    """Say that a reservation cannot be used yet."""
    return Text(
        en=f"The reservation {name} begins at {_moment(begins)}.",
        de=f"Die Reservierung {name} beginnt am {_moment_de(begins)}.",
    )


def in_maintenance(label: str, maintenance: Maintenance) -> Text:
    """Say that nothing starts now on the system or partition *label*."""
    ends = maintenance.ends
    return _joined(
        Text(
            en=f"{label} is in maintenance{f' until {_moment(ends)}' if ends else ''}.",
            de=f"{label} wird gewartet{f' bis {_moment_de(ends)}' if ends else ''}.",
        ),
        maintenance.text,
    )


def maintenance_to_come(label: str, maintenance: Maintenance) -> Text:
    """Say when nothing will start on *label*."""
    begins, ends = maintenance.begins, maintenance.ends
    return _joined(
        Text(
            en=f"Maintenance of {label} begins at {_moment(begins)}{f' and ends at {_moment(ends)}' if ends else ''}.",
            de=f"Die Wartung von {label} beginnt am {_moment_de(begins)}"
            f"{f' und endet am {_moment_de(ends)}' if ends else ''}.",
        ),
        maintenance.text,
    )


def unavailable(label: str, text: str) -> Text:
    """Say that a system does not answer, with what its manager says of it."""
    said = Text(en=text if len(text) <= _LONGEST_HEALTH else text[: _LONGEST_HEALTH - 1] + "…")
    return _joined(
        Text(
            en=f"{label} does not answer just now: labs may not start.",
            de=f"{label} antwortet zurzeit nicht: Labs starten vielleicht nicht.",
        ),
        said,
    )


def together(texts: Sequence[Text]) -> Text:
    """Return *texts* as one, in their order."""
    if len(texts) == 1:
        return texts[0]
    return Text(en=" ".join(text.en for text in texts), de=" ".join(text.say("de") for text in texts))


def _joined(first: Text, second: Text) -> Text:
    return together([first, second]) if second else first


def _listed(titles: Sequence[str], and_: str, more: str) -> str:
    named = list(titles[:_MOST_TITLES])
    if len(titles) > _MOST_TITLES:
        named.append(f"{len(titles) - _MOST_TITLES} {more}")
    return f" {and_} ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} {_zone(moment)}"


def _moment_de(moment: datetime) -> str:
    return f"{moment:%d.%m.%Y %H:%M} {_zone(moment)}"


def _zone(moment: datetime) -> str:
    offset = f"{moment:%z}"
    return f"UTC{offset[:3]}:{offset[3:5]}" if moment.utcoffset() else "UTC"
