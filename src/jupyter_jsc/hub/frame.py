# SPDX-License-Identifier: BSD-3-Clause
"""What all pages share: a strict content security policy, the frame around them, fragments, the request's language.

Base of :mod:`.pages`, :mod:`.formpage`, :mod:`.acts` and :mod:`.login`. A request with the header :data:`FRAGMENT` gets
the part of the page that changes.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from jupyterhub.handlers.base import BaseHandler
from tornado.web import HTTPError

from jupyter_jsc import errors
from jupyter_jsc.config.base import Language
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub import labs, notices, views
from jupyter_jsc.hub.documents import language_of
from jupyter_jsc.hub.identity import identity_of
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.rights.identity import Identity
from jupyter_jsc.rights.tree import OptionTree

FRAGMENT = "X-JSC-Fragment"
"""Request: send the fragment alone. Answer: this is the fragment, and no login or error page."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; report-uri "
)


class PageHandler(BaseHandler):
    """Base of our pages: strict content security policy, our objects, fragments."""

    @property
    def content_security_policy(self) -> str:
        """Called by JupyterHub for every answer of this handler, error pages included."""
        return _POLICY + str(self.csp_report_uri)

    def set_default_headers(self) -> None:
        """Called by tornado before anything else."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Vary", f"Cookie, Accept-Language, {FRAGMENT}")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("X-Content-Type-Options", "nosniff")

    @property
    def portal(self) -> Portal:
        """The portal that this hub runs."""
        return self.authenticator.portal

    @property
    def wants_fragment(self) -> bool:
        """Whether a script asks, and not the browser for a page."""
        return FRAGMENT in self.request.headers

    @property
    def language(self) -> Language:
        """The language in which the centre's texts are said."""
        return language_of("", self.request.headers.get("Accept-Language", ""))

    async def state(self) -> dict[str, Any] | None:
        """Return the user's auth_state, decrypted once for each request."""
        if not hasattr(self, "_state"):
            self._state = await self.current_user.get_auth_state()
        return self._state

    async def identity(self) -> Identity:
        """Return the user as rights are computed for."""
        return identity_of(self.current_user, await self.state())

    async def tree(self, except_server: str = "") -> OptionTree:
        """Return what the user may choose now, where one of their labs does not count as in use."""
        return self.portal.tree(self.current_user, await self.state(), except_server)

    async def lab(self, server: str) -> labs.Lab:
        """Return one of the user's labs, or answer 404."""
        try:
            return labs.find_lab(self.current_user, server, self.portal, await self.tree(server))
        except errors.NotFound as error:
            raise HTTPError(404) from error

    async def view(self, shown: Iterable[labs.Lab], versions: Iterable[str] = ()) -> views.View:
        """Return what labs are looked at with: now, and the configurations that their starts were made with."""
        wanted = {lab.start.configuration for lab in shown if lab.start and lab.state != "stopped"} | {*versions}
        return views.View(
            datetime.now(UTC), self.language, self.portal.configuration, await self._configurations(wanted)
        )

    async def _configurations(self, versions: Iterable[str]) -> dict[str, Configuration]:
        current = self.portal.current
        others = [version for version in versions if version and version != current.version]
        # The first time, an older version is read from disk.
        return {version: await asyncio.to_thread(current.of, version) for version in others}

    async def frame(self) -> notices.Frame:
        """Return what stands around the page."""
        identity = await self.identity() if self.current_user else None
        return notices.frame(identity, self.portal.configuration, self.language, datetime.now(UTC))

    async def show(self, page: str, fragment: str = "", **namespace: Any) -> None:
        """Answer *page*, or *fragment* if that is what was asked for."""
        asked = bool(fragment) and self.wants_fragment
        if asked:
            self.set_header(FRAGMENT, "1")
        else:
            namespace |= {"frame": await self.frame(), "version": self.portal.current.version}
        self.finish(
            await self.render_template(
                fragment if asked else page, support=self.portal.configuration.support, **namespace
            )
        )

    def to_lab(self, server: str, **query: str) -> None:
        """Send the browser to the lab's page."""
        tail = "".join(
            f"{'&' if number else '?'}{key}={quote(value, safe='')}"
            for number, (key, value) in enumerate(query.items())
        )
        self.redirect(f"{self.hub.base_url}labs/{quote(server, safe='')}{tail}", status=303)

    def deep_link(self, lab: labs.Lab) -> str:
        """Return the address in the lab that the query's ``next`` names, else the lab's own."""
        return _deep_link(self.get_query_argument("next", "").removeprefix(self.hub.base_url.rstrip("/")), lab.url)

    def to_start(self, lab: labs.Lab) -> None:
        """Send the browser to the lab's page, from where it moves on to what ``next`` names."""
        go = self.deep_link(lab)
        self.to_lab(lab.server, **({} if go == lab.url else {"next": go}))

    async def show_lab(self, server: str, notice: str = "") -> None:
        """Answer the lab's page, with a sentence about what was just refused, if so."""
        lab = await self.lab(server)
        starts = await self.portal.journal.starts(self.portal.lab_id(self.current_user.name, server))
        wanted = self.get_query_argument("start", "")
        start = next((item for item in starts if item.start_id == wanted), starts[0] if starts else None)
        view = await self.view([lab], [start.configuration] if start else [])
        opened = None
        if start is not None:
            events = await self.portal.journal.events(start.start_id)
            opened = views.history(start, events, view, latest=start is starts[0])
        await self.show(
            "lab.html",
            "lab_fragment.html",
            card=views.card(lab, view, await self.tree(server)),
            history=opened,
            starts=views.past_starts(starts, view.now),
            notice=notice,
            go=self.deep_link(lab),
        )


def _deep_link(wanted: str, lab_url: str) -> str:
    """Return *wanted* if it lies inside the lab, else the lab's address."""
    inside = wanted.startswith(lab_url) and "\\" not in wanted and ".." not in wanted
    return wanted if inside else lab_url


class FramePage(PageHandler):
    """The frame alone, for the script that keeps it up to date."""

    async def get(self) -> None:
        """Answer announcements and the user's menu; without the script's header, the list of labs."""
        if not self.wants_fragment:
            self.redirect(f"{self.hub.base_url}home")
            return
        await self.show("home.html", "frame_fragment.html", frame=await self.frame())
