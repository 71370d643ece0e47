# SPDX-License-Identifier: BSD-3-Clause
"""What the demo's identity provider remembers: people, sessions, codes and tokens, all bounded.

:class:`Provider` is ``app.state.provider`` of :func:`.identity.create_identity_provider`; tests change the world
through it. The protocol is in :mod:`.identity_grants` and :mod:`.identity`, the pages in :mod:`.identity_pages`; what
outlives the process in :mod:`.identity_memory`.
"""

import dataclasses
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from joserfc.jwk import RSAKey

from jupyter_jsc.demo.identity_claims import Claim, may_use_portal
from jupyter_jsc.demo.people import PEOPLE, PROVIDERS, Idp, Person

Value = TypeVar("Value")

CODE_S = 60.0
SESSION_S = 12 * 3600.0
_MOST_CODES = 1000
_MOST_SESSIONS = 5000
_MOST_LOGINS = 5000
_MOST_TOKENS = 20000
_MOST_TRIES = 5
_PAUSE_S = 60.0


@dataclass(frozen=True)
class IdentitySettings:
    """How the provider is set up."""

    issuer_base: str
    """Its address without a slash at the end, e.g. ``http://localhost:8000``; the issuer is ``<base>/oauth2``."""
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    """Where the client may be called back; compared character by character."""
    people: tuple[Person, ...] = PEOPLE
    access_token_s: int = 300
    refresh_token_s: int = 12 * 3600
    rotate_refresh: bool = False
    """Whether each refresh gives a new refresh token and a used one ends the login, as at Keycloak."""

    memory: Path | None = None
    """File in which logins outlive the process; none: they do not."""

    @property
    def issuer(self) -> str:
        """The issuer of tokens."""
        return f"{self.issuer_base}/oauth2"


class Store(Generic[Value]):
    """Values that end by themselves after some seconds; beyond *most*, the oldest go first."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._entries: dict[str, tuple[float, Value]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> dict[str, tuple[float, Value]]:
        """Return all values whose time is not over, each with its end, oldest first."""
        now = self._clock()
        return {key: entry for key, entry in self._entries.items() if entry[0] > now}

    def put(self, key: str, value: Value, seconds: float) -> None:
        """Keep *value* for *seconds*."""
        self._entries[key] = (self._clock() + seconds, value)
        while len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def get(self, key: str) -> Value | None:
        """Return the value, or None if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        return entry[1]

    def pop(self, key: str) -> Value | None:
        """Return the value as :meth:`get` does, and forget it."""
        value = self.get(key)
        self._entries.pop(key, None)
        return value

    def drop(self, doomed: Callable[[Value], bool]) -> None:
        """Forget all values that *doomed* picks."""
        self._entries = {key: entry for key, entry in self._entries.items() if not doomed(entry[1])}


@dataclass(frozen=True)
class Session:
    """A browser in which somebody has logged in."""

    id: str = field(repr=False)
    name: str
    idp: Idp


@dataclass(frozen=True)
class Code:
    """An authorisation code that was given out and not used yet. The methods are Authlib's contract."""

    session: Session
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        """Return the redirect URI of the authorisation request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the scopes that were granted."""
        return self.scope


@dataclass
class Login:
    """What one code was exchanged for. The methods are Authlib's contract."""

    session: Session
    scope: str
    nonce: str | None
    refresh_token: str = field(repr=False)
    """The refresh token that is good now."""
    killed: bool = False
    """Whether every token of the login is dead."""

    def check_client(self, _client: object) -> bool:
        """There is one client only."""
        return True

    def get_scope(self) -> str:
        """Return the scopes that were granted."""
        return self.scope


@dataclass(frozen=True)
class AccessToken:
    """An access token with what userinfo tells by it: a snapshot of the time when it was issued."""

    login: Login
    scope: str
    claims: Mapping[str, Claim]
    issued: int
    expires: int


class Provider:
    """The provider's memory. A test changes people and ends tokens here."""

    def __init__(self, settings: IdentitySettings) -> None:
        self.settings = settings
        self.key = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=False)
        self.people = {person.name: person for person in settings.people}
        self.sessions: Store[Session] = Store(_MOST_SESSIONS, self.now)
        self.codes: Store[Code] = Store(_MOST_CODES, self.now)
        self.logins: Store[Login] = Store(_MOST_LOGINS, self.now)
        """Logins by refresh token, with rotation also by those that were used."""
        self.access_tokens: Store[AccessToken] = Store(_MOST_TOKENS, self.now)
        self.refreshes = 0
        """How many refreshes were asked for; tests count them."""
        self._tries: dict[str, list[float]] = {}
        self._passed_s = 0.0

    def now(self) -> float:
        """Return the provider's time, epoch seconds."""
        return time.time() + self._passed_s

    def pass_time(self, seconds: float) -> None:
        """Let everything be *seconds* older."""
        self._passed_s += seconds

    def change(self, name: str, **fields: Any) -> None:
        """Change fields of a person, e.g. ``accounts``, ``groups`` or ``disabled``; told at the next login or refresh."""
        self.people[name] = dataclasses.replace(self.people[name], **fields)

    def end_refresh_tokens(self, name: str) -> None:
        """End the refresh tokens of a person, as an administrator may; access tokens live on."""
        self.logins.drop(lambda login: login.session.name == name)

    def standing(self, name: str) -> Literal["good", "disabled", "outside"]:
        """Return whether a person may have tokens; ``outside`` is who left the users' group."""
        person = self.people[name]
        if person.disabled:
            return "disabled"
        return "good" if may_use_portal(person) else "outside"

    def access_token(self, token: str) -> AccessToken | None:
        """Return an access token that is good, or None."""
        found = self.access_tokens.get(token)
        return None if found is None or found.login.killed else found

    def login(self, refresh_token: str) -> Login | None:
        """Return the login whose refresh token this is now, or None."""
        found = self.logins.get(refresh_token)
        return found if found and not found.killed and found.refresh_token == refresh_token else None

    def open_session(self, name: str, idp: Idp) -> Session:
        """Return a new session of a browser in which *name* has just logged in."""
        session = Session(secrets.token_urlsafe(32), name, idp)
        self.sessions.put(session.id, session, SESSION_S)
        return session

    def pause_s(self, name: str) -> float:
        """Return for how many seconds no password of *name* is looked at; 0 if it is."""
        tries = self._tries.get(self._counted_as(name), [])
        return max(0.0, tries[0] + _PAUSE_S - self.now()) if len(tries) >= _MOST_TRIES else 0.0

    def wrong_with(self, name: str, password: str, idp: Idp) -> str | None:
        """Return None if this is the person's password and provider, otherwise a sentence for them."""
        if self.pause_s(name) > 0:
            return "Too many wrong passwords. Please try again in a minute."
        person = self.people.get(name)
        if person is None or not hmac.compare_digest(person.password.encode(), password.encode()):
            counted, now = self._counted_as(name), self.now()
            recent = [then for then in self._tries.get(counted, []) if then + _PAUSE_S > now]
            self._tries[counted] = [*recent, now]
            return "The user name or the password is wrong."
        self._tries.pop(name, None)
        if person.idp != idp:
            other = PROVIDERS[person.idp]
            return f"{name} does not belong to {PROVIDERS[idp]}. Please cancel and log in with {other}."
        if person.disabled:
            return "This account is disabled. Please ask the support team."
        return None

    def _counted_as(self, name: str) -> str:
        """Return under which name wrong passwords are counted; all unknown names are one."""
        return name if name in self.people else ""
