# SPDX-License-Identifier: BSD-3-Clause
"""What a user's options become in a job: templates, software, reservations, switches; tables, and any options at all.

Aspects: where each value goes, what is refused, what is never text. Steps and files: ``test_steps.py``, ``test_shipment.py``.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.systems import System
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.sites.unicore import job
from tests.sites.unicore.conftest import configuration, start_lab, system


def number(**more: object) -> dict[str, Any]:
    """A resource."""
    return {"label": "x", "minimum": 0, "maximum": 2**40, "default": 1, **more}


def place(**more: object) -> System:
    """A system with all kinds of resources."""
    described = system("http://127.0.0.1:1/X/rest/core").model_dump(mode="json")
    display = number(environment="JSC_XSERVER_GPU", checkbox={"label": "Start an X server"})
    described["partitions"] = {
        "batch": {"resources": {"nodes": number(), "gpus": number(), "runtime": number(), "xserver": display}},
        "devel": {"queue": "develgpus", "resources": {"nodes": number(), "memory": number(unicore="MemoryPerNode")}},
        "login": {"kind": "interactive", "login_node": "dl*", "resources": {"xserver": display}},
    }
    return System.model_validate(described | more)


SYSTEM = place(project_folder="/p/project/{project}/jupyter")
HOOK = {"label": "Hook", "run": ["true"]}
OPTIONS = {
    "lab": {"label": "JupyterLab", "python": "/opt/jupyter/bin/python", "setup": ["module load Jupyter", "export A=1"]},
    "bare": {"label": "Bare"},
}
SOFTWARE = {
    "kernels": {
        "label": "Kernels",
        "kind": "kernels",
        "items": {
            "deep": {
                "label": "Deep",
                "modules": ["CUDA", "PyTorch/2.4"],
                "environment": {"DEEP": "1"},
                "default": True,
            },
            "quick": {"label": "Quick", "modules": ["Quick"], "default": ["lab"]},
            "plain": {"label": "Plain", "environment": {"PLAIN": "2", "BOTH": "software"}},
        },
    },
    "proxies": {
        "label": "Proxies",
        "kind": "proxies",
        "items": {
            "screen": {"label": "Screen", "modules": ["Xpra"], "compute_only": True},
            "old": {"label": "Old", "modules": ["Old"], "options": ["bare"]},
            "far": {"label": "Far", "modules": ["Far"], "systems": []},
        },
    },
}
JOBS = {
    "common": {"environment": {"CENTRE": "c", "BOTH": "template"}, "hooks": {"quota": {**HOOK, "label": "Quota"}}},
    "batch": {
        "partitions": ["batch"],
        "resources": {"QoS": "interactive", "Nodes": "3"},
        "hooks": {"late": {**HOOK, "when": "before_server", "required": False, "timeout_s": 5}},
    },
    "elsewhere": {"systems": ["other"], "resources": {"QoS": "wrong"}, "hooks": {"wrong": HOOK}},
    "bare": {"options": ["bare"], "environment": {"BARE": "1"}, "hooks": {"bare": HOOK}},
}
RESERVATIONS = {
    "course-1": {"system": "demo", "projects": ["*"]},
    "far": {"system": "other", "projects": ["*"]},
}
CONFIGURATION = configuration(SYSTEM, options=OPTIONS, software=SOFTWARE, jobs=JOBS, reservations=RESERVATIONS)


def described(place: System = SYSTEM, **options: object) -> dict[str, Any]:
    """The description of a lab with these options."""
    lab = start_lab(**({"option": "lab", "resources": {}, "software": {}} | options))
    return job.description(lab, place, CONFIGURATION, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"partition": "devel"}, {"Queue": "develgpus", "Project": "proj1"}),
        ({"partition": "devel", "project": None}, {"Queue": "develgpus"}),
        (
            {"partition": "devel", "resources": {"nodes": 2}, "reservation": "course-1"},
            {"Queue": "develgpus", "Project": "proj1", "Nodes": "2", "Reservation": "course-1"},
        ),
        (
            {"partition": "batch", "resources": {"nodes": 2, "gpus": 4, "runtime": 60}},
            {
                "Queue": "batch",
                "Project": "proj1",
                "Nodes": "3",
                "GPUS": "4",
                "Runtime": "3600",
                "QoS": "interactive",
            },
        ),
        (
            {"partition": "batch", "resources": {"xserver": 2}},
            {"Queue": "batch", "Project": "proj1", "Nodes": "3", "QoS": "interactive"},
        ),
        ({"partition": "login", "resources": {"xserver": 2}}, None),
    ],
    ids=["queue", "no-project", "reservation", "template-wins", "environment-only", "login-node"],
)
def test_resources(options: dict[str, object], expected: dict[str, str] | None) -> None:
    """The user's values, then the operators' of the templates that apply; nothing for a login node."""
    assert expected == described(**options).get("Resources")


@pytest.mark.parametrize(
    "options",
    [
        {"option": "nope"},
        {"partition": "nope"},
        {"partition": None},
        {"resources": {"nope": 1}},
        {"reservation": "nope"},
        {"reservation": "far"},
        {"reservation": "course-1", "partition": "login"},
        {"software": {"nope": ["deep"]}},
        {"software": {"kernels": ["nope"]}},
        {"software": {"proxies": ["old"]}},
        {"software": {"proxies": ["far"]}},
        {"software": {"proxies": ["screen"]}, "partition": "login"},
        {"resources": {"memory": 2**34}, "partition": "devel"},
    ],
    ids=str,
)
def test_what_is_not_there_is_refused(options: dict[str, object]) -> None:
    """Second line behind the gate: an unknown key, or software where it may not be, makes no job."""
    with pytest.raises(InvalidRequest):
        described(**options)


@pytest.mark.parametrize("memory", [{"MemoryPerNode": "16G"}, {"Memory": "1024", "GPUsPerNode": "2"}], ids=str)
def test_templates_do_not_ask_for_what_servers_pass_on_wrongly(memory: dict[str, str]) -> None:
    """Traps 13 and 14 hold for the operators' resources, too."""
    wrong = configuration(SYSTEM, options=OPTIONS, jobs={"memory": {"resources": memory}})
    with pytest.raises(InvalidRequest, match="Memory"):
        job.description(start_lab("lab"), SYSTEM, wrong, "")


