# SPDX-License-Identifier: BSD-3-Clause
"""Sends one notification of a job: one attempt, 30 seconds, signed with the server's key.

Called by :mod:`.engine` in its one scheduler task, so a receiver that hangs stops the whole site.
"""

from collections.abc import Mapping

import aiohttp

from jupyter_jsc.demo.unicore.tokens import ServerKey

_HEADERS = {"User-Agent": "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0)"}


class Notifier:
    """Delivers notifications."""

    def __init__(self, key: ServerKey, timeout_s: float) -> None:
        self._key = key
        self._limit = aiohttp.ClientTimeout(total=timeout_s)

    async def send(self, url: str, subject: str, body: Mapping[str, str]) -> str:
        """Return what the job's log says of the attempt to deliver *body* in the name of *subject*."""
        headers = _HEADERS | {"Authorization": f"Bearer {self._key.notification(subject)}"}
        try:
            async with aiohttp.ClientSession(timeout=self._limit, headers=_HEADERS) as session:
                async with session.post(url, json=dict(body), headers=headers, allow_redirects=False) as answer:
                    status, reason, target = answer.status, answer.reason, answer.headers.get("Location")
                if 300 <= status < 400 and target:
                    # The real sender follows with a GET that carries no credential, and calls that a success.
                    async with session.get(target, allow_redirects=False) as answer:
                        status, reason = answer.status, answer.reason
        except TimeoutError:
            return f"Could not notify {url}: java.util.concurrent.TimeoutException"
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return f"Could not notify {url}: {type(error).__name__}"
        return f"Notified {url}" if status < 400 else f"Could not notify {url}: [HTTP {status} {reason}]"
