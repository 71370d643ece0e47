# SPDX-License-Identifier: BSD-3-Clause
"""The receiver of UNICORE's notifications: verified, answered in milliseconds, passed on to the hub afterwards.

UNICORE/X delivers notifications and processes all jobs in one thread: a receiver that hangs stops the whole site. So
the handler only puts the message into a bounded queue; keys are fetched and hubs are told by one task of the
lifespan. A lost notice costs nothing but time: the hub asks by itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from cryptography import x509
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from pydantic import BaseModel

from jupyter_jsc.client import HubClient
from jupyter_jsc.errors import JSCError
from jupyter_jsc.wire import SiteNotice

log = structlog.get_logger()

LARGEST_BODY = 16 * 1024
_QUEUE = 2000
_KEY_AGE_S = 60.0
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_S = 60

Certificate = Callable[[str], Awaitable[bytes]]
"""Fetches the PEM certificate that signs a system's notifications; NotFound if there is no such system."""


class Message(BaseModel):
    """What UNICORE sends, as far as it is used; the job's address in it may name another host."""

    status: str = ""
    bssStatus: str = ""  # noqa: N815  UNICORE's name


@dataclass(frozen=True)
class Received:
    """A notification that waits to be verified and passed on."""

    system: str
    hub: str
    start_id: str
    token: str
    message: Message


@dataclass(frozen=True)
class Heard:
    """A site's driver heard that something about a start changed."""

    hub: str
    start_id: str


class Notifications:
    """The queue between UNICORE and the hubs."""

    def __init__(self, certificate: Certificate, hubs: Mapping[str, HubClient]) -> None:
        self._certificate = certificate
        self._hubs = hubs
        self._queue: asyncio.Queue[Received | Heard] = asyncio.Queue(_QUEUE)
        self._keys: dict[str, tuple[float, Key]] = {}
        self.dropped = 0
        """How many were dropped because the queue was full."""

    def accept(self, received: Received) -> None:
        """Queue a message, at once; the oldest makes room if the queue is full."""
        self._put(received)

    def heard(self, hub: str, start_id: str) -> None:
        """Queue that a site's driver itself heard of a change, at once; there is nothing to verify."""
        self._put(Heard(hub, start_id))

    def forget_keys(self) -> None:
        """Fetch every key anew when it is needed next; called when systems may have changed."""
        self._keys.clear()

    async def run(self) -> None:
        """Verify and pass on, for ever."""
        while True:
            received = await self._queue.get()
            try:
                await self._pass_on(received)
            except JSCError as error:
                log.warning("notification not passed on", start_id=received.start_id, reason=error.message)
            except Exception:  # the loop's outermost frame: one bad message must not end it
                log.exception("notification failed", start_id=received.start_id)

    def _put(self, item: Received | Heard) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(item)

    async def _pass_on(self, received: Received | Heard) -> None:
        hub = self._hubs.get(received.hub)
        if hub is None or not (isinstance(received, Heard) or await self._verified(received)):
            log.warning("notification refused", hub=received.hub, start_id=received.start_id)
            return
        said = "" if isinstance(received, Heard) else received.message.bssStatus or received.message.status
        await hub.notice(received.start_id, SiteNotice(code="site_spoke", text=said[:100]))

    async def _verified(self, received: Received) -> bool:
        """Tell whether the site's key signed the token; the key is fetched anew at most once a minute."""
        known = self._keys.get(received.system)
        if known is not None and verify(received.token, known[1]):
            return True
        if known is not None and time.monotonic() - known[0] < _KEY_AGE_S:
            return False
        key = public_key(await self._certificate(received.system))
        self._keys[received.system] = (time.monotonic(), key)
        return verify(received.token, key)


def public_key(pem: bytes) -> Key:
    """Return the public key of a PEM certificate; :class:`ValueError` if it is none or of another kind."""
    key = x509.load_pem_x509_certificate(pem).public_key()
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return kind.import_key(key)  # type: ignore[arg-type]
        except (TypeError, ValueError, AttributeError):
            continue
    raise ValueError("the certificate has a key of an unknown kind")


def verify(token: str, key: Key) -> bool:
    """Tell whether *token* is a living delegation token (``etd``) that *key* signed (UNICORE manual, "JWT")."""
    try:
        claims = jwt.decode(token, key, algorithms=_ALGORITHMS).claims
        jwt.JWTClaimsRegistry(leeway=_LEEWAY_S, exp={"essential": True}, iss={"essential": True}).validate(claims)
    except (JoseError, ValueError, TypeError):
        return False
    return claims.get("etd") == "true"
