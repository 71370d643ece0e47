# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard: systems, labs, starts, tunnels and failures, for operators and support."""
