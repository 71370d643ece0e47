# SPDX-License-Identifier: BSD-3-Clause
"""jupyter-jsc: one portal that starts JupyterLab on every system of a computing centre."""
