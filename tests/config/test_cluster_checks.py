# SPDX-License-Identifier: BSD-3-Clause
"""Clusters, containers and manifests: each mistake with its place and what to do, and never an exception."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc.config import checks, cluster_checks
from jupyter_jsc.config.clusters import Privilege
from jupyter_jsc.config.findings import value_at
from jupyter_jsc.config.manifests import default_template
from tests.config import full

CLOUD, FILE = "systems/cloud.yaml", "containers.yaml"
Edit = tuple[str, str, str]
PLACE = "options.archive.container.manifests"

ROWS: dict[str, tuple[list[Edit], str]] = {
    "queue in a cluster": (
        [(CLOUD, "kind: interactive", "kind: interactive\n        queue: batch")],
        "systems/cloud.yaml:24: systems.cloud.partitions.shared.queue: A cluster has no `queue`.",
    ),
    "batch in a cluster": (
        [(CLOUD, "kind: interactive", "kind: batch")],
        "systems/cloud.yaml:23: systems.cloud.partitions.shared.kind: "
        "A cluster has no queue, so its partitions are interactive. Allowed: kind: interactive.",
    ),
    "resource of a batch system": (
        [(CLOUD, "          cpus:", "          nodes: {label: N, minimum: 1, maximum: 1, default: 1}\n          cpus:")],
        "systems/cloud.yaml:25: systems.cloud.partitions.shared.resources.nodes: `nodes` is not known to clusters, and no "
        "manifest refers to it, so it goes nowhere. Allowed: cpus, gpus, home, memory, runtime, or one with `environment`.",
    ),
    "resource of a batch system on a login node": (
        [("systems/juwels.yaml", "login_node: jwlogin*", "resources: {nodes: {label: N, minimum: 1, maximum: 1, default: 1}}")],
        "systems/juwels.yaml:45: systems.juwels.partitions.login.resources.nodes: An interactive partition has no "
        "resources of a batch system, so `nodes` goes nowhere. Allowed: one with `environment`.",
    ),
    "labs that no tunnel may reach": (
        [(CLOUD, '"*.labs.svc"', '"*.userlabs.svc"')],
        "systems/cloud.yaml:18: systems.cloud.lab_hosts: None of these fits the Services of labs in the namespace `labs`. "
        "Allowed: svc-*.labs.svc.",
    ),
    "way back that nobody takes": (
        [(CLOUD, 'hub_urls: ["http://jhub.k8smgr.svc:8081", direct]', "hub_urls: [direct]")],
        "systems/cloud.yaml:16: systems.cloud.jump_hosts.cloud.hub_forward: "
        "No lab takes this way back to the hub, as `hub_urls` does not name it.",
    ),
    "option without images": (
        [("options.yaml", "systems: [juwels, jureca]\n      partitions", "systems: [juwels, cloud]\n      partitions")],
        "options.yaml:21: options.jupyterlab-4.3.allowed.systems[1]: "
        "`jupyterlab-4.3` has no `container`, so it cannot run in the cluster cloud.",
    ),
    "size that a partition has not": (
        [(CLOUD, "          home: {", "          scratch2: {"), (FILE, "storage: ${home}", "storage: ${scratch2}")],
        "containers.yaml:3: options.jupyterlab-4.6.container: "
        "A volume needs its size `${home}`, and cloud shared has no such resource.",
    ),
    "second owner": (
        [(FILE, "        - apiVersion: v1\n          kind: Service", "        - {apiVersion: v1, kind: Secret}\n        - apiVersion: v1\n          kind: Service")],
        f"containers.yaml:18: {PLACE}[1]: This is a second Secret; a lab has exactly one and owns all the rest.",
    ),
    "kind": (
        [(FILE, "kind: PersistentVolumeClaim", "kind: PersistentVolumeclaims")],
        f"containers.yaml:23: {PLACE}[2].kind: A lab has no `PersistentVolumeclaims`. "
        "Allowed: Pod, Service, Secret, PersistentVolumeClaim. Did you mean PersistentVolumeClaim?",
    ),
    "reference": (
        [(FILE, "memory: ${memory}", "memory: ${memry}")],
        f"containers.yaml:52: {PLACE}[3].spec.containers[0].resources.limits.memory: `${{memry}}` stands for nothing here. "
        "Allowed: ${image}, ${secret}, ${service_host}, ${claim.home}, ${cpus}, ${gpus}, ${home}, ${memory}, ${runtime}, "
        "${scratch}. Did you mean ${memory}?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edits", "said"), ROWS.values(), ids=ROWS)
def test_a_mistake_is_named(tmp_path: Path, edits: list[Edit], said: str) -> None:
    """With file, line and path, and what is allowed."""
    assert said in [str(mistake) for mistake in full.refused(full.copy(tmp_path, *edits))]


def tree() -> dict[str, Any]:
    """The full configuration, in which the cluster allows nothing and one option is made of the portal's manifests."""
    raw = full.tree()
    raw["systems"]["cloud"]["kubernetes"]["allow"] = []
    del raw["systems"]["cloud"]["partitions"]["shared"]["resources"]["scratch"]
    raw["options"]["archive"]["container"]["manifests"] = copy.deepcopy([dict(item) for item in default_template()])
    return raw


