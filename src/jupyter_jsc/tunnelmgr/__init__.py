# SPDX-License-Identifier: BSD-3-Clause
"""TunnelMgr: owns the SSH masters and publishes endpoints."""
