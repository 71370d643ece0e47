# SPDX-License-Identifier: BSD-3-Clause
"""The pages that users see: labs, the form, a lab opened up. Server-rendered; they work without JavaScript.

``PAGE_HANDLERS`` is added by the authenticator's ``get_handlers``, before JupyterHub's own pages, whose home and
spawn pages they replace. A request with the header :data:`FRAGMENT` gets the part of the page that changes.
What the templates print is made in :mod:`.views` and :mod:`.form`; acts go to :mod:`.labs` and :mod:`.handlers`.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.spawner import SpawnException
from tornado.web import HTTPError, StaticFileHandler, authenticated

from jupyter_jsc import errors, names
from jupyter_jsc.hub import form, labs, views
from jupyter_jsc.hub.handlers import cancel
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.rights.tree import OptionTree

STATIC = Path(__file__).parent / "static"
FRAGMENT = "X-JSC-Fragment"
"""Request: send the fragment alone. Answer: this is the fragment, and no login or error page."""

_RESERVED = frozenset({"new"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; report-uri "
)
_BEGIN_S = 2.0
_LEFT_OPEN = "Your login is known, but it must be renewed. Log out, log in again, then start the lab."


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
        self.set_header("Vary", f"Cookie, {FRAGMENT}")
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

    async def tree(self) -> OptionTree:
        """Return what the user may choose now."""
        return self.portal.tree(self.current_user, await self.current_user.get_auth_state())

    async def lab(self, server: str) -> labs.Lab:
        """Return one of the user's labs, or answer 404."""
        try:
            return labs.find_lab(self.current_user, server, self.portal, await self.tree())
        except errors.NotFound as error:
            raise HTTPError(404) from error

    async def show(self, page: str, fragment: str = "", **namespace: Any) -> None:
        """Answer *page*, or *fragment* if that is what was asked for."""
        asked = bool(fragment) and self.wants_fragment
        if asked:
            self.set_header(FRAGMENT, "1")
        self.finish(
            await self.render_template(
                fragment if asked else page,
                support=self.portal.configuration.support,
                stream_url=f"{self.hub.base_url}api/jsc/stream",
                **namespace,
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
        now, configuration = datetime.now(UTC), self.portal.configuration
        starts = await self.portal.journal.starts(self.portal.lab_id(self.current_user.name, server))
        wanted = self.get_query_argument("start", "")
        start = next((item for item in starts if item.start_id == wanted), starts[0] if starts else None)
        opened = None
        if start is not None:
            events = await self.portal.journal.events(start.start_id)
            opened = views.history(start, events, configuration, now, latest=start is starts[0])
        await self.show(
            "lab.html",
            "lab_fragment.html",
            card=views.card(lab, configuration, now),
            history=opened,
            starts=views.past_starts(starts, now),
            notice=notice,
            go=self.deep_link(lab),
        )


class LabsPage(PageHandler):
    """The list of the user's labs."""

    @authenticated
    async def get(self) -> None:
        """Answer the list, or an invitation, or whom to ask for an account."""
        tree = await self.tree()
        found = labs.list_labs(self.current_user, self.portal, tree)
        await self.show(
            "home.html",
            "home_fragment.html",
            cards=views.cards(found, self.portal.configuration, datetime.now(UTC)),
            may_start=bool(tree.systems),
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
        await self.show(
            "lab.html", "card_fragment.html", card=views.card(lab, self.portal.configuration, datetime.now(UTC))
        )


class LabPage(PageHandler):
    """A lab opened up: how its start goes on, and earlier ones."""

    @authenticated
    async def get(self, server: str) -> None:
        """Answer the page; ``start`` selects an earlier start, ``next`` where in the lab to go when it is ready."""
        await self.show_lab(server)


class LabActPage(PageHandler):
    """Start, stop, cancel and delete: what the buttons send."""

    @authenticated
    async def post(self, server: str, act: str) -> None:
        """Do it, then show the lab, or the list; what is refused is said there."""
        lab = await self.lab(server)
        try:
            await self._do(act, lab)
        except errors.JSCError as error:
            await self._refused(server, error.status if error.status < 490 else 502, error.message)
        except SpawnException as error:
            await self._refused(
                server, 409, getattr(error, "jupyterhub_message", "") or "The lab could not be started."
            )
        except HTTPError as error:
            message = _LEFT_OPEN if error.status_code == 403 else error.log_message or "This is not possible now."
            await self._refused(server, error.status_code, message)
        else:
            if self.wants_fragment:
                self.set_header(FRAGMENT, "1")
                self.set_status(204)
            elif act == "start":
                self.to_start(lab)
            else:
                self.redirect(f"{self.hub.base_url}home", status=303)

    async def _do(self, act: str, lab: labs.Lab) -> None:
        user = self.current_user
        if act == "delete":
            await labs.delete_lab(user, lab.server, portal=self.portal)
        elif act == "start":
            await start_lab(self, lab)
        else:
            await cancel(self, user, lab.server, self.portal)

    async def _refused(self, server: str, status: int, message: str) -> None:
        self.set_status(status)
        await self.show_lab(server, message)


async def start_lab(handler: "PageHandler", lab: labs.Lab) -> None:
    """Start a lab with its saved options; one that is starting or running is left alone.

    Returns once the journal has the new start, so that the page which follows shows that one.

    Raises :class:`errors.Conflict` if the options are no longer possible or the lab is still being stopped.
    """
    user = handler.current_user
    if lab.problem:
        raise errors.Conflict(f"These options are no longer possible. {lab.problem}")
    if lab.state == "stopping":
        raise errors.Conflict("The lab is still being stopped. Try again in a moment.")
    spawner = user.get_spawner(lab.server, replace_failed=True)
    if spawner.active:
        return
    await handler.spawn_single_user(user, lab.server, lab.title)
    journal, lab_id = handler.portal.journal, handler.portal.lab_id(user.name, lab.server)
    former = lab.start.start_id if lab.start else ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_BEGIN_S):
            while spawner.active and ((new := journal.latest(lab_id)) is None or new.start_id == former):  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)


class FormPage(PageHandler):
    """The form for a new lab, or for one that is stopped."""

    @authenticated
    async def get(self, server: str = "") -> None:
        """Answer the form with suggested or saved values; ``like`` names a lab to take them from."""
        tree = await self.tree()
        if not tree.systems:
            self.redirect(f"{self.hub.base_url}home")
            return
        source = server or self.get_query_argument("like", "")
        lab = await self.lab(source) if source else None
        if lab is not None and server and lab.state != "stopped":
            self.set_status(409)
            await self.show_lab(server, "Stop the lab before you edit it.")
            return
        options = dict(lab.options) if lab else {}
        title = "" if lab is None else lab.title if server else form.fresh_title(lab.title, self._titles())
        shown = form.build(form.Typed(title=title, options=options), tree, self._titles())
        await self._answer(server, shown)

    @authenticated
    async def post(self, server: str = "") -> None:
        """Complete, save, or save and start what was typed; mistakes are answered with the form as it was."""
        tree = await self.tree()
        if not tree.systems:
            raise HTTPError(403)
        typed = form.read({key: self.get_body_argument(key) for key in self.request.body_arguments})
        act = self.get_body_argument("action", "update")
        shown = form.build(typed, tree, self._titles(), submitted=act != "update")
        if act == "update":
            await self._answer(server, shown)
            return
        if shown.mistakes:
            await self._answer(server, shown, 400)
            return
        try:
            lab = await self._save(server, typed, tree)
        except errors.InvalidRequest as error:
            field = str(error.detail.get("field", "title"))
            allowed = error.detail.get("allowed")
            message = f"Name: {allowed}." if field == "title" and allowed else error.message
            await self._answer(server, form.with_mistake(shown, field, message), 400)
        except errors.Conflict as error:
            await self._answer(server, form.with_mistake(shown, "title", error.message), 409)
        else:
            await self._saved(lab, start=act == "start")

    async def _save(self, server: str, typed: form.Typed, tree: OptionTree) -> labs.Lab:
        taken = frozenset(self.current_user.orm_spawners) | _RESERVED
        name = server or names.server_name(typed.title, taken)
        if server:
            await self.lab(server)
        else:
            await self._check_limit(name, typed.title)
        return labs.save_lab(
            self.current_user, name, typed.title, dict(typed.options or {}), portal=self.portal, tree=tree
        )

    async def _check_limit(self, name: str, title: str) -> None:
        """Raise :class:`errors.InvalidRequest` if JupyterHub would refuse one more lab, or its title."""
        try:
            await self._check_named_server_request(self.current_user, name, title or "-")
        except HTTPError as error:
            message = error.log_message or "This title is not possible."
            raise errors.InvalidRequest(message.replace("named servers", "labs"), field="title") from error

    async def _saved(self, lab: labs.Lab, *, start: bool) -> None:
        if not start:
            self.redirect(f"{self.hub.base_url}home", status=303)
            return
        try:
            await start_lab(self, lab)
        except (errors.JSCError, SpawnException, HTTPError) as error:
            message = getattr(error, "message", "") or getattr(error, "jupyterhub_message", "")
            self.set_status(409)
            await self.show_lab(lab.server, message or "The lab is saved, but it could not be started. Try again.")
        else:
            self.to_lab(lab.server)

    def _titles(self) -> list[str]:
        return [row.display_name or name for name, row in self.current_user.orm_spawners.items()]

    async def _answer(self, server: str, shown: form.Form, status: int = 200) -> None:
        self.set_status(status)
        told = status >= 400 or "told" in self.request.body_arguments
        await self.show("form.html", "form_fragment.html", form=shown, server=server, told=told)


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


def _deep_link(wanted: str, lab_url: str) -> str:
    """Return *wanted* if it lies inside the lab, else the lab's address."""
    inside = wanted.startswith(lab_url) and "\\" not in wanted and ".." not in wanted
    return wanted if inside else lab_url


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
