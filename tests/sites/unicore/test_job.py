# SPDX-License-Identifier: BSD-3-Clause
"""A lab → a job description: what stands in it, and what never does."""

import json

import pytest

from jupyter_jsc.config.systems import System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.sites import shipment
from jupyter_jsc.sites.unicore import job
from tests.sites.unicore.conftest import OPTIONS, configuration, start_lab, system

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


def with_resources(**names: str) -> System:
    """The system with a partition whose resources have these names at the site."""
    limits = {"label": "x", "minimum": 1, "maximum": 2**40, "default": 1}
    described = SYSTEM.model_dump(mode="json")
    described["partitions"]["batch"]["resources"] = {key: limits | {"unicore": name} for key, name in names.items()}
    return System.model_validate(described)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ({"gpus": "GPUsPerNode", "memory": "MemoryPerNode"}, {"gpus": 2, "memory": 2**28}),
        ({"gpus": "GPUsPerNode", "memory": "Memory"}, {"gpus": 2, "memory": 2**28}),
        ({"memory": "MemoryPerNode"}, {"memory": 2**30 + 1}),
        ({"memory": "Memory"}, {"memory": 16 * 2**30}),
    ],
    ids=["gpus-and-memory", "gpus-and-its-other-name", "above-one-gibibyte", "sixteen"],
)
def test_what_servers_pass_on_wrongly_is_refused(names: dict[str, str], values: dict[str, int]) -> None:
    """Traps 13 and 14: 2 GPUs beside 200 MB became 200 GPUs, and 16 GB became the whole node."""
    with pytest.raises(InvalidRequest, match=r"resources: .*(GPUsPerNode|Memory).* not possible"):
        job.description(start_lab(resources=values), with_resources(**names), CONFIGURATION, "")


def test_what_servers_pass_on_rightly_is_asked_for() -> None:
    """Either alone, and memory up to what fits into their arithmetic."""
    for key, name, value in (("gpus", "GPUsPerNode", 2), ("memory", "MemoryPerNode", 2**30)):
        made = job.description(start_lab(resources={key: value}), with_resources(**{key: name}), CONFIGURATION, "")
        assert made["Resources"] == {"Queue": "batch", "Project": "proj1", name: str(value)}


@pytest.mark.parametrize("chosen", OPTIONS)
def test_what_is_executed_is_a_file_of_ours(chosen: str) -> None:
    """Trap 15: no operator's line, and so no ``exit``, is part of the wrapper that UNICORE makes around the command.

    They are data for the launcher; the option changes nothing else.
    """
    lab = start_lab(chosen)
    described = job.description(lab, SYSTEM, CONFIGURATION, "")
    assert (described["Executable"], described["Arguments"]) == ("/bin/bash", ["start.sh"])
    assert not {"User precommand", "User postcommand", "Parameters", "Stdin"} & set(described)
    files = {item["To"]: item for item in described["Imports"]}
    assert files["start.sh"]["Data"] == shipment.start_script(SYSTEM)
    [step] = [step for step in json.loads(files["lab.json"]["Data"])["steps"] if step["code"] == "setup"]
    assert step["script"] == OPTIONS[chosen].setup
    bare = configuration(SYSTEM, options={chosen: {"label": "Bare"}})
    without = job.description(lab, SYSTEM, bare, "")
    for description in (described, without):
        description["Imports"] = [item for item in description["Imports"] if item["To"] != "lab.json"]
    assert described == without


def test_all_values_are_of_the_types_that_servers_read() -> None:
    """Arguments, modes and names as anything but a string fail the job or are ignored without a word."""
    described = job.description(start_lab(), SYSTEM, CONFIGURATION, "http://m/n")
    assert all(isinstance(value, str) for item in described["Imports"] for value in item.values())
    assert all(isinstance(value, str) for value in described["Resources"].values())
    assert all(isinstance(described[name], str) for name in ("Name", "Umask", "Executable", "Job type"))
    assert all(isinstance(value, str) for value in [*described["Arguments"], *described["Tags"]])
    assert described["Umask"] == "077"
    assert described["NotificationSettings"]["URL"] == "http://m/n"
    assert "Notification" not in described


def test_a_login_node_job_asks_for_no_resources() -> None:
    """An interactive partition names a pattern of login nodes."""
    described = job.description(start_lab(partition="login", resources={}), SYSTEM, CONFIGURATION, "")
    assert (described["Job type"], described["Login node"]) == ("ON_LOGIN_NODE", "dl*")
    assert "Resources" not in described


def test_tags_hold_only_what_a_search_finds() -> None:
    """No blank, underscore, percent or plus."""
    lab = start_lab().model_copy(update={"hub": "my_hub"})
    assert all(tag.replace(":", "").replace("-", "").replace(".", "").isalnum() for tag in job.tags(lab))
