# SPDX-License-Identifier: BSD-3-Clause
"""All that is known of the labs of a cluster: their pods and the events of these, followed live.

Asked by :mod:`.driver` without any request. Two managers see the same and say the same; one that has just started knows all
after one list. When the cluster has not been heard for a while, nothing is known: :func:`Labs.state` says ``unknown``.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog

from jupyter_jsc import names
from jupyter_jsc.errors import JSCError
from jupyter_jsc.sites import Tell
from jupyter_jsc.sites.kubernetes import happenings, read
from jupyter_jsc.sites.kubernetes.api import Api, Pause
from jupyter_jsc.sites.kubernetes.happenings import Happening
from jupyter_jsc.sites.kubernetes.mirror import Clock, Mirror
from jupyter_jsc.sites.kubernetes.objects import HUB, SELECTOR, START, Tree, is_of
from jupyter_jsc.wire import LabRef, LabState, State

log = structlog.get_logger()

STALE_S = 90.0
"""What was heard longer ago is not said any more."""
TAIL_BYTES = 8192
_REMEMBERED = 4000
"""So many pods that are gone, and labs that are missed, are remembered."""
_READERS = 4


class Pods:
    """The pods of all labs by their name, which is the lab's id; the last ones that are gone by their start's id."""

    def __init__(self, changed: Callable[[Tree], None]) -> None:
        self.present: dict[str, Tree] = {}
        self.gone: OrderedDict[str, Tree] = OrderedDict()
        self._changed = changed

    def listed(self, items: Iterable[Tree]) -> None:
        """Have these and no others."""
        before, self.present = self.present, {_name(pod): _slim(pod) for pod in items}
        for name, pod in before.items():
            if _uid(self.present.get(name, {})) != _uid(pod):
                self._bury(pod)
        for name, pod in self.present.items():
            if _version(before.get(name, {})) != _version(pod):
                self._changed(pod)

    def changed(self, tree: Tree) -> None:
        """Have this one."""
        before = self.present.get(_name(tree))
        self.present[_name(tree)] = pod = _slim(tree)
        if before is not None and _uid(before) != _uid(tree):
            self._bury(before)
        self._changed(pod)

    def deleted(self, tree: Tree) -> None:
        """Have it no more."""
        if _uid(self.present.get(_name(tree), {})) == _uid(tree):
            del self.present[_name(tree)]
        self._bury(_slim(tree))

    def _bury(self, pod: Tree) -> None:
        self.gone[_start(pod)] = pod
        while len(self.gone) > _REMEMBERED:
            self.gone.popitem(last=False)
        self._changed(pod)


class Told:
    """The events about pods, by the uid of the pod."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._by_pod: dict[str, dict[str, Happening]] = {}
        self._changed = changed

    def of(self, pod_uid: str) -> list[Happening]:
        """Return what is told of a pod, in order."""
        return happenings.in_order(self._by_pod.get(pod_uid, {}).values())

    def listed(self, items: Iterable[Tree]) -> None:
        """Have these and no others."""
        before, self._by_pod = self._by_pod, {}
        for tree in items:
            self._put(tree)
        for uid, told in self._by_pod.items():
            if before.get(uid) != told:
                self._changed(uid)

    def changed(self, tree: Tree) -> None:
        """Have this one."""
        self._changed(self._put(tree))

    def deleted(self, tree: Tree) -> None:
        """Have it no more: the server forgets events after an hour."""
        one = happenings.happening(tree)
        if (told := self._by_pod.get(one.pod_uid)) is not None:
            told.pop(_uid(tree), None)
            if not told:
                del self._by_pod[one.pod_uid]

    def _put(self, tree: Tree) -> str:
        one = happenings.happening(tree)
        self._by_pod.setdefault(one.pod_uid, {})[_uid(tree)] = one
        return one.pod_uid


