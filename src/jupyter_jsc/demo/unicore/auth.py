# SPDX-License-Identifier: BSD-3-Clause
"""Who calls: session, bearer token or nobody, and which account and project the caller chose.

Called by :mod:`.app` for each request, in the server's order: a known session beats everything, then a
delegation token, then the identity provider. Bad credentials are 403, no usable ones are anonymous.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import aiohttp

from jupyter_jsc.demo.unicore.faults import Faults
from jupyter_jsc.demo.unicore.settings import Authenticator, Identity
from jupyter_jsc.demo.unicore.tokens import ServerKey, is_delegation
from jupyter_jsc.errors import JSCError, Unavailable

SESSION_HEADER = "X-UNICORE-SecuritySession"
SESSION_S = 8 * 3600
_CACHE_S = 300.0
_CACHE_SIZE = 100
_USERINFO_LIMIT_S = 60.0
_MOST_SESSIONS = 10000
_ANONYMOUS_DN = "CN=ANONYMOUS,O=UNKNOWN,OU=UNKNOWN"


class Denied(JSCError):
    """The request ends with an empty answer of this status: 403, or 432 for an unknown session."""

    status = 403

    def __init__(self, status: int) -> None:
        super().__init__("The credential or the preference is refused.")
        self.code = status


class BadPreference(JSCError):
    """A role was asked for that the caller does not have; the server answers 500."""


@dataclass(frozen=True)
class Caller:
    """Who a request comes from, and what they chose for it."""

    identity: Identity
    method: str = ""
    """OAUTH or ETD; empty: no credential."""
    token: str = field(default="", repr=False)
    """The caller's own bearer token: the server stores it with each job. Empty for ETD."""
    renewable: bool = True
    """Whether the site issues a token to this one."""
    uid: str | None = None
    group: str | None = None

    @property
    def dn(self) -> str:
        """The distinguished name, which owns jobs."""
        return self.identity.dn

    @property
    def anonymous(self) -> bool:
        """Whether the caller has no account here."""
        return not self.identity.projects

    @property
    def account(self) -> str | None:
        """The Unix account: the chosen one, or the first."""
        return self.uid or next(iter(self.identity.projects), None)

    def chosen(self, preferences: str) -> "Caller":
        """Return the caller with the choices of ``X-UNICORE-User-Preferences``, e.g. ``uid:foo,group:bar``."""
        uid, group = self.uid, self.group
        for part in filter(None, (part.strip() for part in preferences.split(","))):
            key, _, value = part.partition(":")
            if key == "uid":
                uid = value
            elif key == "group":
                group = value
            elif key == "role" and value not in {"user", "anonymous"}:
                raise BadPreference(f"Requested role <{value}> is not available.")
        if uid is not None and uid not in self.identity.projects:
            raise Denied(403)
        caller = replace(self, uid=uid, group=group)
        if group is not None and group not in self.identity.projects.get(caller.account or "", ()):
            raise Denied(403)
        return caller

    def info(self) -> dict[str, Any]:
        """Return ``client`` of the root resource."""
        if self.anonymous:
            role = {"selected": "anonymous"} | ({"availableRoles": ["anonymous"]} if self.method else {})
            method = {"authenticationMethod": self.method} if self.method else {}
            return {"role": role, "dn": self.dn, "xlogin": {}, **method}
        assert self.account is not None
        xlogin = {
            "UID": self.account,
            "availableGroups": list(self.identity.projects[self.account]),
            "availableUIDs": list(self.identity.projects),
        } | ({"group": self.group} if self.group else {})
        role = {"selected": "user", "availableRoles": ["user"]}
        return {"role": role, "authenticationMethod": self.method, "dn": self.dn, "xlogin": xlogin}


NOBODY = Caller(Identity(_ANONYMOUS_DN, {}))


@dataclass(frozen=True)
class _Session:
    caller: Caller
    epoch: int
    expires: float


