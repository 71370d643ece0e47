# SPDX-License-Identifier: BSD-3-Clause
"""Site drivers: one file per kind of site."""