class Labs:
    """What the cluster says of its labs. :meth:`run` follows it."""

    def __init__(self, api: Api, *, clock: Clock | None = None, pause: Pause = asyncio.sleep) -> None:
        self._api = api
        self._clock = clock or asyncio.get_running_loop().time
        self._pods = Pods(self._pod_changed)
        self._told = Told(self._told_changed)
        pods = {"labelSelector": SELECTOR}
        about_pods = {"fieldSelector": "involvedObject.kind=Pod"}
        self._of_pods = Mirror(api, "pods", pods, self._pods, clock=clock, pause=pause)
        self._of_events = Mirror(api, "events", about_pods, self._told, clock=clock, pause=pause)
        self._uids: dict[str, Tree] = {}
        self._said: dict[str, LabState] = {}
        self._tails: OrderedDict[str, str | None] = OrderedDict()
        self._to_read: asyncio.Queue[Tree] = asyncio.Queue()
        self._missed: OrderedDict[str, float] = OrderedDict()
        self._removed = asyncio.Event()
        self.tell: Tell | None = None
        """Called with hub and start id when something new is said of a lab."""

    async def run(self) -> None:
        """Follow the cluster, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._of_pods.run())
            tasks.create_task(self._of_events.run())
            for _ in range(_READERS):
                tasks.create_task(self._read_logs())

    def state(self, lab: LabRef, hub: str, pod_uid: str | None) -> LabState:
        """Return the state of one start, without asking anybody; *pod_uid* is its pod's if that is known."""
        if self.silence() is not None:
            return LabState(state=State.UNKNOWN, code="unavailable")
        pod = self._pods.present.get(lab.lab_id)
        if pod is not None and is_of(pod, hub, lab.lab_id, lab.start_id):
            self._missed.pop(lab.start_id, None)
            said = self._said.get(_uid(pod))
            return self._complete(pod, said if said and said.state is State.RUNNING else self._state(pod))
        pod = self._pods.gone.get(lab.start_id)
        if pod is not None and is_of(pod, hub, lab.lab_id, lab.start_id):
            return self._complete(pod, self._gone(pod))
        return self._unseen(lab, pod_uid)

    def silence(self) -> JSCError | str | None:
        """Return why nothing is known: the server's last trouble; None if all is well."""
        if self._of_pods.age_s() <= STALE_S:
            return None
        return self._of_pods.trouble or f"{self._api.label} has not answered yet."

    def trouble(self) -> JSCError | None:
        """Return what hinders from seeing the labs at the moment, though what was seen is not too old yet."""
        return self._of_pods.trouble

    def mute(self) -> JSCError | None:
        """Return what hinders from hearing of reasons and progress, without which labs are seen all the same."""
        return self._of_events.trouble

    async def until_gone(self, start_id: str, pod_uid: str, longest_s: float) -> None:
        """Return once the pod is known to be gone, or after *longest_s* seconds."""
        try:
            async with asyncio.timeout(longest_s):
                while _uid(self._pods.gone.get(start_id, {})) != pod_uid:
                    removed = self._removed
                    await removed.wait()
        except TimeoutError:
            pass

    def _state(self, pod: Tree) -> LabState:
        return read.state(pod, self._told.of(_uid(pod)), datetime.now(UTC))

    def _gone(self, pod: Tree) -> LabState:
        return read.gone(pod, self._told.of(_uid(pod)))

    def _unseen(self, lab: LabRef, pod_uid: str | None) -> LabState:
        """Return "ended" for a lab that a complete list, begun after it was missed first, does not have."""
        missed = self._missed.setdefault(lab.start_id, self._clock())
        while len(self._missed) > _REMEMBERED:
            self._missed.popitem(last=False)
        listed = self._of_pods.complete_since
        if listed is not None and listed > missed:
            return read.unseen(lab.lab_id, self._api.namespace, self._told.of(pod_uid) if pod_uid else [])
        self._of_pods.want_list()
        return LabState(state=State.STARTING, nodes=[names.service_host(lab.lab_id, self._api.namespace)])

    def _complete(self, pod: Tree, found: LabState) -> LabState:
        """Return *found* with the lab's last lines if it has ended; until they are read it has not."""
        if found.state is not State.ENDED or read.logged(pod) is None:
            return found
        tail = self._tail(pod)
        if tail is None:
            return LabState(state=State.RUNNING, nodes=found.nodes, history=found.history, ends=found.ends)
        return found.model_copy(update={"log_tail": tail})

    def _tail(self, pod: Tree) -> str | None:
        """Return the last lines of a lab that has ended; None while they are being read."""
        uid = _uid(pod)
        if uid not in self._tails:
            self._tails[uid] = None
            self._to_read.put_nowait(pod)
            while len(self._tails) > _REMEMBERED:
                self._tails.popitem(last=False)
        return self._tails[uid]

    async def _read_logs(self) -> None:
        while True:
            pod = await self._to_read.get()
            container, previous = read.logged(pod) or ("", False)
            try:
                tail = await self._api.log(_name(pod), container, TAIL_BYTES, previous=previous)
            except JSCError as error:
                log.info("last lines not read", pod=_name(pod), reason=error.message)
                tail = ""
            self._tails[_uid(pod)] = tail
            self._tell(pod)

    def _pod_changed(self, pod: Tree) -> None:
        uid = _uid(pod)
        present = self._pods.present.get(_name(pod)) is pod
        found = self._state(pod) if present else self._gone(pod)
        if found.state is State.ENDED and read.logged(pod) is not None:
            self._tail(pod)
        if present:
            self._uids[uid] = pod
        else:
            self._uids.pop(uid, None)
            self._removed.set()
            self._removed = asyncio.Event()
        if self._said.get(uid) != found:
            self._tell(pod)
        if present:
            self._said[uid] = found
        else:
            self._said.pop(uid, None)

    def _told_changed(self, pod_uid: str) -> None:
        if (pod := self._uids.get(pod_uid)) is not None:
            self._pod_changed(pod)

    def _tell(self, pod: Tree) -> None:
        labels = pod["metadata"].get("labels") or {}
        if self.tell is not None and START in labels and HUB in labels:
            self.tell(labels[HUB], labels[START])


def _slim(pod: Tree) -> Tree:
    """Return *pod* without who manages which of its fields, a third of its size."""
    return {**pod, "metadata": {key: value for key, value in pod["metadata"].items() if key != "managedFields"}}


def _name(tree: Tree) -> str:
    return str(tree["metadata"]["name"])


def _uid(tree: Tree) -> str:
    return str((tree.get("metadata") or {}).get("uid") or "")


def _start(pod: Tree) -> str:
    return str((pod["metadata"].get("labels") or {}).get(START) or "")


def _version(tree: Tree) -> str:
    return str((tree.get("metadata") or {}).get("resourceVersion") or "")
