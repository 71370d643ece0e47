# SPDX-License-Identifier: BSD-3-Clause
"""What travels with a lab to its site: the launcher, what it is to do, and the lab's secrets, as small files.

Pure functions, called by the drivers, which carry the files: as inline imports of a job, as a Secret of a cluster.
:data:`SECRETS` is the only file with anything secret in it. What users choose selects parts of the configuration
(:mod:`.steps`); nothing of it becomes shell text.
"""

import functools
import json
import shlex
from importlib import resources

from jupyter_jsc.config.systems import System
from jupyter_jsc.sites.steps import Chosen
from jupyter_jsc.wire import StartLab

SECRETS = "secrets.json"
_SHIPPED = ("launcher.py", "route.py", "prepare.py", "jsc_lab.py")


def files(lab: StartLab, system: System, chosen: Chosen, runtime_s: int | None) -> dict[str, str]:
    """Return the files of a lab by name; *runtime_s* is when the site ends it, None if it does not."""
    about = {
        "lab_id": lab.lab_id,
        "start_id": lab.start_id,
        "events_url": lab.events_url,
        "started_url": lab.started_url,
        "hub_urls": lab.hub_urls,
        "env": lab.env,
        "environment": chosen.environment,
        "runtime_s": runtime_s,
        "python": chosen.option.python,
        "kernels": _project_folder(system, lab.options.project),
        "steps": chosen.steps,
    }
    secret = {name: value.get_secret_value() for name, value in lab.secrets.items()}
    return {
        "start.sh": start_script(system),
        **{name: _shipped(name) for name in _SHIPPED},
        "lab.json": json.dumps(about),
        SECRETS: json.dumps(secret),
    }


def start_script(system: System) -> str:
    """Return ``start.sh``: the launcher in the system's bare interpreter."""
    return f"#!/bin/bash\nexec {shlex.quote(system.launcher_python)} launcher.py\n"


def _project_folder(system: System, project: str | None) -> str:
    """Return the project's folder; a project is a :data:`~jupyter_jsc.wire.Key`, so it never leads elsewhere."""
    if "{project}" in system.project_folder and not project:
        return ""
    return system.project_folder.replace("{project}", project or "")


@functools.cache
def _shipped(name: str) -> str:
    return resources.files("jupyter_jsc.lab").joinpath(name).read_text("utf-8")
