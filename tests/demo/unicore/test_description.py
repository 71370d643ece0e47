# SPDX-License-Identifier: BSD-3-Clause
"""Job descriptions as the server reads them, and its words for what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.unicore import DemoPartition, Node, SiteSettings, description
from jupyter_jsc.demo.unicore.description import Allocation, Import, Notification, Rejected

PARTITIONS = (DemoPartition("batch", nodes=2, runtime_s=3600), DemoPartition("gpu", nodes=1, gpus=4, runtime_s=600))
NODES = (Node("l1", "127.0.0.1"), Node("l2", "127.0.0.2"))
SITE = SiteSettings(
    name="SITE",
    base_url="http://127.0.0.1:1/SITE",
    scratch=Path("/nowhere"),
    nodes=NODES,
    login_nodes=NODES,
    partitions=PARTITIONS,
    reservations=frozenset({"course"}),
)
JSON = "Processing failed: org.json.JSONException: "
XNJS = "Processing failed: eu.unicore.xnjs.ems.ExecutionException: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"Arguments": [1]}, JSON + "JSONArray[0] is not a String (class java.lang.Integer : 1)."),
        ({"Environment": {"A": 1}}, JSON + 'JSONObject["A"] is not a String (class java.lang.Integer : 1).'),
        ({"Environment": None}, JSON + 'JSONObject["Environment"] is not a String (class org.json.JSONObject : None).'),
        ({"Imports": [{"Data": "x"}]}, JSON + 'JSONObject["To"] not found.'),
        ({"Name": "a$(b)"}, XNJS + "Job name contains illegal characters: '$('"),
        (
            {"Job type": "FOO"},
            "Processing failed: java.lang.IllegalArgumentException: "
            "No enum constant eu.unicore.xnjs.idb.ApplicationInfo.JobType.FOO",
        ),
        (
            {"ApplicationName": "Nope"},
            XNJS + "The requested Application 'Nope' is not available. (Requested application is not defined)",
        ),
        ({"Umask": "9"}, 'Processing failed: java.lang.NumberFormatException: For input string: "9"'),
        (
            {"Imports": [{"From": "https://x/y", "To": "y"}]},
            "Staging in failed. Reason: File transfer from <https://x/y> is not supported by this site.",
        ),
    ],
)
def test_rejected(text: dict[str, Any], message: str) -> None:
    """The message is the server's."""
    with pytest.raises(Rejected) as caught:
        description.parse(text)
    assert message == str(caught.value)


def test_plan() -> None:
    """Keys are read in all their forms; unknown ones are ignored."""
    plan = description.parse(
        {
            "Executable": "run",
            "Arguments": ["a b", "$HOME"],
            "Environment": ["A=b=c"],
            "Imports": {"x": {"Data": ["1", "2"]}, "/y": {"Data": 3, "Permissions": "rw-------"}},
            "Job type": "interactive",
            "Umask": "077",
            "IgnoreNonZeroExitCode": "true",
            "Frob": 1,
        }
    )
    assert (
        plan.command,
        plan.environment,
        plan.batch,
        plan.umask,
        plan.ignore_exit_code,
        plan.name,
    ) == ("run a b $HOME", {"A": "b=c"}, False, 0o077, True, "UNICORE_Job")
    assert (Import("x", "1\n2"), Import("y", "3", "rw-------")) == plan.imports


@pytest.mark.parametrize(("pattern", "name"), [("", "l1"), ("l*", "l1"), ("?2", "l2"), ("nosuch", None), ("L1", None)])
def test_login_node(pattern: str, name: str | None) -> None:
    """The first that matches the pattern is taken."""
    plan = description.parse({"Login node": pattern})
    if name is None:
        with pytest.raises(Rejected, match="No TSI is configured at"):
            description.login_node(plan, NODES)
    else:
        assert name == description.login_node(plan, NODES).name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, Allocation("batch", 1, 0, 3600, "")),
        ({"Resources": None}, Allocation("batch", 1, 0, 3600, "")),
        (
            {"Resources": {"Queue": "gpu", "Nodes": "1", "GPUS": 4, "Runtime": "10m", "Project": "p1"}},
            Allocation("gpu", 1, 4, 600, "p1"),
        ),
        ({"Project": "p1", "Resources": {"Memory": "16G", "Runtime": "1h"}}, Allocation("batch", 1, 0, 3600, "p1")),
    ],
)
def test_allocation(text: dict[str, Any], expected: Allocation) -> None:
    """Values are numbers or texts with units; the first partition is the default."""
    assert expected == description.allocation(text, SITE, ("p1",), None)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"Queue": "nope"}, XNJS + "Resource request <Queue = nope> is out of range. (Invalid resource request)"),
        ({"Runtime": "2h"}, XNJS + "Resource request <Runtime=7200> is out of range. (Invalid resource request)"),
        ({"Nodes": 0}, XNJS + "Resource request <Nodes=0> is out of range. (Invalid resource request)"),
        ({"Frob": 1}, XNJS + "Resource <Frob> is not available for partition <batch> (Invalid resource request)"),
        ({"GPUS": 1}, XNJS + "Resource <GPUS> is not available for partition <batch> (Invalid resource request)"),
        (
            {"Runtime": "abc"},
            "Processing failed: java.lang.IllegalArgumentException: Could not parse requested resource <Runtime>: "
            'java.lang.NumberFormatException: For input string: "abc"',
        ),
    ],
)
def test_allocation_rejected(resources: dict[str, Any], message: str) -> None:
    """What is out of range or unknown is said as the server says it."""
    with pytest.raises(Rejected) as caught:
        description.allocation({"Resources": resources}, SITE, (), None)
    assert message == str(caught.value)


def test_batch_system_refuses() -> None:
    """A foreign project or an unknown reservation is for sbatch to refuse; the caller's group is the default project."""
    assert "Invalid account" in description.allocation({"Project": "x"}, SITE, ("p1",), None).refused
    assert description.allocation({}, SITE, ("p1",), "p1").project == "p1"
    assert description.allocation({"Resources": {"Reservation": "r"}}, SITE, (), None).refused
    assert not description.allocation({"Resources": {"Reservation": "course"}}, SITE, (), None).refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, None),
        ({"Notification": "u"}, Notification("u")),
        ({"Notification": "u", "NotificationSettings": {"status": ["RUNNING"]}}, None),
        (
            {"NotificationSettings": {"URL": "u", "status": ["FAILED"], "bssStatus": [".*"]}},
            Notification("u", ("FAILED",), (".*",)),
        ),
    ],
)
def test_notification(text: dict[str, Any], expected: Notification | None) -> None:
    """Settings without a URL disable the plain key, too."""
    assert expected == description.notification(text)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.text(max_size=20), _ANY)
def test_data_is_never_kept(secret: str, rest: Any) -> None:
    """The stored description has no inline data, in either form of imports."""
    marked = f"<{secret}>secret"
    for imports in ([{"To": "x", "Data": marked}, rest], {"x": {"Data": marked}, "y": rest}):
        assert marked not in str(description.without_data({"Imports": imports}))
