# SPDX-License-Identifier: BSD-3-Clause
"""Nodes as network namespaces, joined by a bridge in the first one: nothing leaves the machine, no rule lands in the host."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from tools.kubernetes.machine import run

PREFIX = "jsc-"
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_SETTINGS = {
    "ipv4/ip_forward": "1",
    "bridge/bridge-nf-call-iptables": "1",
}


def node_names(count: int) -> list[str]:
    """``node1`` … ``node<count>``."""
    return [f"node{number}" for number in range(1, count + 1)]


def address(node: str) -> str:
    """The address of *node* in the network of the nodes."""
    return f"10.200.0.{_number(node)}"


def pod_network(node: str) -> str:
    """The addresses of the pods of *node*."""
    return f"10.244.{_number(node)}.0/24"


def exists(node: str) -> bool:
    """Whether the namespace of *node* is there."""
    return (_NAMESPACES / f"{PREFIX}{node}").exists()


@contextlib.contextmanager
def inside(node: str) -> Iterator[None]:
    """Within the block the thread, and what it starts, is in the network namespace of *node*."""
    with Path("/proc/thread-self/ns/net").open() as before, (_NAMESPACES / f"{PREFIX}{node}").open() as namespace:
        _enter(namespace.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def connect(nodes: list[str]) -> None:
    """Leave every node with its address, and routes to the pods of all others."""
    first = nodes[0]
    for node in nodes:
        if not exists(node):
            with _whole(node):
                _first_node(node) if node == first else _other_node(first, node)
    for node in nodes:
        with inside(node):
            for other in nodes:
                if other != node:
                    run("ip", "route", "replace", pod_network(other), "via", address(other))


def remove() -> None:
    """Leave no namespace of a node, and so none of its links and rules."""
    for path in _NAMESPACES.glob(f"{PREFIX}node*"):
        run("ip", "netns", "delete", path.name)


def cut(node: str, *, off: bool) -> None:
    """Cut the link to *node*, or join it again: unplug its cable, so to speak."""
    with inside("node1"):
        run("ip", "link", "set", f"to-{node}", "down" if off else "up")


@contextlib.contextmanager
def _whole(node: str) -> Iterator[None]:
    """Make a namespace that is complete after the block, or not there."""
    run("ip", "netns", "add", f"{PREFIX}{node}")
    try:
        yield
    except BaseException:
        run("ip", "netns", "delete", f"{PREFIX}{node}")
        raise


def _first_node(node: str) -> None:
    """A bridge with the node's address; a pair of links inside gives it a carrier even when no other node is joined."""
    _configure(node)
    with inside(node):
        run("ip", "link", "add", "nodes", "type", "bridge")
        run("ip", "link", "add", "inner", "type", "veth", "peer", "name", "outer")
        run("ip", "link", "set", "inner", "master", "nodes", "up")
        run("ip", "link", "set", "outer", "up")
        _addressed("nodes", node)


def _other_node(first: str, node: str) -> None:
    _configure(node)
    with inside(first):
        run("ip", "link", "add", f"to-{node}", "type", "veth", "peer", "name", "nodes", "netns", f"{PREFIX}{node}")
        run("ip", "link", "set", f"to-{node}", "master", "nodes", "up")
    with inside(node):
        _addressed("nodes", node)


def _configure(node: str) -> None:
    with inside(node):
        run("ip", "link", "set", "lo", "up")
        for name, value in _SETTINGS.items():
            Path(f"/proc/sys/net/{name}").write_text(value)


def _addressed(link: str, node: str) -> None:
    """The default route leads nowhere; kube-apiserver refuses to start without one."""
    run("ip", "address", "add", f"{address(node)}/16", "dev", link)
    run("ip", "link", "set", link, "up")
    run("ip", "route", "add", "default", "dev", link)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _number(node: str) -> str:
    return node.removeprefix("node")
