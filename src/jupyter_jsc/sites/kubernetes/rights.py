# SPDX-License-Identifier: BSD-3-Clause
"""What the manager may do in a cluster, compared with what it needs. Asked by :mod:`.driver` for its health."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from jupyter_jsc.errors import JSCError, NotFound
from jupyter_jsc.sites.kubernetes.api import Api
from jupyter_jsc.sites.kubernetes.mirror import Clock
from jupyter_jsc.sites.kubernetes.objects import Tree

NEEDED: Mapping[str, Sequence[str]] = {
    "pods": ("get", "list", "watch", "create", "delete"),
    "pods/log": ("get",),
    "secrets": ("get", "create", "delete"),
    "services": ("create", "patch"),
    "persistentvolumeclaims": ("get", "create", "patch"),
    "events": ("list", "watch"),
}
"""Verbs by resource of the core group, in the namespace of the labs. Applying something new needs both patch and create."""
_AGE_S = 60.0


class Rights:
    """Remembers the answer for a minute."""

    def __init__(self, api: Api, *, clock: Clock | None = None) -> None:
        self._api = api
        self._clock = clock or asyncio.get_running_loop().time
        self._asked_at = float("-inf")
        self._missing = ""

    async def missing(self) -> str:
        """Return a sentence that names what is missing; empty if nothing is, or if the cluster does not tell."""
        if self._clock() - self._asked_at > _AGE_S:
            self._asked_at = self._clock()
            try:
                self._missing = await self._ask()
            except JSCError:
                self._missing = ""
        return self._missing

    async def _ask(self) -> str:
        """Ask; for the namespace itself only where that is allowed: without any rights in it, it may as well be missing."""
        rules = await self._api.rights()
        if any(_grants(rule, "namespaces", "get") for rule in rules):
            try:
                await self._api.place()
            except NotFound:
                return f"{self._api.label} has no namespace {self._api.namespace}."
        return sentence(self._api.label, list(lacking(rules)))


def lacking(rules: Sequence[Tree]) -> Iterator[str]:
    """Yield each right that is needed and that no rule grants to all objects."""
    for resource, verbs in NEEDED.items():
        for verb in verbs:
            if not any(_grants(rule, resource, verb) for rule in rules):
                yield f"{verb} {resource}"


def sentence(label: str, missing: Sequence[str]) -> str:
    """Return what operators read; empty if nothing is missing."""
    return f"The manager lacks rights on {label}: {', '.join(missing)}." if missing else ""


def _grants(rule: Tree, resource: str, verb: str) -> bool:
    wanted = (("apiGroups", ""), ("resources", resource), ("verbs", verb))
    return not rule.get("resourceNames") and all({value, "*"} & set(rule.get(name) or ()) for name, value in wanted)
