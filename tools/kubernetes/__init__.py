# SPDX-License-Identifier: BSD-3-Clause
"""A real Kubernetes of several nodes on one machine, without a container engine: ``python -m tools.kubernetes up``."""
