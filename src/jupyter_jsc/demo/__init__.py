# SPDX-License-Identifier: BSD-3-Clause
"""The demo world: all that a laptop lacks."""
