# SPDX-License-Identifier: BSD-3-Clause
"""Is anything wrong, and how is each system? Made of what the services said. Pure.

Called by :mod:`.pages`; the templates print what is returned.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.dashboard.sources import HUB, TUNNELMGR, Answer, Picture, Silence
from jupyter_jsc.operators import Cause, Hour, OpenStarts, SystemStarts
from jupyter_jsc.times import Moment, clock
from jupyter_jsc.wire import JumpHostInfo, JumpHostState, Tunnel

_NAMES = {HUB: "The hub", TUNNELMGR: "TunnelMgr", "unicoremgr": "UnicoreMgr", "k8smgr": "K8sMgr"}
_STATES = ("running", "reconnecting", "starting", "queued", "waiting", "submitted")
_MANY, _SHARE = 3, 0.5
"""So many failures of an hour, and that share of its starts, are too many."""


@dataclass(frozen=True)
class Refused:
    """The newest commit, which is not in force, and why; ``lines`` has a line for each mistake."""

    commit: str
    when: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Something that needs a person."""

    text: str
    since: Moment | None = None
    more: str = ""
    page: str = ""
    """Which of the dashboard's pages says more."""


@dataclass(frozen=True)
class JumpHost:
    """A jump host of a system."""

    name: str
    state: str
    word: str
    ok: bool
    tunnels: int


@dataclass(frozen=True)
class Row:
    """One system."""

    key: str
    label: str
    health: str
    """``ok``, ``down`` or ``unknown``."""
    text: str
    manager: str
    jump_hosts: tuple[JumpHost, ...] = ()
    states: tuple[tuple[str, int], ...] = ()
    begun: int = 0
    failed: int = 0
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Version:
    """Which version of the configuration a service has in force; empty if it does not tell."""

    service: str
    version: str
    same: bool


@dataclass(frozen=True)
class TunnelRow:
    """A tunnel, with the lab that it leads to."""

    tunnel: Tunnel
    user: str
    server: str
    kind: str
    """``open``, ``ending``, ``orphan``, or ``unknown`` if the hub did not answer."""


@dataclass(frozen=True)
class Overview:
    """The whole page."""

    problems: tuple[Problem, ...]
    rows: tuple[Row, ...]
    versions: tuple[Version, ...]
    hub_silent: Silence | None
    tunnels_silent: Silence | None
    hours: tuple[Hour, ...] = field(default=())


def overview(
    picture: Picture, configuration: Configuration, version: str, refused: Refused | None, now: datetime
) -> Overview:
    """Return the page; what a silent service would have said is missing in its place only."""
    rows = tuple(_rows(picture, configuration))
    return Overview(
        problems=tuple(_problems(picture, rows, refused, now)),
        rows=rows,
        versions=tuple(_versions(picture, version)),
        hub_silent=picture.hub.silence,
        tunnels_silent=picture.tunnelmgr.jump_hosts.silence,
        hours=tuple(picture.hub.value.hours) if picture.hub.value else (),
    )


def service_name(service: str) -> str:
    """Return what people call a service."""
    return _NAMES.get(service, service)


def silence_text(silence: Silence) -> str:
    """Return the sentence about a service that was asked in vain, up to the time since when."""
    return f"{service_name(silence.service)} {silence.reason or 'does not answer'}"


def _rows(picture: Picture, configuration: Configuration) -> Iterator[Row]:
    told = picture.hub.value.systems if picture.hub.value else {}
    hosts = picture.tunnelmgr.jump_hosts.value or []
    for key, system in configuration.systems.items():
        manager = picture.managers.get(system.manager)
        health, text = "unknown", "Its manager does not tell."
        if manager is not None and manager.systems.value is not None:
            said = manager.systems.value.get(key)
            health = "unknown" if said is None else ("ok" if said.available else "down")
            text = "Its manager does not know it yet." if said is None else said.text
        yield _row(key, system.label, health, text, service_name(system.manager), hosts, told.get(key))
    for key in sorted(told.keys() - configuration.systems.keys()):
        text = "Not part of the configuration any more; labs that run there go on."
        yield _row(key, key or "no system", "removed", text, "", hosts, told[key])


def _row(
    key: str,
    label: str,
    health: str,
    text: str,
    manager: str,
    hosts: Iterable[JumpHostInfo],
    told: SystemStarts | None,
) -> Row:
    states = told.states if told else {}
    return Row(
        key=key,
        label=label,
        health=health,
        text=text,
        manager=manager,
        jump_hosts=tuple(_jump_host(host) for host in hosts if host.system == key),
        states=tuple((state, states[state]) for state in sorted(states, key=_order) if states[state]),
        begun=told.begun if told else 0,
        failed=told.failed if told else 0,
        causes=tuple(told.causes) if told else (),
    )


