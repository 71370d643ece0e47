# SPDX-License-Identifier: BSD-3-Clause
"""The chart's network policies: a table of who may talk to whom, computed from what is rendered."""

import ipaddress

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jupyter_jsc.sites.kubernetes import objects
from tests.charts.helm import CHART, HELM, NAMESPACE, Tree, needed, one, pods, rendered, template
from tests.charts.policies import Endpoint, allowed, table

GIT, FILES, TWO = (CHART / "ci" / f"{name}.yaml" for name in ("git-ingress", "files-loadbalancer", "two-hubs"))
RENDERED = {path: rendered(path) for path in (GIT, FILES, TWO)} if HELM else {}
PORTS = (22, 53, 80, 443, 2049, 2222, 6443, 8003, 8005, 8081, 8082, 8443)


def policies(path: object) -> list[Tree]:
    return [tree for tree in RENDERED[path] if tree["kind"] == "NetworkPolicy"]


def lab(name: str, hub: str, address: str, namespace: str) -> Endpoint:
    labels = objects.labels(hub, f"lab-{name}", "start")
    return Endpoint(name, address, namespace, labels)


class World:
    """A cluster with two labs of one hub and one of another, and what is around it."""

    def __init__(self, path: object, namespace: str = "userlabs", dns: tuple[str, Tree] | None = None) -> None:
        of = {name: pod["metadata"]["labels"] for name, pod in pods(RENDERED[path]).items()}
        where, labels = dns or ("kube-system", {"k8s-app": "kube-dns"})
        self.lab = lab("lab", "jsc", "10.244.1.1", namespace)
        self.neighbour = lab("neighbour", "jsc", "10.244.1.2", namespace)
        self.other = lab("lab of another hub", "JSC_test.2", "10.244.2.1", namespace)
        self.stray = Endpoint("pod without a hub", "10.244.2.9", namespace, {"app": "x"})
        self.ssh = Endpoint("ssh", "10.244.1.3", NAMESPACE, of["ssh"])
        self.k8smgr = Endpoint("k8smgr", "10.244.1.4", NAMESPACE, of["k8smgr"])
        self.ours = [self.lab, self.neighbour, self.other, self.stray, self.ssh, self.k8smgr]
        self.around = [
            Endpoint("dns", "10.244.1.5", where, labels),
            Endpoint("api", "10.200.0.1"),
            Endpoint("node", "10.200.0.2"),
            Endpoint("metadata", "169.254.169.254"),
            Endpoint("web", "203.0.113.9"),
            Endpoint("storage", "192.0.2.20"),
            Endpoint("stranger", "10.244.2.2", "default", {"app": "x"}),
        ]

    def said(self, policies: list[Tree]) -> dict[tuple[str, str], set[int]]:
        """Which ports are open, by source and target; only pairs where one is ours."""
        found: dict[tuple[str, str], set[int]] = {}
        everybody = [*self.ours, *self.around]
        pairs = [*table(policies, self.ours, everybody, PORTS), *table(policies, self.around, self.ours, PORTS)]
        for source, target, port in pairs:
            found.setdefault((source, target), set()).add(port)
        return found


@needed
def test_who_may_talk_to_whom() -> None:
    """Deny by default: a lab reaches DNS, its hub and what the site allows, and is reached from the SSH service alone."""
    world = World(GIT)
    wanted: dict[tuple[str, str], set[int]] = {}
    for name in ("lab", "neighbour", "lab of another hub", "pod without a hub"):
        wanted |= {(name, "dns"): {53}, (name, "web"): {80, 443}, (name, "storage"): {80, 443, 2049}}
        wanted |= {("ssh", name): {8443}}
    wanted |= {("lab", "ssh"): {8081}, ("neighbour", "ssh"): {8081}}
    wanted |= {("ssh", "dns"): {53}}
    wanted |= {("k8smgr", "dns"): {53}, ("k8smgr", "ssh"): {8081}, ("k8smgr", "api"): {22, 6443}}
    # The repository's port, anywhere but at link-local addresses.
    wanted |= {("k8smgr", name): {22} for name in ("node", "web", "storage")}
    wanted |= {("k8smgr", "dns"): {22, 53}, ("k8smgr", "stranger"): {22}}
    for name in ("dns", "api", "node", "metadata", "web", "storage", "stranger"):
        wanted |= {(name, "ssh"): {2222}, (name, "k8smgr"): {8003}}
    assert world.said(policies(GIT)) == wanted