def found(change: Callable[[dict[str, Any], dict[str, Any]], object], allow: list[str] | None = None) -> list[str]:
    """What is said of the manifests after *change* of pod and container: paths inside of them."""
    raw = tree()
    raw["systems"]["cloud"]["kubernetes"]["allow"] = allow or []
    manifests = raw["options"]["archive"]["container"]["manifests"]
    pod = next(manifest for manifest in manifests if manifest["kind"] == "Pod")
    change(pod["spec"], pod["spec"]["containers"][0])
    return [".".join(map(str, finding.path[4:])) for finding in checks.contradictions(raw)]


PRIVILEGES: list[tuple[Privilege, Callable[[Any, Any], object], str]] = [
    (Privilege.HOST_NETWORK, lambda pod, _: pod.update(hostNetwork=True), "3.spec.hostNetwork"),
    (Privilege.HOST_PID, lambda pod, _: pod.update(hostPID=True), "3.spec.hostPID"),
    (Privilege.HOST_IPC, lambda pod, _: pod.update(hostIPC="yes"), "3.spec.hostIPC"),
    (
        Privilege.HOST_PATH,
        lambda pod, _: pod["volumes"].append({"name": "x", "hostPath": {}}),
        "3.spec.volumes.3.hostPath",
    ),
    (
        Privilege.HOST_PORT,
        lambda _, lab: lab["ports"][0].update(hostPort=80),
        "3.spec.containers.0.ports.0.hostPort",
    ),
    (Privilege.SERVICE_ACCOUNT, lambda pod, _: pod.update(serviceAccountName="admin"), "3.spec.serviceAccountName"),
    (Privilege.SERVICE_ACCOUNT, lambda pod, _: pod.pop("automountServiceAccountToken"), "3.spec"),
    (
        Privilege.SERVICE_ACCOUNT,
        lambda pod, _: pod["volumes"].append({"name": "x", "projected": {"sources": [{"serviceAccountToken": {}}]}}),
        "3.spec.volumes.3.projected.sources.0.serviceAccountToken",
    ),
    (
        Privilege.PRIVILEGED,
        lambda _, lab: lab["securityContext"].update(privileged=True),
        "3.spec.containers.0.securityContext.privileged",
    ),
    (
        Privilege.PRIVILEGED,
        lambda _, lab: lab["securityContext"].update(allowPrivilegeEscalation=True),
        "3.spec.containers.0.securityContext.allowPrivilegeEscalation",
    ),
    (
        Privilege.CAPABILITIES,
        lambda _, lab: lab["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "3.spec.containers.0.securityContext.capabilities.add",
    ),
    (
        Privilege.CAPABILITIES,
        lambda _, lab: lab["securityContext"]["capabilities"].update(drop=["KILL"]),
        "3.spec.containers.0.securityContext.capabilities.drop",
    ),
    (Privilege.ROOT, lambda pod, _: pod["securityContext"].update(runAsUser=0), "3.spec.securityContext.runAsUser"),
    (
        Privilege.ROOT,
        lambda pod, _: pod["securityContext"].pop("runAsNonRoot"),
        "3.spec.containers.0.securityContext",
    ),
    (
        Privilege.ROOT,
        lambda _, lab: lab["securityContext"].update(runAsNonRoot=False),
        "3.spec.containers.0.securityContext.runAsNonRoot",
    ),
]


@pytest.mark.parametrize(("privilege", "change", "path"), PRIVILEGES, ids=[f"{row[0]} {row[2]}" for row in PRIVILEGES])
def test_what_weakens_the_border_needs_every_cluster_to_allow_it(
    privilege: Privilege, change: Callable[[Any, Any], object], path: str
) -> None:
    """Refused at its place; passed where the cluster allows just this."""
    assert found(change) == [path]
    assert found(change, [other for other in Privilege if other is not privilege]) == [path]
    assert found(change, [privilege]) == []


def test_an_init_container_is_looked_at_too() -> None:
    """It runs on the same node."""
    init = {"name": "init", "image": "x", "securityContext": {"privileged": True}}
    paths = found(lambda pod, _: pod.update(initContainers=[init]))
    assert "3.spec.initContainers.0.securityContext.privileged" in paths


FORBIDDEN: list[tuple[str, Callable[[Any, Any], object], str]] = [
    ("secret in env", lambda _, lab: lab["env"].insert(0, {"name": "S", "value": "${secret}"}), "3.spec.containers.0.env.0.value"),
    (
        "secret by envFrom",
        lambda _, lab: lab.update(envFrom=[{"secretRef": {"name": "${secret}"}}]),
        "3.spec.containers.0.envFrom.0.secretRef.name",
    ),
    (
        "secret by secretKeyRef",
        lambda _, lab: lab["env"].insert(0, {"name": "S", "valueFrom": {"secretKeyRef": {"name": "${secret}"}}}),
        "3.spec.containers.0.env.0.valueFrom.secretKeyRef.name",
    ),
    ("argument", lambda _, lab: lab.update(args=["${cpus}"]), "3.spec.containers.0.args.0"),
    ("user id", lambda pod, _: pod["securityContext"].update(runAsGroup="${gpus}"), "3.spec.securityContext.runAsGroup"),
    ("inside a text", lambda _, lab: lab.update(workingDir="/jsc/${cpus}"), "3.spec.containers.0.workingDir"),
    ("key", lambda _, lab: lab["resources"]["limits"].update({"${gpus}": 1}), "3.spec.containers.0.resources.limits.${gpus}"),
    ("claim", lambda pod, _: pod["volumes"][1]["persistentVolumeClaim"].update(claimName="${claim.hom}"), "3.spec.volumes.1.persistentVolumeClaim.claimName"),
    ("no secret", lambda _, lab: lab["volumeMounts"][0].update(mountPath="/etc"), "3.spec.containers"),
    ("no image", lambda _, lab: lab.update(image="fixed"), "3.spec.containers"),
    ("no container", lambda pod, _: pod.update(containers=[]), "3"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "path"), [row[1:] for row in FORBIDDEN], ids=[row[0] for row in FORBIDDEN])
def test_what_would_make_no_lab_is_refused(change: Callable[[Any, Any], object], path: str) -> None:
    """References in a place where they must not be, and a pod that could not do what a lab does."""
    assert found(change) == [path]


OF_THE_PORTAL: list[tuple[int, tuple[str, ...], object]] = [
    (0, ("data",), {"a": "Yg=="}),
    (0, ("stringData",), {"a": "b"}),
    (0, ("immutable",), True),
    (0, ("type",), "kubernetes.io/tls"),
    (0, ("metadata",), {"name": "mine"}),
    (1, ("spec", "type"), "LoadBalancer"),
    (1, ("spec", "ports"), []),
    (1, ("spec", "selector"), {}),
    (1, ("spec", "externalIPs"), ["10.0.0.1"]),
    (2, ("metadata", "namespace"), "kube-system"),
    (2, ("metadata", "name"), "Home"),
    (2, ("metadata", "finalizers"), ["x/y"]),
    (3, ("metadata",), {"ownerReferences": []}),
    (3, ("metadata",), {"labels": {"jupyter-jsc/lab": "other"}}),
    (3, ("metadata",), {"labels": {"app.kubernetes.io/managed-by": "me"}}),
    (3, ("status",), {}),
    (3, ("apiVersion",), "v2"),
]


@pytest.mark.parametrize(("number", "path", "value"), OF_THE_PORTAL)
def test_what_the_portal_sets_stands_in_no_manifest(number: int, path: tuple[str, ...], value: object) -> None:
    """Nor do other kinds of Services and Secrets, and what would keep an object from going."""
    raw = tree()
    manifest = raw["options"]["archive"]["container"]["manifests"][number]
    value_at(manifest, path[:-1])[path[-1]] = value
    assert {finding.path[4] for finding in checks.contradictions(raw)} == {number} or path == ("metadata", "name")
    assert len(list(checks.contradictions(raw))) >= 1


def test_own_labels_are_allowed() -> None:
    """A site's own labels and annotations choose its nodes and its accounting."""
    raw = tree()
    metadata = {"labels": {"centre.example/group": "x"}, "annotations": {"centre.example/note": "y"}}
    raw["options"]["archive"]["container"]["manifests"][3]["metadata"] = metadata
    assert list(checks.contradictions(raw)) == []


SCALARS = st.none() | st.booleans() | st.integers(-1, 5) | st.sampled_from(
    ["", "Pod", "Secret", "v1", "${image}", "${secret}", "${", "${claim.home}", "ClusterIP", "/jsc", "Unconfined", "labs"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["apiVersion", "kind", "metadata", "name", "labels", "spec", "type", "containers", "initContainers", "volumes", "image",
     "secret", "secretName", "securityContext", "capabilities", "add", "drop", "ports", "hostPort", "env", "value",
     "volumeMounts", "mountPath", "projected", "sources", "resources", "requests", "seccompProfile", "${x}", "hostNetwork"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@settings(deadline=None)
@given(ANYTHING, st.integers(0, 3))
def test_manifests_of_any_form_raise_nothing(anything: Any, number: int) -> None:
    """Whatever stands there, in the place of a manifest, of its parts, or of all of them."""
    raw = tree()
    container = raw["options"]["archive"]["container"]
    manifest = container["manifests"][number]
    for key in [*manifest]:
        container["manifests"][number] = {**manifest, key: anything}
        list(cluster_checks.manifests_are_labs(raw))
    container["manifests"][number] = anything
    list(cluster_checks.manifests_are_labs(raw))
    container["manifests"] = anything
    list(cluster_checks.manifests_are_labs(raw))


@settings(deadline=None)
@given(ANYTHING, st.sampled_from(["kubernetes", "partitions", "jump_hosts", "hub_urls", "lab_hosts", "kind"]))
def test_clusters_of_any_form_raise_nothing(anything: Any, part: str) -> None:
    """Other checks name what has a wrong form."""
    raw = tree()
    raw["systems"]["cloud"][part] = anything
    list(checks.contradictions(raw))
    raw["systems"]["cloud"]["partitions"] = {"shared": {"resources": {"cpus": anything}, "kind": anything}}
    list(checks.contradictions(raw))
