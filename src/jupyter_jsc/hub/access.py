# SPDX-License-Identifier: BSD-3-Clause
"""The API about rights: what the caller may start, the group they act in, account lists that operators push.

Entered by :mod:`.handlers`. What is stored here lies in auth_state, see :mod:`.identity`.
"""

import json
import time
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from pydantic import BaseModel

from jupyter_jsc import errors
from jupyter_jsc.hub.api import JSCHandler, answers_errors
from jupyter_jsc.hub.configure import ACCOUNTS_SCOPE
from jupyter_jsc.hub.documents import document, language_of
from jupyter_jsc.hub.identity import identity_of
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.rights.accounts import parse_accounts, to_list
from jupyter_jsc.rights.membership import groups_of

_LARGEST_PUSH = 1024 * 1024
_SHOWN = 100
"""So many characters of a bad entry are repeated."""


async def keep(portal: Portal, user: Any, **values: Any) -> None:
    """Store *values* in the user's auth_state beside what is there, and tell the user's pages."""
    async with portal.state_locks[user.name]:
        state = await user.get_auth_state() or {}
        await user.save_auth_state(state | values)
    portal.journal.list_changed(user.name)


async def choose_group(portal: Portal, user: Any, wanted: str | None) -> None:
    """Let *user* act in one of their groups alone, or with None in all; :class:`errors.Forbidden` names the allowed."""
    groups = groups_of(identity_of(user, await user.get_auth_state()), portal.configuration)
    if wanted is not None and wanted not in groups:
        allowed = ", ".join(groups) or "none"
        raise errors.Forbidden(
            f"You are not a member of this group. Allowed: {allowed}.",
            field="group",
            value=repr(wanted)[:_SHOWN],
            allowed=allowed,
        )
    await keep(portal, user, group=wanted)


class OptionsHandler(JSCHandler):
    """What the caller may start."""

    @answers_errors
    async def get(self) -> None:
        """Answer the tree that the form renders, with the version and the groups that it comes from.

        ``language`` or else Accept-Language says in which language; ``server`` names a lab that does not count as
        in use.
        """
        user = self.caller("read:servers")
        language = language_of(self.get_query_argument("language", ""), self.request.headers.get("Accept-Language", ""))
        state = await user.get_auth_state()
        identity, version = identity_of(user, state), self.portal.current.version
        tree = self.portal.tree(user, state, self.get_query_argument("server", ""))
        told = {"configuration": version, "member_of": groups_of(identity, self.portal.configuration)}
        self.set_header("Content-Language", language)
        self.finish(json.dumps(told | document(tree, language)))


class _Group(BaseModel):
    group: str | None


class GroupHandler(JSCHandler):
    """The group that the caller acts in."""

    @answers_errors
    async def put(self) -> None:
        """Act in one of one's groups alone, or with ``null`` in all of them; 403 names those that are allowed."""
        user = self.caller("start:servers")
        await choose_group(self.portal, user, self.body(_Group).group)
        self.set_status(204)


class _Push(BaseModel):
    accounts: list[Any]


class AccountsHandler(JSCHandler):
    """The account list of a user, pushed by an operator's service."""

    @answers_errors
    async def put(self, user_name: str) -> None:
        """Take the list instead of what the provider told, until it tells the list again; 400 if an entry is none."""
        self.need(ACCOUNTS_SCOPE)
        user = self.user_of(user_name)
        entries = self.body(_Push, _LARGEST_PUSH).accounts
        accounts, skipped = parse_accounts(entries)
        if skipped:
            bad = next((entry for entry in entries if parse_accounts([entry])[1]), "more entries than are taken")
            raise errors.InvalidRequest(
                f"{skipped} of {len(entries)} entries are no account entries; nothing was changed.",
                field="accounts",
                value=repr(bad)[:_SHOWN],
                allowed="account,key,project,person",
            )
        await keep(self.portal, user, pushed={"time": int(time.time()), "accounts": to_list(accounts)})
        service = self.current_user.name if self.current_user else ""
        await self.portal.journal.note_push(user.name, len(entries), service)
        self.set_status(204)

    @answers_errors
    async def get(self, user_name: str) -> None:
        """Answer when the user's list was pushed last, by whom and with how many entries."""
        self.need(ACCOUNTS_SCOPE)
        push = await self.portal.journal.last_push(self.user_of(user_name).name)
        last = {"time": push.time.isoformat(), "entries": push.entries, "service": push.service} if push else None
        self.finish(json.dumps({"last": last}))


ACCESS_HANDLERS: list[tuple[str, type[APIHandler]]] = [
    (r"/api/jsc/options", OptionsHandler),
    (r"/api/jsc/group", GroupHandler),
    (r"/api/jsc/users/([^/]+)/accounts", AccountsHandler),
]