SCRIPTS = {
    ("true",),
    ("module load Jupyter", "export A=1"),
    ("module load CUDA PyTorch/2.4",),
    ("module load Quick",),
    ("module load Xpra",),
    ('. "$HOME"/.jupyter/start_lab.sh',),
}
KEYS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)


def some(*usual: str) -> st.SearchStrategy[str]:
    """A key of the configuration, or any other."""
    return st.sampled_from(usual) | KEYS


@given(
    option=some("lab", "bare"),
    partition=some("batch", "devel", "login"),
    account=KEYS,
    project=KEYS,
    reservation=st.none() | some("course-1", "far"),
    resources=st.dictionaries(some("nodes", "gpus", "xserver"), st.integers(), max_size=3),
    software=st.none()
    | st.dictionaries(
        some("kernels", "proxies"), st.lists(some("deep", "quick", "plain", "screen"), max_size=3), max_size=2
    ),
)
def test_a_user_sends_no_text(**options: Any) -> None:
    """Whatever is accepted: scripts are those of the configuration; only project and reservation are in the description.

    The project is in the path of its folder, too; the account is nowhere, it is a preference of the request.
    """
    lab = start_lab(**options)
    try:
        made = job.description(lab, SYSTEM, CONFIGURATION, "")
    except InvalidRequest:
        return
    again = job.description(
        lab.model_copy(update={"options": lab.options.model_copy(update={"account": "A", "project": "P"})}),
        SYSTEM,
        CONFIGURATION,
        "",
    )
    files, others = ({item["To"]: item["Data"] for item in one["Imports"]} for one in (made, again))
    told, other = json.loads(files.pop("lab.json")), json.loads(others.pop("lab.json"))

    assert json.loads(json.dumps(made)) == made
    assert files == others
    assert told | {"kernels": ""} == other | {"kernels": ""}
    assert told["kernels"] == f"/p/project/{lab.options.project}/jupyter"
    assert set(made.get("Resources", {})) <= {"Queue", "Project", "Reservation", "Nodes", "GPUS", "QoS"}
    assert made.get("Resources", {}).get("Reservation") in {None, "course-1"}
    assert {tuple(step["script"]) for step in told["steps"]} <= SCRIPTS
