# SPDX-License-Identifier: BSD-3-Clause
"""What the buttons of the pages send: start, stop, cancel and delete a lab; act in another group.

Entered by :mod:`.pages`; the work is done by :mod:`.labs`, :mod:`.handlers` and :mod:`.access`.
"""

from urllib.parse import urlsplit

from jupyterhub.spawner import SpawnException
from tornado.web import HTTPError, authenticated

from jupyter_jsc import errors
from jupyter_jsc.hub import labs
from jupyter_jsc.hub.access import choose_group
from jupyter_jsc.hub.frame import FRAGMENT, PageHandler
from jupyter_jsc.hub.handlers import cancel

_LEFT_OPEN = "Your login is known, but it must be renewed. Log out, log in again, then start the lab."


class LabActPage(PageHandler):
    """Start, stop, cancel and delete: what the buttons send."""

    @authenticated
    async def post(self, server: str, act: str) -> None:
        """Do it, then show the lab, or the list; what is refused is said there."""
        lab = await self.lab(server)
        try:
            await self._do(act, lab)
        except errors.JSCError as error:
            message = str(error.detail.get(self.language) or error.message)
            await self._refused(server, error.status if error.status < 490 else 502, message)
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


async def start_lab(handler: PageHandler, lab: labs.Lab) -> None:
    """Start a lab with its saved options; one that is starting or running is left alone.

    Returns once the journal has the new start, so that the page which follows shows that one.

    Raises :class:`errors.Conflict` if the options are no longer possible, cannot be started just now, or the lab is
    still being stopped.
    """
    user = handler.current_user
    if lab.problem:
        raise errors.Conflict(f"These options are no longer possible. {lab.problem}")
    if lab.blocked:
        raise errors.Conflict(lab.blocked.en, en=lab.blocked.en, de=lab.blocked.say("de"))
    if lab.state == "stopping":
        raise errors.Conflict("The lab is still being stopped. Try again in a moment.")
    spawner = user.get_spawner(lab.server, replace_failed=True)
    if spawner.active:
        return
    await handler.spawn_single_user(user, lab.server, lab.title)
    await labs.until_begun(user.spawners[lab.server])


class GroupPage(PageHandler):
    """The group that the user acts in."""

    @authenticated
    async def post(self) -> None:
        """Act in one group alone, or in all for an empty name; then back to the page that was open."""
        try:
            await choose_group(self.portal, self.current_user, self.get_body_argument("group", "") or None)
        except errors.Forbidden as error:
            raise HTTPError(403, error.message) from error
        if self.wants_fragment:
            self.set_header(FRAGMENT, "1")
            self.set_status(204)
        else:
            self.redirect(self._before(), status=303)

    def _before(self) -> str:
        """Return the page that sent the form: one of ours, or else the list of labs."""
        asked = urlsplit(self.request.headers.get("Referer", ""))
        ours = asked.netloc == self.request.host and asked.path.startswith(self.hub.base_url)
        path = asked.path if ours and "//" not in asked.path and "\\" not in asked.path else f"{self.hub.base_url}home"
        return f"{path}?{asked.query}" if ours and asked.query else path
