# SPDX-License-Identifier: BSD-3-Clause
"""What the demo's identity provider remembers: people, codes, logins and their tokens. In memory, all bounded.

One :class:`Login` is one consent of one person: it holds the refresh token and the access tokens made from it. Claims
are a snapshot of the moment a token was made, as Unity's are.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from jupyter_jsc.demo.people import Person

Value = TypeVar("Value")

_MOST = 5000
CODE_S = 30

SCOPE_CLAIMS = {
    "openid": (),
    "profile": ("name", "email"),
    "username": ("username_attr",),
    "hpc_infos": ("hpc_infos_attribute",),
    "eduperson_entitlement": ("eduperson_entitlement", "groups"),
    "authenticator": ("used_authenticator_attr",),
    "offline_access": (),
    "single-logout": (),
}


@dataclass
class Code:
    """An authorisation code, good once and for half a minute. Has the methods that Authlib asks for."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    person: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    made: float = field(default_factory=time.monotonic)

    def get_redirect_uri(self) -> str:
        """Return the redirect URI of the authorisation request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the granted scope."""
        return self.scope


@dataclass
class Login:
    """One login of one person at one client."""

    person: str
    scope: str
    refresh_token: str
    ends: float
    spent: set[str] = field(default_factory=set)
    """Refresh tokens that were rotated away."""
    nonce: str | None = None

    def get_scope(self) -> str:
        """Return the granted scope; called by Authlib."""
        return self.scope

    def check_client(self, client: Any) -> bool:
        """Tell whether the login is this client's; there is one client. Called by Authlib."""
        _ = client
        return True


@dataclass(frozen=True)
class AccessToken:
    """An access token with the claims of the moment it was made."""

    login: str
    ends: float
    claims: dict[str, Any]


class Store:
    """People and what they were given."""

    def __init__(self, people: tuple[Person, ...]) -> None:
        self.people = {person.name: person for person in people}
        self.codes: OrderedDict[str, Code] = OrderedDict()
        self.logins: OrderedDict[str, Login] = OrderedDict()
        self.access: OrderedDict[str, AccessToken] = OrderedDict()
        self.sessions: OrderedDict[str, str] = OrderedDict()

    def change(self, name: str, **values: Any) -> None:
        """Change a person (``disabled``, ``accounts``, ``groups`` …); shown with the next token."""
        self.people[name] = replace(self.people[name], **values)

    def end_login(self, refresh_token: str) -> None:
        """End a login with all its access tokens."""
        self.logins.pop(refresh_token, None)
        for token in [token for token, known in self.access.items() if known.login == refresh_token]:
            del self.access[token]

    def claims(self, person: Person, scope: str, authenticator: str) -> dict[str, Any]:
        """Return the claims that *scope* shows: one value as a string, several as a list, none not at all."""
        everything: dict[str, tuple[str, ...]] = {
            "name": (person.full_name,),
            "email": (person.email,),
            "username_attr": (person.name,),
            "hpc_infos_attribute": person.accounts,
            "eduperson_entitlement": person.entitlements,
            "groups": person.groups,
            "used_authenticator_attr": (authenticator,),
        }
        shown = {claim for name in scope.split() for claim in SCOPE_CLAIMS[name]}
        values = {claim: everything[claim] for claim in everything if claim in shown and everything[claim]}
        return {"sub": person.subject} | {claim: list(v) if len(v) > 1 else v[0] for claim, v in values.items()}


def token() -> str:
    """Return an opaque token of 43 characters."""
    return secrets.token_urlsafe(32)


def remember(table: "OrderedDict[str, Value]", key: str, value: Value) -> Value:
    """Put *value* into *table*; the oldest entry makes room."""
    table[key] = value
    while len(table) > _MOST:
        table.popitem(last=False)
    return value
