# SPDX-License-Identifier: BSD-3-Clause
"""The server's key: its certificate, the tokens that it issues, and the check of those that come back.

Called by :mod:`.auth` (verify), :mod:`.root` (issue) and :mod:`.notify` (sign a notification).
"""

import base64
import datetime as dt
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

NOTIFICATION_S = 300


class ServerKey:
    """An RSA key with a self-signed certificate; kept in *folder*, so that tokens outlive a restart."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "server.pem"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(_generate(name))
        pem = path.read_bytes()
        self._key = RSAKey.import_key(pem[: pem.index(b"-----BEGIN CERTIFICATE")])
        certificate = x509.load_pem_x509_certificate(pem)
        self.dn = certificate.subject.rfc4514_string()
        self.expires = certificate.not_valid_after_utc
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def notification(self, subject: str) -> str:
        """Return the token of a notification: a delegation for *subject* that lives 300 seconds."""
        now = int(time.time())
        return self._sign({"iss": self.dn, "sub": subject, "etd": "true", "exp": now + NOTIFICATION_S, "iat": now})

    def delegation(
        self, subject: str, projects: Mapping[str, tuple[str, ...]], *, lifetime_s: int, limited: bool, renewable: bool
    ) -> str:
        """Return a token that acts for *subject* with the first of these accounts."""
        now = int(time.time())
        uid = next(iter(projects))
        claims = {"iss": self.dn, "sub": subject, "etd": "true", "exp": now + lifetime_s, "iat": now}
        claims |= {"uid": uid, "accounts": {account: list(names) for account, names in projects.items()}}
        claims |= {"aud": self.dn} if limited else {}
        return self._sign(claims | {"renewable": "true"} if renewable else claims)

    def verify(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a delegation token; None if it is not ours, not valid or for somebody else."""
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None
        ours = claims.get("iss") == self.dn and claims.get("aud", self.dn) == self.dn
        lives = isinstance(claims.get("exp"), int) and claims["exp"] > time.time()
        return claims if ours and lives else None

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256"}, claims, self._key, default_type=None)


def is_delegation(token: str) -> bool:
    """Tell whether *token* looks like a JWT with ``etd``, ``sub`` and ``iss``; nothing is verified here."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return False
    return isinstance(claims, dict) and claims.get("etd") == "true" and {"sub", "iss"} <= claims.keys()


def _generate(name: str) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name.from_rfc4514_string(f"CN={name},O=Demo,C=EU")
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
