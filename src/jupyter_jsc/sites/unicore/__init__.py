# SPDX-License-Identifier: BSD-3-Clause
"""The driver of HPC systems behind UNICORE/X (REST API, UNICORE 10.3 or newer).

:mod:`.job` builds descriptions and :mod:`.read` reads answers, both pure; :mod:`.transport` is the one place that
talks HTTP, over pyunicore's aio transport; :mod:`.driver` puts them together.
"""

from jupyter_jsc.sites.unicore.driver import UnicoreSite

__all__ = ["UnicoreSite"]
