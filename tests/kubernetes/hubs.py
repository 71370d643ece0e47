# SPDX-License-Identifier: BSD-3-Clause
"""A second hub, as far as K8sMgr sees one: a credential, and starts in its name."""

from pathlib import Path

from jupyter_jsc import names, wire
from jupyter_jsc.client import ManagerClient
from tests.kubernetes.cloud import options
from tests.kubernetes.conftest import Portal


def other_hub(portal: Portal, folder: Path) -> ManagerClient:
    """K8sMgr, asked with the credential of the hub ``other``."""
    token = folder / "token"
    token.write_text(portal.installed.other_token, "ascii")
    return ManagerClient(portal.installed.manager, token, ca_file=str(portal.installed.authority))


def start(hub: str, server: str) -> wire.StartLab:
    """A start of a lab that does nothing, which *hub* asks for."""
    base = "http://jhub.k8smgr.svc:8082/hub/api/jsc"
    return wire.StartLab.model_validate(
        {
            "lab_id": names.lab_id(hub, "bob", server),
            "start_id": names.new_start_id(),
            "hub": hub,
            "user": "bob",
            "groups": ["everybody"],
            "options": options("idle"),
            "env": {},
            "secrets": {},
            "events_url": f"{base}/events",
            "started_url": f"{base}/started",
        }
    )
