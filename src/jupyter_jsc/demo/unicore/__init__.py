# SPDX-License-Identifier: BSD-3-Clause
"""A UNICORE-compatible REST endpoint that runs jobs as processes of this machine.

The demo's world and the tests of the ``unicore`` driver call :func:`create_site`. It imitates UNICORE/X 11.0.1
with the Python TSI and Slurm, its awkward habits included: :class:`Faults` and :class:`SiteSettings` say which can
be switched. The flow: :mod:`.app` (faults, identity) → :mod:`.jobs_api`, :mod:`.files`, :mod:`.root` →
:mod:`.engine` (the one scheduler task) → :mod:`.batch` and :mod:`.processes`.

Where it deviates from the real server:

- Jobs, sessions and tags live in memory. When the server ends, all its jobs end; only its key stays.
- All jobs run as the operating system's user of the demo; Unix accounts are names. Files that another account may
  not read are told apart by the account of the caller, not by the file system.
- Wall times count in seconds (Slurm: minutes, with half a minute of tolerance), SIGKILL comes after 5 s (30 s).
- A job's processes are ended with it, also on login nodes, where the real TSI sends SIGTERM only and leaves
  processes that left the session. After SIGTERM the rest of a job may finish although its script has ended.
- Nodes hold one job each; memory and CPUs are checked against the partition and not enforced; a GPU is a number.
- ``GPUsPerNode`` is refused as not available (the real server accepts it and asks for nonsense); ``GPUS`` works.
- Not there: applications, RAW and ALLOCATE jobs, user pre- and postcommands, ``Not before``, imports from
  elsewhere, exports, parameter sweeps, sites (``B/sites`` is an empty list, jobs have no ``parentTSS``), transfers,
  port forwarding, XML errors, Basic authentication, groups in access lists.
- A site token carries all accounts and projects of its owner, so that preferences work with it after a restart.
- ``consumedTime`` is always ``N/A``. A pending job tells an expected ``StartTime`` while its queue delay lasts.
- With ``fields=`` only the named keys come; whether the real server always adds ``_links`` is not known.
- A controller that is down delays ``details`` and submissions, not the scheduler itself.
- Submissions are not spaced out (the real server starts about four batch jobs a second).
"""

from jupyter_jsc.demo.unicore.app import Site, create_site
from jupyter_jsc.demo.unicore.faults import Faults
from jupyter_jsc.demo.unicore.settings import Authenticator, DemoPartition, Identity, Node, SiteSettings

__all__ = ["Authenticator", "DemoPartition", "Faults", "Identity", "Node", "Site", "SiteSettings", "create_site"]
