# SPDX-License-Identifier: BSD-3-Clause
"""A Kubernetes API server whose pods are processes of this machine, each on a loopback address of its own.

The demo's world and the tests of the ``kubernetes`` driver call :func:`create_cluster`. It imitates Kubernetes 1.34 in what
labs need: pods, their logs, services, secrets, volume claims and events in namespaces; :class:`Faults` and
:class:`ClusterSettings` say what can go wrong. The flow: :mod:`.faults` → :mod:`.api` (:mod:`.access`, :mod:`.admission`,
:mod:`.apply`) → :mod:`.store`, whose log :mod:`.watch` sends to clients and :mod:`.controllers` follow → :mod:`.scheduler`,
:mod:`.kubelet` → :mod:`.pods`.

Where it deviates from the real server:

- Objects live in memory. When the server ends, all pods end; only the folders of claimed volumes stay, and a claim of the
  same name finds its own again.
- A container is a process of the operating system's user of the demo. There is no image: commands are this machine's, what
  is mounted lies in the pod's folder, and paths that begin with a ``mountPath`` are written over in command, arguments,
  working directory and environment. User ids, read-only roots, capabilities and limits are admitted and not enforced;
  ``Cluster.out_of_memory`` stands for the kernel.
- A pod listens on its own address if it binds to it (``status.podIP``); all pods share the ports of ``0.0.0.0``.
- Services have no cluster address; ``Cluster.target`` resolves their names. Network policies do not exist.
- Not there: init and ephemeral containers, probes, config maps, other volumes than Secret, emptyDir and claims (they are
  empty folders), other patches than server-side apply, PUT, collections' deletion, finalizers but the foreground's, status
  subresources, exec, protection of claims in use.
- Unknown fields are kept (the real server refuses or drops them). The schema is not checked beyond what labs can meet.
- A continued list is not of the version where it began. A lost node's pods are marked at once, not after their tolerations.
"""

from jupyter_jsc.demo.kubernetes.app import Cluster, create_cluster
from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.settings import ClusterSettings, Namespace, Node, User

__all__ = ["Cluster", "ClusterSettings", "Faults", "Namespace", "Node", "User", "create_cluster"]
