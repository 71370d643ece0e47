# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tools.kubernetes up [nodes] | down | load ARCHIVE… | test``: see ``COMMANDS``."""

import sys
from collections.abc import Callable

from tools.kubernetes import check, cluster, images, machine, objects
from tools.kubernetes.places import KUBECONFIG


def up(nodes: str = "1") -> None:
    """A cluster of so many nodes is ready; its kubeconfig is printed."""
    if nodes not in {"1", "2", "3", "4", "5"}:
        raise SystemExit(f"The number of nodes is {nodes!r}; 1 to 5 are possible.")
    cluster.up(int(nodes))
    print(f"export KUBECONFIG={KUBECONFIG}")
    print("Its network is a namespace: nsenter --net=/run/netns/jsc-node1 <command>")


def down() -> None:
    """Nothing of the cluster is left."""
    cluster.down()


def load(*archives: str) -> None:
    """The images of these OCI archives are on every node."""
    images.load(archives)


def lacks() -> None:
    """Print why no cluster can run here; nothing if one can."""
    print(machine.lacks(), end="")


def test(*arguments: str) -> None:
    """The tests on a real cluster have passed; *arguments* are pytest's."""
    raise SystemExit(check.check(arguments))


COMMANDS: dict[str, Callable[..., None]] = {
    "test": test,
    "up": up,
    "down": down,
    "load": load,
    "lacks": lacks,
    "balance": objects.balance,
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:] or ["help"]
    if name not in COMMANDS:
        raise SystemExit("python -m tools.kubernetes " + " | ".join(COMMANDS))
    COMMANDS[name](*arguments)
