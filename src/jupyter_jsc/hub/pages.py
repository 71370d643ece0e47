# SPDX-License-Identifier: BSD-3-Clause
"""The pages that users see: labs, a lab opened up, help. Server-rendered; they work without JavaScript.

``PAGE_HANDLERS`` is added by the authenticator's ``get_handlers``, before JupyterHub's own pages, whose home and
spawn pages they replace. What the templates print is made in :mod:`.views`, :mod:`.notices` and :mod:`.form`; the form's
page is in :mod:`.formpage`, what buttons send goes to :mod:`.acts`.
"""

from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler, authenticated

from jupyter_jsc.hub import labs, notices, views
from jupyter_jsc.hub.acts import GroupPage, LabActPage
from jupyter_jsc.hub.formpage import FormPage
from jupyter_jsc.hub.frame import FramePage, PageHandler
from jupyter_jsc.hub.words import said

STATIC = Path(__file__).parent / "static"


class LabsPage(PageHandler):
    """The list of the user's labs."""

    @authenticated
    async def get(self) -> None:
        """Answer the list, or an invitation, or whom to ask for what is missing."""
        tree = await self.tree()
        found = labs.list_labs(self.current_user, self.portal, tree)
        await self.show(
            "home.html",
            "home_fragment.html",
            cards=views.cards(found, await self.view(found), tree),
            nothing=notices.why_nothing(await self.identity(), self.portal.configuration, tree),
            reason=said(tree.blocked, self.language),
        )


class CardFragment(PageHandler):
    """One card of the list, for the script that keeps it up to date."""

    @authenticated
    async def get(self, server: str) -> None:
        """Answer the card alone; without the script's header, the lab's page."""
        if not self.wants_fragment:
            self.to_lab(server)
            return
        lab = await self.lab(server)
        card = views.card(lab, await self.view([lab]), await self.tree(server))
        await self.show("lab.html", "card_fragment.html", card=card)


class LabPage(PageHandler):
    """A lab opened up: how its start goes on, and earlier ones."""

    @authenticated
    async def get(self, server: str) -> None:
        """Answer the page; ``start`` selects an earlier start, ``next`` where in the lab to go when it is ready."""
        await self.show_lab(server)


class HelpPage(PageHandler):
    """How the portal works, on one page."""

    async def get(self) -> None:
        """Answer the page, to everybody."""
        await self.show("help.html")


class SpawnRedirect(PageHandler):
    """JupyterHub's spawn and spawn-pending pages: the lab's own page says it better (V1, V2, V5)."""

    @authenticated
    async def get(self, user_name: str = "", server: str = "") -> None:
        """Go to the lab's page, or into the lab if it runs; without a lab, to the list."""
        if not server or user_name != self.current_user.name:
            self.redirect(f"{self.hub.base_url}home")
            return
        lab = await self.lab(server)
        if lab.state == "running":
            self.redirect(self.deep_link(lab))
        else:
            self.to_start(lab)


class StaticFiles(StaticFileHandler):
    """Our style sheet, scripts and icons. The version in the path is only there to change with each hub."""

    def initialize(self) -> None:
        """Called by tornado."""
        super().initialize(str(STATIC))

    async def get(self, version: str, path: str) -> None:
        """Answer a file; a browser keeps it for a year unless the hub runs from a checkout."""
        self._lasts = version != "dev"
        await super().get(path)

    async def head(self, version: str, path: str) -> None:
        """Answer the headers of a file."""
        self._lasts = version != "dev"
        await super().get(path, include_body=False)

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        """Called by tornado for ``max-age``."""
        _ = path, modified, mime_type
        return 365 * 24 * 3600 if self._lasts else 0

    def set_extra_headers(self, path: str) -> None:
        """Called by tornado."""
        _ = path
        self.set_header("X-Content-Type-Options", "nosniff")


_SERVER = r"([a-z][a-z0-9-]*)"

PAGE_HANDLERS: list[tuple[str, Any]] = [
    (r"/home", LabsPage),
    (r"/help", HelpPage),
    (r"/frame", FramePage),
    (r"/group", GroupPage),
    (r"/labs/new", FormPage),
    (rf"/labs/{_SERVER}", LabPage),
    (rf"/labs/{_SERVER}/card", CardFragment),
    (rf"/labs/{_SERVER}/edit", FormPage),
    (rf"/labs/{_SERVER}/(start|stop|cancel|delete)", LabActPage),
    (r"/spawn", SpawnRedirect),
    (r"/spawn(?:-pending)?/([^/]+)", SpawnRedirect),
    (r"/spawn(?:-pending)?/([^/]+)/([^/]+)", SpawnRedirect),
    (r"/jsc-static/([^/]+)/(.+)", StaticFiles),
]
