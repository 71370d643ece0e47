# SPDX-License-Identifier: BSD-3-Clause
"""Measurements side by side with the stock peers; ``make bench`` runs all of them."""
