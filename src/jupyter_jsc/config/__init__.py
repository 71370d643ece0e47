# SPDX-License-Identifier: BSD-3-Clause
"""The configuration: model, loading, settings of processes."""
