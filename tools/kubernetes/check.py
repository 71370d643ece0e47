# SPDX-License-Identifier: BSD-3-Clause
"""``make test-kubernetes``: the tests of ``tests/kubernetes`` on the cluster in KUBECONFIG, or on one of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence

from tools.kubernetes import cluster, images, machine
from tools.kubernetes.network import PREFIX
from tools.kubernetes.places import BIN, KUBECONFIG

_NODES = 2
_NO_TESTS = 5


def check(arguments: Sequence[str]) -> int:
    """Return the exit code of pytest; 0, with one line that says why, where no cluster can be had."""
    if os.environ.get("KUBECONFIG"):
        return _pytest([], arguments)
    if reason := machine.lacks():
        print(f"test-kubernetes: skipped, {reason}; or name a cluster by KUBECONFIG")
        return 0
    ran_before = cluster.running()
    try:
        cluster.up(_NODES)
        images.load([str(archive) for archive in images.build_ours()])
        # The portal and its users live on the first node, so that they reach what is in the cluster's network.
        return _pytest(["nsenter", f"--net=/run/netns/{PREFIX}node1"], arguments, KUBECONFIG=str(KUBECONFIG))
    finally:
        if not ran_before:
            cluster.down()


def _pytest(within: list[str], arguments: Sequence[str], **environment: str) -> int:
    path = f"{BIN}:{os.environ.get('PATH', '')}"
    command = [*within, sys.executable, "-m", "pytest", "tests/kubernetes", *arguments]
    done = subprocess.run(command, env=os.environ | environment | {"PATH": path}, check=False)
    return 0 if done.returncode == _NO_TESTS else done.returncode
