# SPDX-License-Identifier: BSD-3-Clause
"""Each pod has an address of its own; services lead to the pod that they select."""

import socket

from jupyter_jsc.demo.kubernetes.network import Network
from tests.demo.kubernetes.conftest import Reach, phase, pod


def test_addresses_are_given_out_once_and_used_again_late() -> None:
    """Not to two, not soon again, none where somebody listens."""
    network = Network("127.51.0.0/29")
    taken = [network.take([]) for _ in range(5)]
    assert len(set(taken)) == 5
    network.give_back(taken[0])
    assert network.take([]) not in taken
    assert network.take([]) == taken[0]
    network.give_back(taken[1])
    with socket.create_server((taken[1], 0)) as listener:
        network.give_back(taken[2])
        assert network.take([listener.getsockname()[1]]) == taken[2]


async def test_a_service_leads_to_the_pod_that_it_selects(reach: Reach) -> None:
    """By its name and its port only, while the pod runs."""
    ports = [{"port": 8443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc-lab"}}
    await reach.apply(service | {"spec": {"selector": {"app": "lab"}, "ports": ports}})
    await reach.apply(service | {"metadata": {"name": "svc-all"}, "spec": {"ports": ports}})
    target = reach.cluster.target
    assert target("svc-lab.labs.svc", 8443) is None
    await reach.apply(pod())
    await reach.apply(pod("other"))
    address = (await reach.until(phase("Running")))["status"]["podIP"]
    assert target("svc-lab.labs.svc", 8443) == address
    for host, port in [
        ("svc-lab.labs.svc", 22),
        ("svc-lab.other.svc", 8443),
        ("svc-lab", 8443),
        ("svc-all.labs.svc", 8443),
    ]:
        assert target(host, port) is None
