# SPDX-License-Identifier: BSD-3-Clause
"""Who a start acts as at its site: the site's own token if it gave one, else the user's fresh access token.

A site's token is limited to that site and lies encrypted in the journal, so that supervising and cleaning up need no
user to be there. The user's own token is asked for each time and kept nowhere. Called by :mod:`.starts`.
"""

import json
from typing import Any, Protocol

import structlog
from jupyterhub.crypto import EncryptionUnavailable, InvalidToken, decrypt, encrypt
from pydantic import SecretStr

from jupyter_jsc import wire
from jupyter_jsc.hub.journal import Journal
from jupyter_jsc.hub.records import Start

log = structlog.get_logger()


class TokenOf(Protocol):
    """Gives the access tokens of users."""

    async def __call__(self, user_name: str, /, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the fresh token of the user of that name, another one than that which was *refused*.

        Raises :class:`errors.CredentialRefused` if the user must log in again, :class:`errors.Unavailable` if the
        login service cannot be asked now.
        """


async def seal(secrets: dict[str, str]) -> bytes:
    """Return *secrets* encrypted with the hub's keys."""
    return bytes(await encrypt(secrets))


async def unseal(sealed: bytes) -> dict[str, Any]:
    """Return what was sealed; nothing if the hub's keys are others by now."""
    try:
        return dict(await decrypt(sealed))
    except (EncryptionUnavailable, InvalidToken, json.JSONDecodeError) as error:
        log.warning("a stored token cannot be read any more", error=type(error).__name__)
        return {}


class Credentials:
    """The credentials of all starts."""

    def __init__(self, journal: Journal, token_of: TokenOf) -> None:
        self._journal = journal
        self._token_of = token_of
        self._of_site: dict[str, SecretStr | None] = {}

    async def of_user(self, start: Start, *, refused: SecretStr | None = None) -> SecretStr | None:
        """Return the access token of the start's user, not that which was *refused*; raises what :class:`TokenOf` does.

        None where labs run under no account: such a system gets to see nothing of the user's login.
        """
        if not _has_account(start):
            return None
        return await self._token_of(start.user, refused=refused)

    async def of(self, start: Start) -> SecretStr | None:
        """Return the best credential for the start; None where labs run under no account."""
        if not _has_account(start):
            return None
        if start.start_id not in self._of_site:
            sealed = await self._journal.secret(start.start_id)
            token = (await unseal(sealed)).get("token") if sealed else None
            self._of_site[start.start_id] = SecretStr(token) if token else None
        return self._of_site[start.start_id] or await self._token_of(start.user)

    async def keep(self, start_id: str, answer: wire.StartAnswer) -> None:
        """Keep the site's token, if it gave one, and the handle, in one write."""
        self._of_site[start_id] = answer.site_token
        token = answer.site_token
        sealed = await seal({"token": token.get_secret_value()}) if token else None
        await self._journal.update(start_id, handle=answer.handle.url, secret=sealed)

    async def refused(self, start_id: str) -> bool:
        """Forget the site's token, which the site accepts no more; False if there was none."""
        had = self._of_site.get(start_id) is not None
        if had:
            self._of_site[start_id] = None
            await self._journal.update(start_id, secret=None)
        return had

    def forget(self, start_id: str) -> None:
        """Forget a start that is cleaned up."""
        self._of_site.pop(start_id, None)


def _has_account(start: Start) -> bool:
    return start.options.get("account") is not None
