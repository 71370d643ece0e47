# SPDX-License-Identifier: BSD-3-Clause
"""A lab → a job description: what stands in it, and what never does."""

import json

from jupyter_jsc.sites.unicore import job
from tests.sites.unicore.conftest import configuration, start_lab, system

SYSTEM = system("http://127.0.0.1:1/X/rest/core")
CONFIGURATION = configuration(SYSTEM)


def test_nothing_secret_stands_where_it_is_stored() -> None:
    """Inline data is dropped by the server; everything else is kept and shown."""
    described = job.description(start_lab(), SYSTEM, CONFIGURATION, "http://m/n")
    files = {item["To"]: item for item in described.pop("Imports")}
    assert "s3cr3t-api-token" not in json.dumps(described)
    assert [name for name, item in files.items() if "s3cr3t-api-token" in item["Data"]] == ["secrets.json"]
    assert {item["Permissions"] for item in files.values()} == {"rw-------"}
    assert not {"Environment", "Notification"} & set(described)


def test_resources_are_asked_for_as_servers_understand_them() -> None:
    """Minutes become seconds, values are strings, and neither GPUsPerNode nor MemoryPerNode is ever asked for."""
    lab = start_lab(partition="gpu", resources={"nodes": 2, "gpus": 4, "runtime": 10})
    described = job.description(lab, SYSTEM, CONFIGURATION, "")
    expected = {"Queue": "gpu", "Project": "proj1", "Nodes": "2", "GPUS": "4", "Runtime": "600"}
    assert described["Resources"] == expected
    assert "NotificationSettings" not in described


def test_a_login_node_job_asks_for_no_resources() -> None:
    """An interactive partition names a pattern of login nodes."""
    described = job.description(start_lab(partition="login", resources={}), SYSTEM, CONFIGURATION, "")
    assert (described["Job type"], described["Login node"]) == ("ON_LOGIN_NODE", "dl*")
    assert "Resources" not in described


def test_tags_hold_only_what_a_search_finds() -> None:
    """No blank, underscore, percent or plus."""
    lab = start_lab().model_copy(update={"hub": "my_hub"})
    assert all(tag.replace(":", "").replace("-", "").replace(".", "").isalnum() for tag in job.tags(lab))


def test_the_interpreter_is_quoted() -> None:
    """A path with a blank stays one word; nothing else is in the script."""
    script = job.start_script(SYSTEM.model_copy(update={"launcher_python": "/opt/my python"}))
    assert script == "#!/bin/bash\nexec '/opt/my python' launcher.py\n"