def _order(state: str) -> tuple[int, str]:
    return (_STATES.index(state) if state in _STATES else len(_STATES), state)


def _jump_host(host: JumpHostInfo) -> JumpHost:
    """Return the jump host; one without tunnels is not connected, which is as it should be."""
    lost = host.tunnels > 0 and not host.connected
    word = "connection lost" if lost else ("connected" if host.connected else "idle")
    if host.state is not JumpHostState.OPEN:
        word = f"{host.state.value}, {word}" if host.connected or lost else host.state.value
    return JumpHost(host.name, host.state.value, word, not lost, host.tunnels)


def _problems(picture: Picture, rows: Sequence[Row], refused: Refused | None, now: datetime) -> Iterator[Problem]:
    yield from _silences(picture, now)
    for row in rows:
        if row.health == "down":
            yield Problem(f"{row.label} takes no new labs.", more=row.text)
        lost = [host.name for host in row.jump_hosts if not host.ok]
        if lost:
            yield Problem(f"The connection to {', '.join(lost)} of {row.label} is lost.", page="tunnels")
        if row.failed >= _MANY and row.failed >= row.begun * _SHARE:
            more = row.causes[0].text if row.causes else ""
            yield Problem(
                f"{row.failed} of {row.begun} starts of the last hour on {row.label} failed.",
                more=more,
                page="failures",
            )
    orphans = [row for row in tunnel_rows(picture.tunnelmgr.tunnels, picture.open_starts) if row.kind == "orphan"]
    if orphans:
        count = f"{len(orphans)} tunnels lead" if len(orphans) > 1 else "A tunnel leads"
        yield Problem(f"{count} to no lab that is in use.", page="tunnels")
    if refused is not None:
        yield Problem(
            "The newest commit of the configuration is refused; the last good one stays in force.", more=refused.commit
        )


def _silences(picture: Picture, now: datetime) -> Iterator[Problem]:
    heard = picture.hub.value.silent if picture.hub.value else {}
    answers: list[Answer[Any]] = [picture.hub, picture.tunnelmgr.version, picture.tunnelmgr.jump_hosts]
    for manager in picture.managers.values():
        answers += [manager.version, manager.systems]
    said: set[str] = set()
    for silence in (answer.silence for answer in answers):
        if silence is not None and silence.service not in said:
            said.add(silence.service)
            # The hub asks all the time, the dashboard only while somebody looks.
            since = min(silence.since, heard.get(silence.service, silence.since))
            yield Problem(silence_text(silence), _clock(since, now))


def _clock(since: datetime, now: datetime) -> Moment:
    """Return the time of day, with the date if that is long ago."""
    when = clock(since.astimezone(UTC))
    return when if now - since > timedelta(hours=20) else replace(when, text=f"{since.astimezone(UTC):%H:%M} UTC")


def _versions(picture: Picture, version: str) -> Iterator[Version]:
    yield Version("This dashboard", version, same=True)
    told = {HUB: picture.hub.value.configuration if picture.hub.value else ""}
    told |= {name: manager.version.value or "" for name, manager in picture.managers.items()}
    told[TUNNELMGR] = picture.tunnelmgr.version.value or ""
    for name, its in told.items():
        yield Version(service_name(name), its, same=its == version)


def tunnel_rows(tunnels: Answer[list[Tunnel]], opened: Answer[OpenStarts]) -> list[TunnelRow]:
    """Return the tunnels with their labs; orphans, which belong to no start that is open or ending, come first."""
    known = {start.start_id: start for start in opened.value.starts} if opened.value else {}
    rows: list[TunnelRow] = []
    for tunnel in tunnels.value or []:
        start = known.get(tunnel.start_id)
        if start is not None:
            rows.append(TunnelRow(tunnel, start.user, start.server, "ending" if start.ended else "open"))
        else:
            rows.append(TunnelRow(tunnel, "", "", "orphan" if opened.value is not None else "unknown"))
    return sorted(rows, key=lambda row: (row.kind != "orphan", row.user, row.server, row.tunnel.lab_id))


def refusal(report: Mapping[str, Any] | None) -> Refused | None:
    """Return what the report beside the published configuration says, or None; a report of any shape is shown."""
    if not report:
        return None
    mistakes = report.get("mistakes")
    lines = [_mistake(item) for item in mistakes] if isinstance(mistakes, list) else []
    return Refused(str(report.get("commit", ""))[:64], str(report.get("when", ""))[:64], tuple(lines))


def _mistake(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)[:500]
    place = ":".join(str(item[name]) for name in ("file", "line") if item.get(name))
    words = [place, str(item.get("path") or ""), str(item.get("message") or "")]
    return " ".join(word for word in words if word)[:500]
