# SPDX-License-Identifier: BSD-3-Clause
"""The driver of labs in Kubernetes clusters.

:mod:`.objects` makes the objects of a lab, :mod:`.read` and :mod:`.reasons` read what the cluster says of them, and
:mod:`.refusals` reads its errors: all pure. :mod:`.api` is the one place that talks to the API server; :mod:`.mirror` keeps
one kind of object as the API has it, :mod:`.watch` all that poll needs; :mod:`.driver` puts them together.
"""

from jupyter_jsc.sites.kubernetes.api import Access, access
from jupyter_jsc.sites.kubernetes.driver import KubernetesSite

__all__ = ["Access", "KubernetesSite", "access"]
