# SPDX-License-Identifier: BSD-3-Clause
"""How a lab reaches the portal: which way, and what it says there. Standard library only, Python 3.9 or newer.

Travels with the job beside ``launcher.py``. A lab without a route to the hub's usual address may have others, e.g. the
way back that TunnelMgr keeps open; the configuration says which, and in which order (``hub_urls``).
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING or __package__:
    from jupyter_jsc.lab import prepare
    from jupyter_jsc.lab.prepare import Failed, say
else:  # in a job: the file beside this one
    import prepare
    from prepare import Failed, say

REQUEST_S = 10.0  # limit of one request to the hub
STARTED_S = 75.0  # limit of the request that makes the hub ask the manager, and that the site, for the allocation
WAY_S = 5.0  # limit of looking whether a way leads to the hub
PAUSE_S = 30.0  # longest pause between two attempts to reach the hub
LARGEST_ANSWER = 65536  # bytes that are read of who answers there
DIRECT = "direct"  # in place of a way: the hub's usual address
_BROWSERS = ("JUPYTERHUB_PUBLIC_", "JUPYTERHUB_HOST", "JUPYTERHUB_OAUTH_CALLBACK_URL", "JUPYTERHUB_SERVICE_URL")


def own_base(env: dict[str, str]) -> tuple[str, str]:
    """Return scheme, host and port of the hub's usual address, and the path of its API there."""
    url = urlsplit(env.get("JUPYTERHUB_API_URL", ""))
    return f"{url.scheme}://{url.netloc}", url.path


def moved(url: str, own: str, base: str) -> str:
    """Return *url* with *base* in place of *own*; as it is if it leads elsewhere."""
    return base + url[len(own) :] if url == own or url.startswith(f"{own}/") else url


def internal(name: str) -> bool:
    """Tell whether a variable may have an address that the lab itself goes to, not one for browsers or its own."""
    return not name.startswith(_BROWSERS)


class Hub:
    """The portal, spoken to with the lab's own token.

    Neither proxies of the environment nor redirects are followed: the server talks to the hub without them, so
    that a hub behind them would be of no use to it, and the token goes to nobody else.
    """

    def __init__(self, token: str, events_url: str, started_url: str) -> None:
        self._token, self._events_url, self._started_url = token, events_url, started_url
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects).open

    def find(
        self, ways: Sequence[str], env: dict[str, str], pause: Callable[[float], object] = time.sleep
    ) -> dict[str, str]:
        """Take the first of *ways* that a hub answers on, as long as that takes; return *env* as it is on that way.

        Without ways the hub's usual address is the only one, and nothing is asked.
        """
        if not ways:
            return env
        own, path = own_base(env)
        bases = [own if way == DIRECT else way.rstrip("/") for way in ways]
        for attempt in itertools.count():
            for base in bases:
                trouble = self._trouble(base + path)
                if not trouble:
                    say(f"The portal is reached at {base}.")
                    self._events_url = moved(self._events_url, own, base)
                    self._started_url = moved(self._started_url, own, base)
                    return {name: moved(value, own, base) if internal(name) else value for name, value in env.items()}
                if attempt == 0:
                    say(f"The portal is not reached at {base} ({trouble}).")
            if attempt == 0:
                say("No way leads to the portal yet; trying again.")
            pause(back_off(attempt))
        raise AssertionError("the loop ends by returning or raising")

    def event(
        self, code: str, progress: int, text: str, pause: Callable[[float], object] = time.sleep, details: str = ""
    ) -> float:
        """Post an event until the hub has it; return the seconds that took. A refused event is only reported."""
        began = time.monotonic()
        body = {"code": code, "progress": progress, "text": text[: prepare.TEXT], "details": details}
        try:
            self._post(self._events_url, body, pause, REQUEST_S)
        except Failed as error:
            say(f"event {code}: {error}")
        return time.monotonic() - began

    def started(self, host: str, port: int, pause: Callable[[float], object]) -> None:
        """Post where the lab listens until the hub has it; :class:`Failed` if the hub refuses."""
        self._post(self._started_url, {"host": host, "port": port}, pause, STARTED_S)

    def last_event(self, code: str, text: str) -> None:
        """Post an event once, whether the hub hears it or not."""
        self._attempt(self._events_url, {"code": code, "progress": 100, "text": text}, REQUEST_S / 2)

    def _post(self, url: str, body: dict[str, Any], pause: Callable[[float], object], limit_s: float) -> None:
        for attempt in itertools.count():
            answer = self._attempt(url, body, limit_s)
            if answer in range(200, 300):
                return
            if answer in range(400, 500) and answer not in {408, 429}:
                raise Failed(f"The portal refuses this lab (HTTP status {answer}): its start is over or replaced.")
            if attempt == 0:
                say(f"The portal does not answer yet ({answer}); trying again.")
            pause(back_off(attempt))

    def _trouble(self, url: str) -> str:
        """Return why no JupyterHub answers there, empty if one does; the token is not shown to whoever it is."""
        try:
            with self._open(url, timeout=WAY_S) as response:
                answer = json.loads(response.read(LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP status {error.code}"
        except (OSError, http.client.HTTPException) as error:
            return str(getattr(error, "reason", type(error).__name__))
        except (ValueError, RecursionError):
            return "not the answer of a JupyterHub"
        is_hub = isinstance(answer, dict) and isinstance(answer.get("version"), str)
        return "" if is_hub else "not the answer of a JupyterHub"

    def _attempt(self, url: str, body: dict[str, Any], limit_s: float) -> int | str:
        """Return the HTTP status, or the name of what went wrong."""
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        try:
            with self._open(request, timeout=limit_s) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return int(error.code)
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            return str(getattr(error, "reason", type(error).__name__))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def back_off(attempt: int) -> float:
    """Return the pause after failed attempt number *attempt*, in seconds: doubling, jittered, capped."""
    return min(PAUSE_S, 0.25 * 2.0 ** min(attempt, 20)) * random.uniform(0.5, 1)
