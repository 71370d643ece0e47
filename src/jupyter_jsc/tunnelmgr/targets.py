# SPDX-License-Identifier: BSD-3-Clause
"""Where tunnels may lead: the second line behind the hub's look at the job's own allocation. Called by :mod:`.tunnels`."""

import ipaddress

from jupyter_jsc.config.systems import System
from jupyter_jsc.errors import TargetRefused


def check_target(system: System, host: str) -> None:
    """Raise :class:`TargetRefused` unless labs of *system* may listen on *host*.

    Addresses of loopback, link-local and other special networks need a network in ``lab_hosts`` that names them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        special = host.lower().rstrip(".").split(".")[-1] in {"localhost", "localdomain"}
    else:
        special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    narrow = [pattern for pattern in system.lab_hosts if pattern.rstrip("*") and not (special and "/" not in pattern)]
    if not system.allows_host(host) or (special and not narrow):
        raise TargetRefused(f"Labs of {system.label} may not listen on this host.", host=host[:100])