class Access:
    """Finds the caller of a request."""

    def __init__(self, authenticator: Authenticator, key: ServerKey, faults: Faults) -> None:
        self._authenticator = authenticator
        self._key = key
        self._faults = faults
        self._sessions: dict[str, _Session] = {}

    async def identify(self, headers: Mapping[str, str]) -> tuple[Caller, str]:
        """Return the caller with the chosen preferences, and the session id to answer with.

        :raises Denied: for a bad token (403), a preference that is not allowed (403), an unknown session (432).
        """
        session_id = headers.get(SESSION_HEADER)
        if session_id is None:
            caller = await self._authenticate(headers.get("Authorization", ""))
            session_id = self._remember(caller)
        else:
            caller = self._session(session_id)
        if self._faults.unmapped:
            caller = replace(caller, identity=Identity(caller.dn, {}))
        return caller.chosen(headers.get("X-UNICORE-User-Preferences", "")), session_id

    def _session(self, session_id: str) -> Caller:
        session = self._sessions.get(session_id)
        if session is None or session.epoch != self._faults.session_epoch or session.expires < time.monotonic():
            raise Denied(432)
        return session.caller

    def _remember(self, caller: Caller) -> str:
        if len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session_id = secrets.token_hex(16)
        self._sessions[session_id] = _Session(caller, self._faults.session_epoch, time.monotonic() + SESSION_S)
        return session_id

    async def _authenticate(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        if scheme == "Basic":
            raise Denied(403)
        if scheme != "Bearer" or not token:
            return NOBODY
        if is_delegation(token):
            return self._delegated(token)
        try:
            identity = await self._authenticator(token)
        except Unavailable:
            identity = None
        return Caller(identity, "OAUTH", token) if identity else _refuse()

    def _delegated(self, token: str) -> Caller:
        claims = self._key.verify(token)
        if claims is None:
            raise Denied(403)
        accounts = claims.get("accounts") or {}
        projects = {str(uid): tuple(map(str, names)) for uid, names in accounts.items()}
        return Caller(Identity(str(claims["sub"]), projects), "ETD", renewable=claims.get("renewable") == "true")


def _refuse() -> NoReturn:
    raise Denied(403)


class UserinfoAuthenticator:
    """Asks the OIDC userinfo endpoint; a good token is remembered five minutes, a bad one never."""

    def __init__(self, url: str, account_keys: frozenset[str]) -> None:
        self._url = url
        self._account_keys = account_keys
        self._known: dict[str, tuple[Identity, float]] = {}

    async def __call__(self, token: str, /) -> Identity | None:
        """Return who the token is; None if the provider refuses it or does not say a name."""
        identity, until = self._known.get(token, (None, 0.0))
        if identity is not None and until > time.monotonic():
            return identity
        claims = await self._ask(token)
        identity = None if claims is None else identity_of(claims, self._account_keys)
        self._known.pop(token, None)
        if identity is not None:
            if len(self._known) >= _CACHE_SIZE:
                del self._known[next(iter(self._known))]
            self._known[token] = identity, time.monotonic() + _CACHE_S
        return identity

    async def _ask(self, token: str) -> dict[str, Any] | None:
        limit = aiohttp.ClientTimeout(total=_USERINFO_LIMIT_S)
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(self._url, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status in {400, 401, 403}:
                    return None
                if answer.status != 200:
                    raise Unavailable(f"The identity provider answers {answer.status}.")
                claims = await answer.json()
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise Unavailable("The identity provider does not answer.") from error
        return claims if isinstance(claims, dict) else None


def identity_of(claims: Mapping[str, Any], account_keys: frozenset[str]) -> Identity | None:
    """Return the identity in userinfo *claims*: ``UID=<username_attr>`` and the accounts of this site.

    ``hpc_infos_attribute`` is one entry or a list of entries ``account,key,project,person``.
    """
    names = _values(claims.get("username_attr"))
    if not names:
        return None
    projects: dict[str, tuple[str, ...]] = {}
    for entry in _values(claims.get("hpc_infos_attribute")):
        account, key, project, *_ = [*(part.strip() for part in entry.split(",")), "", "", ""]
        if account and key in account_keys:
            known = projects.setdefault(account, ())
            if project and project not in known:
                projects[account] = (*known, project)
    return Identity(f"UID={names[0]}", projects)


def _values(value: Any) -> list[str]:
    return [str(entry) for entry in (value if isinstance(value, list) else [value]) if entry]
