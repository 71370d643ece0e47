# SPDX-License-Identifier: BSD-3-Clause
"""What an answer of the identity provider's token endpoint means, and when to ask again. Pure parts.

Providers agree on hardly any code (Unity says ``invalid_request`` for a dead refresh token, Keycloak
``unauthorized_client`` for a wrong secret), so answers are judged by class. Called by :mod:`.authenticator` for
logins and refreshes alike.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jupyter_jsc.errors import Unavailable

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0
_OUR_FAULT = frozenset({"invalid_client", "unauthorized_client"})
_DEAD = frozenset({"invalid_grant", "invalid_request"})


class Verdict(StrEnum):
    """The class of an answer."""

    GOOD = "good"
    """It holds an access token."""
    DEAD = "dead"
    """The code or refresh token is good no more: a login is needed."""
    DENIED = "denied"
    """The user may not use the portal (any more)."""
    DISABLED = "disabled"
    """A server error that names a disabled user: as Unity answers; it might also be a real error once."""
    OURS = "ours"
    """The provider refuses the portal itself: nobody is logged out for that."""
    LATER = "later"
    """Nothing was found out; ask again later."""


def judge(status: int, document: Mapping[str, Any]) -> Verdict:
    """Return what an answer of the token endpoint with this HTTP status and this JSON means."""
    error = str(document.get("error"))
    if status == 200:
        token = document.get("access_token")
        return Verdict.GOOD if isinstance(token, str) and token else Verdict.LATER
    if status >= 500:
        return Verdict.DISABLED if "disabled" in str(document.get("error_description")) else Verdict.LATER
    if status in {408, 429}:
        return Verdict.LATER
    if status == 401 or error in _OUR_FAULT:
        return Verdict.OURS
    if status == 400 and error in _DEAD:
        return Verdict.DEAD
    if status == 403 and error == "access_denied":
        return Verdict.DENIED
    return Verdict.OURS


def read_json(body: bytes | None) -> dict[str, Any]:
    """Return the JSON object in *body*; an empty one for anything else."""
    try:
        document = json.loads(body or b"")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def expiry(tokens: Mapping[str, Any]) -> float | None:
    """Return when an access token that was issued just now ends, epoch seconds; None: the provider does not say."""
    try:
        seconds = float(tokens["expires_in"])
    except (KeyError, TypeError, ValueError):
        return None
    return time.time() + seconds if math.isfinite(seconds) else None


def seconds_left(state: Mapping[str, Any]) -> float:
    """Return for how long the access token in *state* is good; infinity if nobody said when it ends."""
    expires = state.get("expires_at")
    return math.inf if expires is None else float(expires) - time.time()


@dataclass
class Patience:
    """How one user's refreshes fare: pauses grow with failures in a row, from 5 s up to 60 s."""

    failures: int = 0
    called_disabled: int = 0
    until: float = 0.0
    message: str = ""

    def check(self, now: float) -> None:
        """Raise the last failure again while the pause lasts; *now* is the monotonic clock."""
        if now < self.until:
            raise Unavailable(self.message)

    def failed(self, now: float, message: str) -> None:
        """Begin a pause, unless one lasts."""
        if now >= self.until:
            self.until = now + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self.failures, 10))
            self.failures += 1
            self.message = message

    def disabled(self, most: int) -> bool:
        """Count that the provider called the user disabled; return whether that is often enough to believe it."""
        self.called_disabled += 1
        return self.called_disabled >= most
