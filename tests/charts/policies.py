# SPDX-License-Identifier: BSD-3-Clause
"""Who may talk to whom, computed from NetworkPolicies as the API's reference defines them (networking.k8s.io/v1).

Nothing here enforces policies, so they are evaluated: a connection is allowed if the policies of its source let it out
and those of its target let it in; what no policy selects is open.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A pod, or an address outside of the cluster if it has no namespace."""

    name: str
    address: str
    namespace: str = ""
    labels: Tree = field(default_factory=dict, compare=False)


def allowed(policies: Sequence[Tree], source: Endpoint, target: Endpoint, port: int, protocol: str = "TCP") -> bool:
    """Tell whether *source* may connect to a port of *target*."""
    return _passes(policies, "Egress", source, target, port, protocol) and _passes(
        policies, "Ingress", target, source, port, protocol
    )


def _passes(policies: Sequence[Tree], direction: str, own: Endpoint, peer: Endpoint, port: int, protocol: str) -> bool:
    selecting = [policy["spec"] for policy in policies if own.namespace and _selects(policy, own, direction)]
    rules = [rule for spec in selecting for rule in spec.get(direction.lower()) or []]
    return not selecting or any(_fits(rule, direction, own, peer, port, protocol) for rule in rules)


def _selects(policy: Tree, pod: Endpoint, direction: str) -> bool:
    spec = policy["spec"]
    here = policy["metadata"]["namespace"] == pod.namespace
    return here and direction in spec["policyTypes"] and _matches(spec["podSelector"], pod.labels)


def _fits(rule: Tree, direction: str, own: Endpoint, peer: Endpoint, port: int, protocol: str) -> bool:
    side = {"Egress": "to", "Ingress": "from"}[direction]
    assert set(rule) <= {side, "ports"}
    peers, ports = rule.get(side), rule.get("ports")
    return (not peers or any(_is(each, own, peer) for each in peers)) and (
        not ports or any((each.get("protocol", "TCP"), each["port"]) == (protocol, port) for each in ports)
    )


def _is(described: Tree, own: Endpoint, peer: Endpoint) -> bool:
    if "ipBlock" in described:
        block, address = described["ipBlock"], ipaddress.ip_address(peer.address)
        within = address in ipaddress.ip_network(block["cidr"])
        return within and not any(address in ipaddress.ip_network(each) for each in block.get("except", []))
    if not peer.namespace:
        return False
    if (spaces := described.get("namespaceSelector")) is None:
        here = own.namespace == peer.namespace
    else:
        here = _matches(spaces, {"kubernetes.io/metadata.name": peer.namespace})
    return here and _matches(described.get("podSelector", {}), peer.labels)


def _matches(selector: Tree, labels: Tree) -> bool:
    assert set(selector) <= {"matchLabels"}, "expressions are not used by our charts"
    return selector.get("matchLabels", {}).items() <= labels.items()


def table(
    policies: Sequence[Tree], sources: Sequence[Endpoint], targets: Sequence[Endpoint], ports: Sequence[int]
) -> Iterator[tuple[str, str, int]]:
    """Yield each connection by TCP that is allowed: source, target, port."""
    for source in sources:
        for target in targets:
            if source != target:
                yield from (
                    (source.name, target.name, port) for port in ports if allowed(policies, source, target, port)
                )
