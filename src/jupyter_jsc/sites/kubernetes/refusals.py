# SPDX-License-Identifier: BSD-3-Clause
"""An answer of the API server that is no success → one of our errors, with a sentence for the user. Pure.

Called by :mod:`.api`. What a Status says is read for its pattern and quoted only where it names limits; it is cut, and goes
to operators as a detail.
"""

import json
import re
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp

from jupyter_jsc.errors import Conflict, JSCError, NotFound, SiteRefused, SiteUnavailable

_LONGEST = 256
_LONGEST_WAIT_S = 60.0


class Expired(SiteUnavailable):
    """What was asked to go on from is forgotten (410): list again."""


_NO_RIGHT = re.compile(
    r"User \"(?P<who>[^\"]{0,200})\" cannot (?P<verb>\w+) resource \"(?P<what>[\w./-]+)\""
    r"(?: in API group \"[^\"]*\")?(?: in the namespace \"(?P<where>[\w-]+)\")?"
)
_QUOTA = re.compile(
    r"exceeded quota: (?P<quota>[\w.-]+), requested: (?P<asked>.*?), used: (?P<used>.*?), limited: (?P<limit>.*)"
)
_WEBHOOK = re.compile(
    r"admission webhook \"(?P<name>[^\"]{1,100})\" denied the request(?: without explanation)?:? ?(?P<why>.*)"
)
_POLICY = re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']{1,100})'.*?denied request: (?P<why>.*)")
_RESOURCES = {
    "memory": "memory",
    "cpu": "processor cores",
    "pods": "labs",
    "gpu": "GPUs",
    "storage": "storage for homes",
    "persistentvolumeclaims": "homes",
    "services": "labs",
    "secrets": "labs",
}


def refusal(label: str, status: int, body: bytes, retry_after: str | None = None) -> JSCError:
    """Return the error that an answer with this HTTP *status* means."""
    text = _message(body)
    said = text[:_LONGEST]
    wait_s = _seconds(retry_after)
    if status == 401:
        return SiteUnavailable(
            f"{label} does not accept the manager's own credential. Its operators must renew it.", status=status
        )
    if status == 403:
        return _forbidden(label, text)
    if status == 404:
        return _not_there(label, text)
    if status == 409:
        return Conflict(f"{label} has changed this at the same time.", said=said)
    if status == 410:
        return Expired(f"{label} does not remember that far back.", said=said)
    if status == 429:
        return SiteUnavailable(
            f"{label} has too much to do at the moment.", retry_after_s=wait_s or 1.0, status=status, said=said
        )
    if status in {400, 405, 413, 415, 422}:
        return _by_policy(label, text) or _invalid(label, status, said)
    return SiteUnavailable(
        f"{label} does not answer properly at the moment.", retry_after_s=wait_s, status=status, said=said
    )


def no_answer(label: str, error: Exception) -> SiteUnavailable:
    """Return the error for a call that got no answer at all."""
    if isinstance(error, TimeoutError):
        return SiteUnavailable(f"{label} does not answer in time.", cause=type(error).__name__)
    cause = getattr(error, "certificate_error", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = "has expired" if cause.verify_code == 10 else "is not one that the manager trusts"
        return SiteUnavailable(
            f"The certificate of {label} {why}. Its operators must mend that.", cause=cause.verify_message
        )
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return SiteUnavailable(f"{label} does not speak TLS as it should. Its operators must mend that.")
    return SiteUnavailable(f"{label} does not answer at the moment.", cause=type(error).__name__)


def _forbidden(label: str, said: str) -> JSCError:
    """Return what a 403 means: a right of the manager, a quota, or a policy about what may run."""
    if found := _NO_RIGHT.search(said):
        place = f" in {found['where']}" if found["where"] else ""
        right = f"{found['verb']} {found['what']}{place}"
        return SiteUnavailable(
            f"The manager lacks a right on {label}: {right}. Its operators must grant it.",
            right=right,
            who=found["who"],
        )
    return _by_policy(label, said) or SiteRefused(
        f"{label} does not allow this lab. Ask its support.", said=said[:_LONGEST]
    )


def _by_policy(label: str, said: str) -> SiteRefused | None:
    """Return the refusal of a quota or a policy; None if it is neither."""
    for pattern, say in _REFUSED:
        if found := pattern.search(said):
            return SiteRefused(say(label, found), said=said[:_LONGEST])
    return None


def _quota(label: str, found: re.Match[str]) -> str:
    what = next((words for key, words in _RESOURCES.items() if key in found["asked"]), "resources")
    asked, limit = found["asked"][:80], found["limit"][:80]
    return (
        f"There is not enough {what} left for this on {label}: its quota has {limit}, the lab asks for {asked}. "
        "Stop other labs or choose less, or ask its support."
    )


def _by_webhook(label: str, found: re.Match[str]) -> str:
    why = found["why"].strip().rstrip(".")[:200]
    return f"A policy of {label} ({found['name']}) refuses this lab{': ' if why else ''}{why}. Choose another image or ask its support."


_REFUSED: tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], str]], ...] = (
    (_QUOTA, _quota),
    (
        re.compile(r"violates PodSecurity \"(?P<level>[\w:.-]+)\""),
        lambda label, found: (
            f"The security rules of {label} ({found['level']}) refuse how this lab would run. "
            "Its operators must correct the option; please choose another one."
        ),
    ),
    (_WEBHOOK, _by_webhook),
    (_POLICY, _by_webhook),
    (
        re.compile(r"(?P<bound>maximum|minimum) (?P<what>[\w./-]+) usage per \w+ is (?P<limit>[\w.]+)"),
        lambda label, found: (
            f"{label} allows a lab {'at most' if found['bound'] == 'maximum' else 'at least'} "
            f"{found['limit']} of {found['what']}. Choose {'less' if found['bound'] == 'maximum' else 'more'}."
        ),
    ),
    (
        re.compile(r"is being terminated"),
        lambda label, _: f"The place for labs on {label} is being removed. Ask its support.",
    ),
)


def _not_there(label: str, said: str) -> JSCError:
    if found := re.search(r"namespaces \"([\w-]+)\" not found", said):
        return SiteUnavailable(f"{label} has no namespace {found[1]}. Its operators must create it.")
    if not re.search(r"\" not found$", said):
        # Not the API server's word about an object: a proxy in front of it, or an API that is still starting.
        return SiteUnavailable(f"{label} does not answer properly at the moment.", status=404, said=said[:_LONGEST])
    return NotFound(f"{label} does not know this.")


def _invalid(label: str, status: int, said: str) -> JSCError:
    return SiteRefused(
        f"{label} does not take what this lab is made of. Its operators must correct the option.",
        status=status,
        said=said,
    )


def _message(body: bytes) -> str:
    """Return what a Status says, cut; of any other body nothing, for it may hold anything."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(document, dict) or document.get("kind") != "Status":
        return ""
    return str(document.get("message") or "")[:4000]


def _seconds(text: str | None) -> float | None:
    """Return a delay in seconds (RFC 9110 §10.2.3), at most a minute; a date is not waited for."""
    return min(float(text), _LONGEST_WAIT_S) if text and text.isdecimal() else None
