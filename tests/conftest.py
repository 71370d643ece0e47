# SPDX-License-Identifier: BSD-3-Clause
"""The running system, started once for the tests in ``ring`` and ``browser``."""

from tests.ring.system import alice, nora, oscar, ring

__all__ = ["alice", "nora", "oscar", "ring"]
