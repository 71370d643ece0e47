# SPDX-License-Identifier: BSD-3-Clause
"""The driver: starts, polls and stops labs as pods of a cluster. Keeps nothing but caches.

A lab's Secret claims its name: it is created, never applied, so of two starts one gets it and no hub touches another's. The
pod is created too, for a pod can't be changed; Service and volume claims are applied, so a repeated start completes or
leaves them. A pod that the cluster would refuse is found out before a home is made for it. Called by ``manager.app``.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog
from pydantic import SecretStr

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import System
from jupyter_jsc.errors import Conflict, JSCError, NotFound, SiteRefused, SiteUnavailable
from jupyter_jsc.sites import Tell
from jupyter_jsc.sites.kubernetes import objects, read, rights
from jupyter_jsc.sites.kubernetes.api import Access, Api, Pause
from jupyter_jsc.sites.kubernetes.mirror import Clock
from jupyter_jsc.sites.kubernetes.objects import Tree, hub_label, is_of
from jupyter_jsc.sites.kubernetes.watch import TAIL_BYTES, Labs
from jupyter_jsc.wire import Handle, LabRef, LabState, StartAnswer, StartLab, SystemHealth

log = structlog.get_logger()

_CLAIM_TRIES = 3
_APPLY_TRIES = 3
_GONE_LOOKS_S = (3.0, 7.0, 15.0, 15.0)
"""How long the end of a pod is waited for between looks: longer than the usual time to end, shorter than a hub waits."""


class KubernetesSite:
    """One cluster. An async context manager."""

    def __init__(
        self,
        name: str,
        system: System,
        configuration: Configuration,
        access: Access,
        *,
        clock: Clock | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        if system.kubernetes is None:
            raise ValueError(f"system {name} is no Kubernetes cluster")
        self.name = name
        self._system = system
        self._configuration = configuration
        self._api = Api(system.label, access, system.kubernetes.namespace, pause=pause)
        self._labs = Labs(self._api, clock=clock, pause=pause)
        self._rights = rights.Rights(self._api, clock=clock)
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._api.open()
        self._following = asyncio.create_task(self._labs.run(), name=f"follow {self.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._api.close()

    def on_change(self, tell: Tell) -> None:
        """Have *tell* called when the cluster says something new of a lab."""
        self._labs.tell = tell

    async def start(self, lab: StartLab, credential: SecretStr | None) -> StartAnswer:
        """Return the handle of the lab's pod: the one of this start if there is one already, else a new one.

        Raises :class:`InvalidRequest`, :class:`Conflict`, :class:`SiteRefused` and :class:`SiteUnavailable`; after the last,
        the same request again completes what is there. After a refusal nothing is there. *credential* is not looked at.
        """
        _ = credential
        made = objects.objects(lab, self._system, self._configuration)
        secret_uid = await self._claim(made.secret, lab)
        try:
            wanted = objects.owned(made.pod, secret_uid)
            service = objects.owned(made.service, secret_uid)
            checks = [self._would_take(wanted)] if made.claims else []
            await _all(*checks, self._apply("services", service))
            await _all(*map(self._apply_claim, made.claims))
            pod = await self._create_pod(wanted, lab)
        except (SiteRefused, Conflict):
            await self._end(lab.lab_id, lab.hub, lab.start_id, prove=False)
            raise
        path = f"/api/v1/namespaces/{self._api.namespace}/pods/{lab.lab_id}"
        return StartAnswer(handle=Handle(url=f"{path}#{_uid(pod)}"))

    async def poll(self, labs: Sequence[LabRef]) -> Mapping[str, LabState]:
        """Return the states by start id, from what the cluster was seen to have; asks nothing."""
        return {lab.start_id: self._labs.state(lab, lab.hub or "", _pod_uid(lab)) for lab in labs}

    async def stop(self, lab: LabRef) -> None:
        """Delete the pod of this start and what belongs to it; done when the pod is gone, not merely on its way.

        Raises :class:`SiteUnavailable` if that is not proven; the caller tries again.
        """
        await self._end(lab.lab_id, hub_label(lab.hub), lab.start_id, prove=True)

    async def log(self, lab: LabRef) -> str:
        """Return the last lines of the lab's output."""
        pod = await self._api.get("pods", lab.lab_id)
        if not is_of(pod, hub_label(lab.hub), lab.lab_id, lab.start_id):
            raise NotFound(f"{self._system.label} does not know this lab any more.")
        container, previous = read.logged(pod) or (str(pod["spec"]["containers"][0]["name"]), False)
        return await self._api.log(lab.lab_id, container, TAIL_BYTES, previous=previous)

    async def health(self) -> SystemHealth:
        """Return whether the cluster is heard and lets us do what is needed."""
        if silence := self._labs.silence() or self._labs.trouble():
            return SystemHealth(available=False, text=_sentence(silence))
        missing = await self._rights.missing()
        mute = self._labs.mute()
        return SystemHealth(available=not missing, text=missing or (mute.message if mute else ""))

    async def _claim(self, secret: Tree, lab: StartLab) -> str:
        """Return the uid of this start's Secret, new or there already; an older start of the lab is ended first."""
        for _ in range(_CLAIM_TRIES):
            with contextlib.suppress(Conflict):
                return _uid(await self._api.create("secrets", secret))
            with contextlib.suppress(NotFound):
                there = await self._api.metadata("secrets", lab.lab_id)
                if is_of(there, lab.hub, lab.lab_id, lab.start_id):
                    return _uid(there)
                await self._end(lab.lab_id, lab.hub, self._older(there, lab), prove=True)
        raise SiteUnavailable(
            f"{self._system.label} has not let go of an earlier start of this lab yet.", retry_after_s=5
        )

    async def _would_take(self, pod: Tree) -> None:
        """Raise the cluster's refusal of a pod, if there is one, before anything is made that lasts."""
        with contextlib.suppress(Conflict):
            await self._api.create("pods", pod, only_check=True)

    async def _create_pod(self, pod: Tree, lab: StartLab) -> Tree:
        """Return this start's pod, new or there already; one of an older start is ended first."""
        for _ in range(_CLAIM_TRIES):
            with contextlib.suppress(Conflict):
                return await self._api.create("pods", pod)
            with contextlib.suppress(NotFound):
                there = await self._api.get("pods", lab.lab_id)
                if is_of(there, lab.hub, lab.lab_id, lab.start_id):
                    return there
                self._older(there, lab)
                await self._remove_pod(there, prove=True)
        raise SiteUnavailable(
            f"{self._system.label} has not let go of an earlier start of this lab yet.", retry_after_s=5
        )

    def _older(self, there: Tree, lab: StartLab) -> str:
        """Return the start that an object belongs to; :class:`Conflict` if it is not this hub's lab."""
        found = (there["metadata"].get("labels") or {}).get(objects.START)
        if not is_of(there, lab.hub, lab.lab_id) or not found:
            raise Conflict(
                f"Something else on {self._system.label} has the name of this lab. Ask the portal's support."
            )
        return str(found)

    async def _apply_claim(self, claim: Tree) -> None:
        """Apply a claim; one that is there and can't be made like it, such as a smaller one, stays as it is."""
        try:
            await self._apply("persistentvolumeclaims", claim)
        except SiteRefused:
            name = claim["metadata"]["name"]
            try:
                there = await self._api.get("persistentvolumeclaims", name)
            except NotFound:
                there = {}
            ours = (there.get("metadata", {}).get("labels") or {}).get(objects.HUB)
            if ours != claim["metadata"]["labels"][objects.HUB]:
                raise
            log.info("volume claim stays as it is", system=self.name, claim=name)

    async def _apply(self, kind: str, tree: Tree) -> None:
        """Apply an object; of two that create it at the same time, one has to ask again."""
        for tries_left in reversed(range(_APPLY_TRIES)):
            try:
                await self._api.apply(kind, tree)
                return
            except Conflict as error:
                if not tries_left:
                    raise SiteUnavailable(error.message, retry_after_s=1) from error

    async def _end(self, lab_id: str, hub: str, start_id: str, *, prove: bool) -> None:
        """Delete pod and Secret of a start, if they are this hub's; with *prove*, return when the pod is gone."""
        secret_uid = None
        with contextlib.suppress(NotFound):
            pod = await self._api.get("pods", lab_id)
            if is_of(pod, hub, lab_id, start_id):
                secret_uid = next((owner["uid"] for owner in pod["metadata"].get("ownerReferences") or []), None)
                await self._remove_pod(pod, prove=prove)
        with contextlib.suppress(NotFound, Conflict):
            if secret_uid is None:
                secret = await self._api.metadata("secrets", lab_id)
                secret_uid = _uid(secret) if is_of(secret, hub, lab_id, start_id) else None
            if secret_uid is not None:
                await self._api.delete("secrets", lab_id, secret_uid)

    async def _remove_pod(self, pod: Tree, *, prove: bool) -> None:
        """Delete a pod; with *prove*, return when there is none of its uid, or raise :class:`SiteUnavailable`."""
        name, uid = str(pod["metadata"]["name"]), _uid(pod)
        with contextlib.suppress(NotFound, Conflict):
            await self._api.delete("pods", name, uid)
        if not prove:
            return
        start_id = str((pod["metadata"].get("labels") or {}).get(objects.START))
        for longest_s in _GONE_LOOKS_S:
            await self._labs.until_gone(start_id, uid, longest_s)
            try:
                if _uid(await self._api.get("pods", name)) != uid:
                    return
            except NotFound:
                return
        raise SiteUnavailable(f"{self._system.label} has not confirmed yet that the lab has ended.", retry_after_s=10)


async def _all(*steps: Awaitable[object]) -> None:
    """Have steps done that don't depend on each other, all of them; raise a refusal before what time may mend."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in sorted(failures, key=lambda failure: not isinstance(failure, SiteRefused | Conflict)):
        raise failure


def _pod_uid(lab: LabRef) -> str | None:
    """Return the uid of the lab's pod by the handle, which is the pod's path and uid."""
    return lab.handle.url.partition("#")[2] or None if lab.handle else None


def _uid(tree: Tree) -> str:
    return str((tree.get("metadata") or {}).get("uid") or "")


def _sentence(trouble: JSCError | str) -> str:
    return trouble if isinstance(trouble, str) else trouble.message
