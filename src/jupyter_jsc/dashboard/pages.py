# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard's pages. GET only, rendered here, and complete without a script.

Entered by :mod:`.app`, which has checked who looks. What the templates print is made in :mod:`.overview` and
:mod:`.stories`.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from jupyter_jsc import errors, names
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import DashboardSettings
from jupyter_jsc.dashboard import overview, stories
from jupyter_jsc.dashboard.login import User
from jupyter_jsc.dashboard.sources import HUB, Answer, Silence, Sources
from jupyter_jsc.times import ago, duration

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_LABS, _TUNNELS = 50, 100
"""Rows of a page."""
_LARGEST_REPORT = 1_000_000
HOURS = {1: "hour", 24: "24 hours", 168: "7 days"}
STATES = ("all", "open", "failed")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Pages:
    """All pages; each method answers one."""

    def __init__(self, current: Current, settings: DashboardSettings, sources: Sources, prefix: str) -> None:
        self._current = current
        self._sources = sources
        self._report = settings.configuration.parent / "refused.json"
        self._prefix = prefix
        # Values are text from users and sites: all of it is escaped, and a name that is missing is an error.
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "prefix": prefix,
            "base_url": settings.base_url,
            "assets": f"{settings.base_url}hub/jsc-static/dev/",
            "silence_text": overview.silence_text,
            "duration": duration,
        }

    async def overview(self, user: User) -> Response:
        """Answer whether anything is wrong, and how each system is."""
        picture = await self._sources.picture()
        refused = overview.refusal(await asyncio.to_thread(self._refused))
        now = datetime.now(UTC)
        page = overview.overview(picture, self._current.configuration, self._current.version, refused, now)
        return self.show("overview.html", user, page=page, refused=refused, since=ago(self._current.since, now))

    async def failures(self, user: User, hours: int) -> Response:
        """Answer what failed, by cause and system."""
        answer = await self._sources.ask_hub(lambda hub: hub.failures(hours))
        labels = {key: system.label for key, system in self._current.configuration.systems.items()}
        return self.show(
            "failures.html",
            user,
            answer=answer,
            hours=hours,
            words=HOURS.get(hours, f"{hours} hours"),
            choices=HOURS,
            labels=labels,
        )

    async def labs(self, user: User, search: str, system: str, state: str, page: int) -> Response:
        """Answer a page of labs; a whole start id that is known leads to its story at once."""
        if names.START_ID.fullmatch(search):
            return RedirectResponse(f"{self._prefix}starts/{search}", 303)
        wanted = {"search": search, "system": system, "state": state}
        answer = await self._sources.ask_hub(
            lambda hub: hub.labs(**wanted, offset=str((page - 1) * _LABS), limit=str(_LABS))
        )
        total = answer.value.total if answer.value else 0
        return self.show(
            "labs.html",
            user,
            answer=answer,
            wanted=wanted,
            systems={key: known.label for key, known in self._current.configuration.systems.items()},
            states=STATES,
            pager=_pager(page, total, _LABS, f"{self._prefix}labs", {k: v for k, v in wanted.items() if v}),
        )

    async def tunnels(self, user: User, page: int) -> Response:
        """Answer jump hosts and tunnels, those without a lab first."""
        # Asked before and after: a start that comes or goes meanwhile is in one of both.
        before = await self._sources.ask_hub(lambda hub: hub.open_starts())
        told = await self._sources.tunnels()
        after = await self._sources.ask_hub(lambda hub: hub.open_starts())
        if before.value and after.value:
            both = after.value.model_copy(update={"starts": [*before.value.starts, *after.value.starts]})
            after = Answer(both)
        rows = overview.tunnel_rows(told.tunnels, after)
        return self.show(
            "tunnels.html",
            user,
            told=told,
            hub_silence=after.silence,
            orphans=sum(row.kind == "orphan" for row in rows),
            rows=rows[(page - 1) * _TUNNELS : page * _TUNNELS],
            hosts=told.jump_hosts.value or [],
            pager=_pager(page, len(rows), _TUNNELS, f"{self._prefix}tunnels", {}),
        )

    async def story(self, user: User, start_id: str) -> Response:
        """Answer one start from its beginning to now; :class:`errors.NotFound` if there is none."""
        answer = await self._sources.ask_hub(lambda hub: hub.story(start_id))
        if answer.value is None:
            return self.show("silent.html", user, silence=answer.silence or Silence(HUB, datetime.now(UTC)))
        told = stories.told(answer.value, self._current.configuration, datetime.now(UTC))
        return self.show("story.html", user, told=told, others=answer.value.others)

    def trouble(self, error: errors.JSCError) -> Response:
        """Answer the page that says why there is none."""
        return self.show(
            "trouble.html",
            None,
            status=error.status,
            code=error.status,
            error=error,
            support=self._current.configuration.support,
        )

    def show(self, template: str, user: User | None, *, status: int = 200, **values: Any) -> Response:
        """Answer a template."""
        now = datetime.now(UTC)
        text = self._templates.get_template(template).render(
            user=user,
            version=self._current.version,
            ago=lambda when: ago(when, now),
            **values,
        )
        return HTMLResponse(text, status)

    def _refused(self) -> Mapping[str, Any] | None:
        """Return the report on a commit that was refused, as ``config sync`` leaves it beside the link."""
        try:
            with self._report.open("rb") as file:
                report = json.loads(file.read(_LARGEST_REPORT))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return {"mistakes": [f"The report cannot be read ({type(error).__name__})."]}
        return report if isinstance(report, dict) else {"mistakes": ["The report has no known form."]}


def _pager(page: int, total: int, size: int, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return where a page lies among all, with the addresses of its neighbours. Pure."""

    def address(number: int) -> str:
        return f"{path}?{urlencode({**query, 'page': number})}"

    last = max(1, -(-total // size))
    return {
        "first": min((page - 1) * size + 1, total),
        "last": min(page * size, total),
        "total": total,
        "before": address(min(page - 1, last)) if page > 1 else "",
        "after": address(page + 1) if page < last else "",
    }
