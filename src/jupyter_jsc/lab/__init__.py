# SPDX-License-Identifier: BSD-3-Clause
"""What runs beside the lab: launcher and server extension; nothing here imports anything of ours."""
