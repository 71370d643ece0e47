# SPDX-License-Identifier: BSD-3-Clause
"""The manager: the REST service that starts, polls and stops labs on systems."""
