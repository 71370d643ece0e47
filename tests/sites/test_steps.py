# SPDX-License-Identifier: BSD-3-Clause
"""What the configuration has for a user's options, and what the launcher runs before the server: tables.

The second line behind the gate; what is refused here, any options at all, and what UNICORE makes of it:
``unicore/test_choice.py``.
"""

import pytest

from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.sites import steps
from tests.sites.unicore.conftest import start_lab
from tests.sites.unicore.test_choice import CONFIGURATION, SYSTEM


def chosen(**options: object) -> steps.Chosen:
    """What is chosen by these options."""
    lab = start_lab(**({"option": "lab", "resources": {}, "software": {}} | options))
    return steps.chosen(lab.options, SYSTEM, CONFIGURATION)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"CENTRE": "c", "BOTH": "template"}),
        ({"option": "bare"}, {"CENTRE": "c", "BOTH": "template", "BARE": "1"}),
        ({"resources": {"xserver": 0}}, {"CENTRE": "c", "BOTH": "template", "JSC_XSERVER_GPU": "0"}),
        (
            {"partition": "login", "resources": {"xserver": 1}},
            {"CENTRE": "c", "BOTH": "template", "JSC_XSERVER_GPU": "1"},
        ),
        ({"software": {"kernels": ["plain"]}}, {"CENTRE": "c", "BOTH": "software", "PLAIN": "2"}),
    ],
    ids=["templates", "by-option", "number", "number-on-login-node", "software"],
)
def test_environment(options: dict[str, object], expected: dict[str, str]) -> None:
    """Templates, then software, then numbers; a switch that is off leaves no variable."""
    assert expected == chosen(**options).environment


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["hook.common.quota", "setup", "user_hook", "hook.batch.late"]),
        ({"partition": "login"}, ["hook.common.quota", "setup", "user_hook"]),
        ({"option": "bare", "partition": "devel"}, ["hook.common.quota", "hook.bare.bare", "user_hook"]),
        (
            {"software": {"proxies": ["screen"], "kernels": ["quick", "deep", "quick"]}, "partition": "devel"},
            [
                "hook.common.quota",
                "setup",
                "software.kernels.deep",
                "software.kernels.quick",
                "software.proxies.screen",
                "user_hook",
            ],
        ),
        (
            {"software": None, "partition": "devel"},
            ["hook.common.quota", "setup", "software.kernels.deep", "software.kernels.quick", "user_hook"],
        ),
        (
            {"software": None, "option": "bare", "partition": "devel"},
            ["hook.common.quota", "hook.bare.bare", "software.kernels.deep", "user_hook"],
        ),
        ({"software": {"kernels": ["plain"]}, "partition": "devel"}, ["hook.common.quota", "setup", "user_hook"]),
    ],
    ids=["all-moments", "no-template", "no-setup", "software", "defaults", "defaults-by-option", "nothing-to-load"],
)
def test_order_of_steps(options: dict[str, object], expected: list[str]) -> None:
    """Hooks, the option's own lines, software in the configuration's order, the user's script, hooks before the server."""
    assert expected == [step["code"] for step in chosen(**options).steps]


def test_what_a_step_is() -> None:
    """Scripts, limits and labels are those of the configuration; what only helps is not required."""
    steps = {step["code"]: step for step in chosen(software={"kernels": ["deep"]}, resources={"runtime": 30}).steps}
    assert steps["setup"]["script"] == ["module load Jupyter", "export A=1"]
    assert steps["software.kernels.deep"] == {
        "code": "software.kernels.deep",
        "label": "Loading Deep",
        "script": ["module load CUDA PyTorch/2.4"],
        "required": False,
        "timeout_s": 300,
    }
    assert steps["hook.batch.late"] == {
        "code": "hook.batch.late",
        "label": "Hook",
        "script": ["true"],
        "required": False,
        "timeout_s": 5,
    }
    assert steps["user_hook"]["file"] == ".jupyter/start_lab.sh"
    assert {code for code, step in steps.items() if step["required"]} == {"hook.common.quota", "setup"}


@pytest.mark.parametrize("key", [None, "", "nope", "Lab"])
def test_a_key_that_is_not_there_is_named(key: str | None) -> None:
    """With the option that it was chosen for."""
    with pytest.raises(InvalidRequest, match=r"option: .* is not known here") as refused:
        steps.known("option", key, CONFIGURATION.options)
    assert refused.value.detail["field"] == "options.option"
