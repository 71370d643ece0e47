# SPDX-License-Identifier: BSD-3-Clause
"""Who may start what: identity and configuration → a tree of choices, and whether given options are among it.

Pure functions over :mod:`jupyter_jsc.config`, for everybody who asks: the form, the API and the spawner in the hub, the
manager's gate, and ``jupyter-jsc config show``. Way in: :mod:`.identity` (what a login tells) → :mod:`.membership`
(groups) → :mod:`.options` (the tree) → :mod:`.validate` (the check).
"""
