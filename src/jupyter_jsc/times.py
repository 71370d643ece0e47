# SPDX-License-Identifier: BSD-3-Clause
"""How people say times and lengths of time, in English. Pure.

Used by the hub's pages and the dashboard.
"""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Moment:
    """A point in time: relative words, the exact time in UTC for the hover, ISO 8601 for machines."""

    text: str
    exact: str
    iso: str


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that matter."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min" if whole >= 600 or not whole % 60 else f"{minutes} min {whole % 60} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ago(when: datetime, now: datetime) -> Moment:
    """Return how long ago *when* was."""
    seconds = (now - when).total_seconds()
    days = (now.date() - when.date()).days
    if seconds < 10:
        text = "just now"
    elif seconds < 60:
        text = f"{int(seconds)} s ago"
    elif seconds < 3600:
        text = f"{int(seconds) // 60} min ago"
    elif seconds < 24 * 3600:
        text = f"{int(seconds) // 3600} h ago"
    elif days <= 1:
        text = "yesterday"
    elif days < 14:
        text = f"{days} days ago"
    else:
        text = f"on {when.day} {when:%b %Y}"
    return _moment(text, when)


def left(ends: datetime, now: datetime) -> Moment:
    """Return how long it is until *ends*."""
    seconds = (ends - now).total_seconds()
    return _moment(f"{duration(seconds - seconds % 60 if seconds > 60 else seconds)} left", ends)


def clock(when: datetime) -> Moment:
    """Return the date and the time of *when*, in its own zone, as the centre wrote it."""
    offset = f"{when:%z}"
    zone = f"UTC{offset[:3]}:{offset[3:5]}" if when.utcoffset() else "UTC"
    return _moment(f"{when:%Y-%m-%d %H:%M} {zone}", when)


def _moment(text: str, when: datetime) -> Moment:
    utc = when.astimezone(UTC)
    return Moment(text, f"{utc:%Y-%m-%d %H:%M:%S} UTC", utc.isoformat(timespec="seconds"))
