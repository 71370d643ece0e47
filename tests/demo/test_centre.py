# SPDX-License-Identifier: BSD-3-Clause
"""The demo's centre: what the portal offers is what the sites have, for the people who are there."""

import fnmatch
import ipaddress
from pathlib import Path

import pytest

from jupyter_jsc.config import load
from jupyter_jsc.config.systems import PartitionKind, System
from jupyter_jsc.demo import centre
from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.demo.people import PEOPLE
from jupyter_jsc.rights.accounts import parse_accounts
from jupyter_jsc.rights.options import options_tree


def system(name: str) -> System:
    """The system as the portal sees it, checked by the model."""
    site = centre.SITES[name]
    hosts = {node.name: 1024 + number for number, node in enumerate(site.login_nodes)}
    return System.model_validate(site.system("http://127.0.0.1:9/X", hosts, dict.fromkeys(hosts, "ssh-ed25519 AAAA")))


@pytest.mark.parametrize("name", centre.SITES)
def test_what_is_offered_is_what_the_site_has(name: str) -> None:
    """Every batch partition has a queue of that name with the same limits; every node may have labs."""
    site, offered = centre.SITES[name], system(name)
    batch = {key: part for key, part in offered.partitions.items() if part.kind is PartitionKind.BATCH}
    queues = {queue.name: queue for queue in site.queues}
    assert set(batch) == set(queues)
    for key, queue in queues.items():
        limits = {resource: limit.maximum for resource, limit in batch[key].resources.items()}
        assert limits == {"nodes": queue.nodes, "runtime": queue.minutes} | ({"gpus": queue.gpus} if queue.gpus else {})
    for node in (*site.login_nodes, *site.compute_nodes):
        assert any(fnmatch.fnmatchcase(node.name, pattern) for pattern in offered.lab_hosts)
        assert ipaddress.ip_address(node.address).is_loopback


def test_no_two_nodes_share_an_address() -> None:
    """Each node is a machine of its own."""
    nodes = [node for site in centre.SITES.values() for node in (*site.login_nodes, *site.compute_nodes)]
    assert len({node.address for node in nodes}) == len(nodes)
    counts = {name: (len(site.login_nodes), len(site.compute_nodes)) for name, site in centre.SITES.items()}
    assert counts == {"juwels": (2, 4), "jureca": (2, 4)}


def test_each_person_may_use_what_the_sites_give(tmp_path: Path) -> None:
    """No account entry of the demo is unreadable; the users of the first page have the systems it promises."""
    demo_folder.prepare(tmp_path, port=0, queue_delay_s=0, token_s=60, python="/usr/bin/python3")
    configuration = load.load(tmp_path / "configuration")
    systems = {}
    for person in PEOPLE:
        accounts, unreadable = parse_accounts(list(person.accounts), configuration)
        assert unreadable == 0
        systems[person.name] = set(options_tree(accounts, configuration).systems)
    assert systems["alice"] == {"juwels", "jureca"}
    assert systems["nora"] == set()
    assert systems["oscar"] == {"juwels"}
