# SPDX-License-Identifier: BSD-3-Clause
"""The driver against the demo's cluster in the test process, whose pods run in name only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from jupyter_jsc import names, wire
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import System
from jupyter_jsc.demo.kubernetes import Cluster, ClusterSettings, Namespace, Node, User, create_cluster
from jupyter_jsc.demo.kubernetes.store import Key
from jupyter_jsc.sites.kubernetes import KubernetesSite, access
from tests.config import small
from tests.demo.kubernetes.conftest import serve

Tree = dict[str, Any]
SPACE, TOKEN, IMAGE = "userlabs", "the-token", "registry.example.org/lab:1"
OTHER_IMAGE = "registry.example.org/other:1"


def system(**changes: object) -> System:
    """The cluster as the portal's configuration describes it."""
    amount = {"label": "x", "minimum": 1, "maximum": 100000, "default": 1}
    resources = dict.fromkeys(("cpus", "memory", "home", "runtime"), amount)
    return System.model_validate(
        {
            "label": "CLOUD",
            "kind": "kubernetes",
            "manager": "k8smgr",
            "kubernetes": {"namespace": SPACE},
            "jump_hosts": {"ssh": {"host": "127.30.0.1", "host_key": "ssh-ed25519 AAAA", "user": "ljupyter"}},
            "lab_hosts": [f"svc-*.{SPACE}.svc"],
            "partitions": {"small": {"kind": "interactive", "resources": resources}},
        }
        | changes
    )


def configuration(place: System, **container: object) -> Configuration:
    """A portal with this system and one option that runs there."""
    images = {"base": {"label": "Base", "image": IMAGE}, "other": {"label": "Other", "image": OTHER_IMAGE}}
    own = {"lab": {"label": "JupyterLab", "container": {"images": images, **container}}, "hpc": {"label": "Not here"}}
    managers = {"k8smgr": {"url": "http://127.0.0.1:2"}}
    return Configuration.model_validate(small.tree(systems={"cloud": place}, options=own, managers=managers))


def start_lab(user: str = "alice", *, hub: str = "demo", start_id: str = "", **options: object) -> wire.StartLab:
    """A small lab, with something secret."""
    resources = {"cpus": 1, "memory": 1, "home": 2, "runtime": 30}
    usual = {"system": "cloud", "option": "lab", "partition": "small", "resources": resources}
    return wire.StartLab(
        lab_id=names.lab_id(hub, user, "lab"),
        start_id=start_id or names.new_start_id(),
        hub=hub,
        user=user,
        options=wire.Options.model_validate(usual | options),
        env={"JUPYTERHUB_USER": user},
        secrets={"JUPYTERHUB_API_TOKEN": SecretStr("s3cr3t-api-token")},
        events_url="http://127.0.0.1:9/events",
        started_url="http://127.0.0.1:9/started",
        hub_urls=["http://jhub.k8smgr.svc:8081"],
    )


def reference(lab: wire.StartLab, answer: wire.StartAnswer | None = None, **changes: object) -> wire.LabRef:
    """How the manager names the lab to the driver."""
    ref = wire.LabRef(
        lab_id=lab.lab_id,
        start_id=lab.start_id,
        system="cloud",
        handle=answer.handle if answer else None,
        hub=lab.hub,
    )
    return ref.model_copy(update=changes)


@dataclass
class Place:
    """A cluster, and how a driver reaches it."""

    cluster: Cluster
    url: str
    folder: Path
    told: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def driver(self, token: str = TOKEN, **parts: Any) -> AsyncIterator[KubernetesSite]:
        """A driver that has heard the cluster."""
        place = parts.pop("system", None) or system()
        portal = parts.pop("configuration", None) or configuration(place)
        granted = await access(kubeconfig(self.folder, self.url, token))
        made = KubernetesSite("cloud", place, portal, granted, **parts)
        made.on_change(lambda hub, start_id: self.told.append((hub, start_id)))
        async with made as driver:
            yield driver

    def objects(self, *plurals: str) -> list[Tree]:
        """What is in the labs' namespace."""
        plurals = plurals or ("pods", "secrets", "services", "persistentvolumeclaims")
        return [tree for plural in plurals for tree in self.cluster.store.all(plural, SPACE)]

    def get(self, plural: str, name: str) -> Tree | None:
        return self.cluster.store.get(Key(plural, SPACE, name))

    def put(self, plural: str, name: str, tree: Tree) -> Tree:
        """Store something as if somebody had made or changed it."""
        return self.cluster.store.put(Key(plural, SPACE, name), tree)

    def asked(self) -> int:
        """How many requests there were, watches left out."""
        return sum(count for (verb, _), count in self.cluster.requests.items() if verb != "watch")

    async def until(self, holds: Callable[[], object]) -> None:
        """Return once *holds*, looking at each change of the cluster."""
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.01)


def kubeconfig(folder: Path, url: str, token: str = TOKEN, **cluster: object) -> Path:
    """A kubeconfig for the cluster."""
    path = folder / f"kubeconfig-{names.new_start_id()}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "it", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def state(driver: KubernetesSite, lab: wire.LabRef) -> wire.LabState:
    return (await driver.poll([lab]))[lab.start_id]


async def until_state(
    driver: KubernetesSite, lab: wire.LabRef, holds: Callable[[wire.LabState], object] | str
) -> wire.LabState:
    """Return the lab's state once it is so, or once *holds* of it."""
    wanted = (lambda found: found.state == holds) if isinstance(holds, str) else holds
    found = None
    try:
        async with asyncio.timeout(60):
            while not wanted(found := await state(driver, lab)):
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"never so; last {found!r}")
    return found


def codes(events: Iterable[wire.Event]) -> list[str]:
    return [event.code for event in events]


Make = Callable[..., contextlib.AbstractAsyncContextManager[Place]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a cluster with other settings."""

    @contextlib.asynccontextmanager
    async def made(**changes: Any) -> AsyncIterator[Place]:
        usual = ClusterSettings(
            scratch=tmp_path / "cluster",
            tokens={TOKEN: User("system:serviceaccount:k8smgr:k8smgr"), "reader": User("reader", {})},
            namespaces=(Namespace(SPACE),),
            nodes=(Node("node1"), Node("node2")),
            processes=False,
            pull_back_off_s=0.02,
            restart_back_off_s=0.02,
            scheduling_retry_s=0.1,
            mount_retry_s=0.05,
        )
        cluster = create_cluster(replace(usual, **changes))
        async with serve(cluster) as url:
            yield Place(cluster, url, tmp_path)

    return made


@pytest.fixture
async def place(make: Make) -> AsyncIterator[Place]:
    async with make() as found:
        yield found


@pytest.fixture
async def driver(place: Place) -> AsyncIterator[KubernetesSite]:
    async with place.driver() as driver:
        yield driver
