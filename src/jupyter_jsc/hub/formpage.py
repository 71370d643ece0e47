# SPDX-License-Identifier: BSD-3-Clause
"""The page with the form for a lab's options. Entered by :mod:`.pages`; what it shows is made in :mod:`.form`."""

from datetime import UTC, datetime

from jupyterhub.spawner import SpawnException
from tornado.web import HTTPError, authenticated

from jupyter_jsc import errors, names
from jupyter_jsc.hub import form, labs
from jupyter_jsc.hub.acts import start_lab
from jupyter_jsc.hub.frame import PageHandler
from jupyter_jsc.rights.tree import OptionTree

_RESERVED = frozenset({"new"})


class FormPage(PageHandler):
    """The form for a new lab, or for one that is stopped."""

    @authenticated
    async def get(self, server: str = "") -> None:
        """Answer the form with suggested or saved values; ``like`` names a lab to take them from."""
        tree = await self.tree(server)
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
        await self._answer(server, form.build(form.Typed(title=title, options=options), self._asked(tree)))

    @authenticated
    async def post(self, server: str = "") -> None:
        """Complete, save, or save and start what was typed; mistakes are answered with the form as it was."""
        tree = await self.tree(server)
        if not tree.systems:
            raise HTTPError(403)
        typed = form.read({name: self.get_body_arguments(name) for name in self.request.body_arguments})
        act = self.get_body_argument("action", "update")
        shown = form.build(typed, self._asked(tree), submitted=act != "update")
        if act == "update":
            await self._answer(server, shown)
        elif shown.mistakes:
            await self._answer(server, shown, 400)
        elif act == "start" and shown.blocked:
            await self._answer(server, shown, 409)
        else:
            await self._save(server, shown, tree, start=act == "start")

    async def _save(self, server: str, shown: form.Form, tree: OptionTree, *, start: bool) -> None:
        try:
            lab = await self._saved(server, shown, tree)
        except errors.InvalidRequest as error:
            field = str(error.detail.get("field", "title"))
            allowed = error.detail.get("allowed")
            message = f"Name: {allowed}." if field == "title" and allowed else error.message
            await self._answer(server, form.with_mistake(shown, field, message), 400)
        except errors.Conflict as error:
            await self._answer(server, form.with_mistake(shown, "title", error.message), 409)
        else:
            await (self._start(lab) if start else self._to_list())

    async def _saved(self, server: str, shown: form.Form, tree: OptionTree) -> labs.Lab:
        taken = frozenset(self.current_user.orm_spawners) | _RESERVED
        name = server or names.server_name(shown.title, taken)
        if server:
            await self.lab(server)
        else:
            await self._check_limit(name, shown.title)
        return labs.save_lab(self.current_user, name, shown.title, dict(shown.options), portal=self.portal, tree=tree)

    async def _check_limit(self, name: str, title: str) -> None:
        """Raise :class:`errors.InvalidRequest` if JupyterHub would refuse one more lab, or its title."""
        try:
            await self._check_named_server_request(self.current_user, name, title or "-")
        except HTTPError as error:
            message = error.log_message or "This title is not possible."
            raise errors.InvalidRequest(message.replace("named servers", "labs"), field="title") from error

    async def _to_list(self) -> None:
        self.redirect(f"{self.hub.base_url}home", status=303)

    async def _start(self, lab: labs.Lab) -> None:
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

    def _asked(self, tree: OptionTree) -> form.Asked:
        reservations = self.portal.configuration.reservations
        return form.Asked(tree, self._titles(), datetime.now(UTC), self.language, reservations)

    async def _answer(self, server: str, shown: form.Form, status: int = 200) -> None:
        self.set_status(status)
        told = status >= 400 or "told" in self.request.body_arguments
        await self.show("form.html", "form_fragment.html", form=shown, server=server, told=told, status=status)
