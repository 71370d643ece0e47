# SPDX-License-Identifier: BSD-3-Clause
"""The demo's centre: its sites have what the example configuration offers, for the people who are there."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config import load
from jupyter_jsc.config.systems import PartitionKind
from jupyter_jsc.demo import centre

CONFIGURATION = load.load(Path("examples/config"))
SITES = centre.sites(CONFIGURATION)
CLOUDS = centre.clouds(CONFIGURATION)
NAMES = [*SITES, *(f"{site.key}-{node.name}" for site in SITES.values() for node in site.login_nodes)]
NAMES += [name for cloud in CLOUDS.values() for name in cloud.ports]
PORTS = {"unicoremgr": 1, "tunnelmgr": 2, "k8smgr": 3} | {name: 1024 + number for number, name in enumerate(NAMES)}


def test_the_sites_are_the_five_hpc_systems() -> None:
    """Each system that is reached through UNICORE has two login nodes and four compute nodes."""
    assert set(SITES) == {"juwels", "jupiter", "jureca", "jusuf", "deep"}
    assert {(len(site.login_nodes), len(site.compute_nodes)) for site in SITES.values()} == {(2, 4)}


@pytest.mark.parametrize("key", SITES)
def test_what_is_offered_is_what_the_site_has(key: str) -> None:
    """Every batch partition has a queue with at least its limits; every node may have labs; every pattern has a node."""
    site, system = SITES[key], CONFIGURATION.systems[key]
    queues = {queue.name: queue for queue in site.queues}
    for name, partition in system.partitions.items():
        if partition.kind is PartitionKind.BATCH:
            queue = queues[partition.queue or name]
            limits = {"nodes": queue.nodes, "gpus": queue.gpus, "runtime": queue.minutes}
            assert all(resource.maximum <= limits[known] for known, resource in partition.resources.items())
            assert ("gpus" in partition.resources) == (queue.gpus > 0)
    for node in site.nodes:
        assert system.allows_host(node.name)
        assert ipaddress.ip_address(node.address).is_loopback
    assert site.account_keys == set(system.account_keys)


def test_a_queue_is_as_large_as_the_widest_range_in_it() -> None:
    """What a group may have beyond the others is not refused by the site."""
    queues = {queue.name: queue for queue in SITES["juwels"].queues}
    assert (queues["batch"].nodes, queues["batch"].minutes) == (48, 4320)


def test_reservations_are_known_where_they_are() -> None:
    """The batch system of each site accepts its own."""
    assert "hpc-python" in SITES["jusuf"].reservations
    assert "hpc-python" not in SITES["juwels"].reservations


def test_no_two_nodes_share_a_name_or_an_address() -> None:
    """Each node is a machine of its own."""
    nodes = [node for site in SITES.values() for node in site.nodes]
    assert len({node.address for node in nodes}) == len({node.name for node in nodes}) == len(nodes)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("jwlogin*", "jwlogin07"),
        ("jwc[0-9]*n[0-9]*", "jwc00n07"),
        ("login??.hpc.example.org", "login07.hpc.example.org"),
        ("dp-[0-9][0-9][0-9]", "dp-007"),
        ("one", "one"),
    ],
)
def test_names_fit_patterns(pattern: str, name: str) -> None:
    """The number stands in the last wildcard, as wide as that."""
    assert name == centre.fitting(pattern, 7)


@given(st.text(max_size=30), st.integers(min_value=1, max_value=99))
def test_any_pattern_gives_a_name(pattern: str, number: int) -> None:
    """A pattern that a user writes never ends the demo."""
    assert "*" not in centre.fitting(pattern, number)


def test_the_cloud_is_reached_through_its_ssh_service() -> None:
    """One address of its own for forwards and for the way back, and the labs' hub is where that way begins."""
    (cloud,) = CLOUDS.values()
    tree = {"systems": {"hdf-cloud": {"jump_hosts": {"ssh": {}}, "hub_urls": ["http://x"], "lab_hosts": ["svc-*"]}}}
    host, port = cloud.ssh.address, PORTS["hdf-cloud-jhub"]
    forward = {"listen_host": host, "listen_port": port}
    jump_host = {"host": host, "port": PORTS["hdf-cloud-ssh"], "host_key": "key", "hub_forward": forward}
    assert centre.addresses(tree, CLOUDS, PORTS, {"hdf-cloud-ssh": "key"})["systems"]["hdf-cloud"] == {
        "jump_hosts": {"hdf-cloud-ssh": jump_host},
        "hub_urls": [f"http://{host}:{port}"],
        "lab_hosts": ["svc-*"],
    }
    assert cloud.namespace == "labs"
    assert host not in {node.address for site in SITES.values() for node in site.nodes}


def test_a_cluster_of_another_manager_is_not_the_demos() -> None:
    """Its labs would never come; it leads nowhere."""
    cloud = CONFIGURATION.systems["hdf-cloud"].model_copy(update={"manager": "k8smgr-elsewhere"})
    assert centre.clouds(CONFIGURATION.model_copy(update={"systems": {"hdf-cloud": cloud}})) == {}


def test_addresses_replace_what_differs_and_keep_what_is_not_theirs() -> None:
    """Systems that the demo runs lead to it, others nowhere; names of nodes and unknown parts stay; twice is once."""
    tree = {
        "hub": "example",
        "managers": {"unicoremgr": {"url": "https://u.example.org"}, "k8smgr": {"url": "https://k.example.org"}},
        "tunnelmgr": {"url": "https://t.example.org", "timeout_s": 5},
        "systems": {
            "juwels": {"unicore": {"url": "https://x"}, "jump_hosts": {"old": {}}, "lab_hosts": ["jwc*"]},
            "hdf-cloud": {
                "jump_hosts": {"cloud": {"host": "ssh.example.org", "host_key": "k"}},
                "lab_hosts": ["*.svc"],
            },
        },
        "announcements": {"here": {"title": "A test"}},
    }
    keys = {node.name: f"key of {node.name}" for node in SITES["juwels"].login_nodes}
    ours = centre.addresses(tree, SITES, PORTS, keys)
    juwels = ours["systems"]["juwels"]
    assert juwels["unicore"] == {"url": f"http://127.0.0.1:{PORTS['juwels']}/JUWELS/rest/core"}
    assert list(juwels["jump_hosts"]) == [node.name for node in SITES["juwels"].login_nodes]
    assert juwels["lab_hosts"] == ["jwc*"]
    assert ours["systems"]["hdf-cloud"]["jump_hosts"]["cloud"]["state"] == "closed"
    assert ours["hub"] == "demo"
    assert ours["managers"]["unicoremgr"] == {"url": "http://127.0.0.1:1"}
    assert ours["announcements"] == tree["announcements"]
    assert "jupiter" not in ours["systems"]
    assert centre.addresses(ours, SITES, PORTS, keys) == ours