@needed
def test_without_egress_labs_reach_nothing_but_dns_and_hub() -> None:
    """What the site does not allow is not allowed."""
    said = World(FILES).said(policies(FILES))
    assert {target: ports for (source, target), ports in said.items() if source == "lab"} == {
        "dns": {53},
        "ssh": {8081},
    }


@needed
def test_hubs_do_not_meet() -> None:
    """A lab reaches the port of its own hub; with a name service elsewhere, that one."""
    said = World(TWO, "labs", ("dns", {"app": "coredns"})).said(policies(TWO))
    assert {pair: ports for pair, ports in said.items() if pair[0].startswith("lab")} == {
        ("lab", "dns"): {53},
        ("lab", "ssh"): {8081},
        ("lab of another hub", "dns"): {53},
        ("lab of another hub", "ssh"): {8082},
    }
    # One hub is reached by its forward, the other by its usual address.
    assert said["k8smgr", "ssh"] == {8081}
    assert said["k8smgr", "web"] == {443, 6443, 8443}


@needed
def test_dns_is_asked_by_both_protocols() -> None:
    """By UDP as by TCP, and at a node's own cache where there is one."""
    world = World(TWO, "labs", ("dns", {"app": "coredns"}))
    cache = Endpoint("cache", "169.254.20.10")
    for target in (world.around[0], cache):
        for protocol in ("UDP", "TCP"):
            assert allowed(policies(TWO), world.lab, target, 53, protocol)
    assert not allowed(policies(TWO), world.lab, cache, 80)


LINK_LOCAL = "169.254.0.0/16"


def network(address: int, size: int) -> str:
    return str(ipaddress.ip_network((address, size), strict=False))


def within(inner: str, outer: str) -> bool:
    return ipaddress.IPv4Network(inner).subnet_of(ipaddress.IPv4Network(outer))


NETWORKS = st.builds(network, st.integers(0, 2**32 - 1) | st.integers(10 << 24, 11 << 24), st.integers(0, 32))


@needed
@settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    allow=st.lists(NETWORKS, min_size=30, max_size=40), own=st.lists(NETWORKS, min_size=3, max_size=10), data=st.data()
)
def test_no_network_of_the_cluster_can_be_allowed(
    tmp_path_factory: pytest.TempPathFactory, allow: list[str], own: list[str], data: st.DataObject
) -> None:
    """Whatever a site allows, link-local addresses and the cluster's own networks are out; the rest of it is in."""
    # Networks that lie in one that is allowed, as a cluster's in 0.0.0.0/0.
    own += [network(int(ipaddress.IPv4Network(each)[0]), data.draw(st.integers(8, 32))) for each in allow[:3]]
    own = [each for each in own if not each.endswith("/0")]
    forbidden = [LINK_LOCAL, *own]
    possible = [each for each in allow if not any(within(each, other) for other in forbidden)]
    values = yaml.safe_load(FILES.read_text())
    values |= {"cluster": {"networks": own}, "labs": {"egress": [{"to": each} for each in possible]}}
    path = tmp_path_factory.mktemp("values") / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    rules = one(rendered(path), "NetworkPolicy", "labs")["spec"]["egress"][1:]
    blocks = [rule["to"][0]["ipBlock"] for rule in rules]
    assert [block["cidr"] for block in blocks] == possible
    for block in blocks:
        assert set(block.get("except", [])) == {each for each in forbidden if within(each, block["cidr"])}
    refused = template(path, f"labs.egress[0].to={data.draw(st.sampled_from(forbidden))}")
    assert "which labs must not reach" in refused.stderr
