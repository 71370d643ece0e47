# SPDX-License-Identifier: BSD-3-Clause
"""Our part of JupyterHub: authenticator, spawner, journal, handlers, pages."""
