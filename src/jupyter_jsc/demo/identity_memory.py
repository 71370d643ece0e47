# SPDX-License-Identifier: BSD-3-Clause
"""The logins of the demo's identity provider in a file, so that its tokens outlive a restart as a real provider's do.

The file is written before a new token leaves the provider. Called by :mod:`.identity`; what is remembered beside logins
(browsers' sessions, codes, wrong passwords) ends with the process.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from jupyter_jsc.demo.identity_claims import Claim
from jupyter_jsc.demo.identity_state import AccessToken, Login, Provider

log = structlog.get_logger()


@dataclass(frozen=True)
class _Access:
    """An access token as the file has it; ``login`` is its place in the list."""

    login: int
    ends: float
    scope: str
    claims: Mapping[str, Claim]
    issued: int
    expires: int


@dataclass(frozen=True)
class _File:
    logins: list[Login]
    refresh_tokens: dict[str, tuple[int, float]]
    """The place of its login, and when the token ends, epoch seconds."""
    access_tokens: dict[str, _Access]


_FILE = TypeAdapter(_File)


class Memory:
    """The file of one provider; without a path nothing is kept."""

    def __init__(self, provider: Provider, path: Path | None) -> None:
        self._provider, self._path = provider, path
        self._writing = asyncio.Lock()

    def recall(self) -> None:
        """Have the provider know what the file knows; one that cannot be read is no more than a line in the log."""
        if self._path is None:
            return
        try:
            found = _FILE.validate_json(self._path.read_bytes())
            _take(found, self._provider)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, IndexError) as error:  # the message of a validation would show tokens
            log.warning("the provider's logins cannot be read", path=str(self._path), error=type(error).__name__)

    async def keep(self) -> None:
        """Have the file know what the provider knows."""
        if self._path is None:
            return
        async with self._writing:
            content = _FILE.dump_json(_of(self._provider))
            try:
                await asyncio.to_thread(_write, self._path, content)
            except OSError as error:
                log.warning("the provider's logins cannot be written", path=str(self._path), error=str(error))


def _of(provider: Provider) -> _File:
    logins: dict[int, Login] = {}
    refresh_tokens = {}
    for token, (ends, login) in provider.logins.entries().items():
        logins[id(login)] = login
        refresh_tokens[token] = (id(login), ends)
    access_tokens = provider.access_tokens.entries()
    logins |= {id(found.login): found.login for _, found in access_tokens.values()}
    places = {key: place for place, key in enumerate(logins)}
    return _File(
        list(logins.values()),
        {token: (places[key], ends) for token, (key, ends) in refresh_tokens.items()},
        {
            token: _Access(places[id(found.login)], ends, found.scope, found.claims, found.issued, found.expires)
            for token, (ends, found) in access_tokens.items()
        },
    )


def _take(found: _File, provider: Provider) -> None:
    """Have *provider* know the tokens that have not ended, of people that it still has."""
    logins = {token: (found.logins[place], ends) for token, (place, ends) in found.refresh_tokens.items()}
    access_tokens = {
        token: (AccessToken(found.logins[kept.login], kept.scope, kept.claims, kept.issued, kept.expires), kept.ends)
        for token, kept in found.access_tokens.items()
    }
    now = provider.now()
    for token, (login, ends) in logins.items():
        if login.session.name in provider.people:
            provider.logins.put(token, login, ends - now)
    for token, (record, ends) in access_tokens.items():
        if record.login.session.name in provider.people:
            provider.access_tokens.put(token, record, ends - now)


def _write(path: Path, content: bytes) -> None:
    """Put *content* in the place of the file, whole and private."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:  # a cancellation too must leave no half a file behind
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
