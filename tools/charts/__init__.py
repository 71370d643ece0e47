# SPDX-License-Identifier: BSD-3-Clause
"""What the charts' values are, as one typed model each, and the files that are written from it."""
