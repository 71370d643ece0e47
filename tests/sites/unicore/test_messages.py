# SPDX-License-Identifier: BSD-3-Clause
"""What users read of a job that failed: the launcher's last words, and the operators' words for the site's."""

import pytest

from jupyter_jsc.config.systems import SiteMessage, System, SystemKind
from jupyter_jsc.demo.unicore import Site
from jupyter_jsc.sites.unicore import read
from jupyter_jsc.wire import LabState, State
from tests.sites.unicore.conftest import ALICE, driver_of, no_pause, reference, start_lab, system, until

QUEUE = "Processing failed: ExecutionException: Resource request <Queue = nosuchqueue> is out of range."
MESSAGES = [
    SiteMessage.model_validate({"contains": contains, "text": text})
    for contains, text in [("<Queue = ", "No such queue."), ("out of range", "Too much."), ("Invalid account", "Ask.")]
]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (QUEUE, "No such queue."),
        ("Resource request <Nodes=9> is out of range.", "Too much."),
        ("OUT OF RANGE", "as before"),
        ("", "as before"),
        (None, "as before"),
        (7, "as before"),
    ],
    ids=["first", "second", "case", "empty", "none", "number"],
)
def test_first_message_that_fits_counts(said: object, text: str) -> None:
    """The site's words are replaced where the operators have some; the state's code stays."""
    state = LabState(state=State.ENDED, code="resources", text="as before")
    assert state.model_copy(update={"text": text}) == read.in_plainer_words(state, {"statusMessage": said}, MESSAGES)


@pytest.mark.parametrize(
    ("stderr", "code", "text"),
    [
        ("x\njupyter-jsc: failed: Quota: failed with code 1\n", "launcher", "Quota: failed with code 1"),
        ("jupyter-jsc: failed: {0} {x} %s\n", "launcher", "{0} {x} %s"),
        (
            " jupyter-jsc: failed: no\n",
            "exited",
            "The lab's server ended with an error (exit code 1). Its last lines say why.",
        ),
        (
            "jupyter-jsc: failed: a\x1b[31mb\n",
            "exited",
            "The lab's server ended with an error (exit code 1). Its last lines say why.",
        ),
        ("jupyter-jsc: failed: x\nslurmstepd: error: JOB 9 CANCELLED AT x DUE TO TIME LIMIT", "time_limit", None),
        (f"jupyter-jsc: failed: {'x' * 501}\n", "exited", None),
    ],
    ids=["step", "braces", "not-ours", "control-characters", "time-limit", "too-long"],
)
def test_launchers_last_words(stderr: str, code: str, text: str | None) -> None:
    """What the launcher says of a start that failed is what the user reads; the batch system's causes come first."""
    job = {"status": "FAILED", "exitCode": "1", "statusMessage": "exited with non-zero exit code: <1>."}
    state = read.state(job, {}, stderr)
    assert (code, text or state.text) == (state.code, state.text)


async def test_operators_words_reach_the_user(site: Site) -> None:
    """A refusal of the site is told in the words of the system's configuration."""
    place = system(site.settings.core)
    assert place.unicore is not None
    worded = place.model_copy(update={"unicore": place.unicore.model_copy(update={"messages": MESSAGES})})
    lab = start_lab(partition="nowhere")
    async with driver_of(worded, pause=no_pause) as driver:
        answer = await driver.start(lab, ALICE)
        state = await until(driver, reference(lab, answer), State.ENDED)
    assert ("resources", "No such queue.") == (state.code, state.text)


def test_only_systems_behind_unicore_have_this_driver() -> None:
    """A cluster is no UNICORE site."""
    place = system("http://127.0.0.1:1/X/rest/core").model_dump(mode="json")
    cluster = System.model_validate(place | {"kind": SystemKind.KUBERNETES, "kubernetes": {}, "unicore": None})
    with pytest.raises(ValueError, match="demo"):
        driver_of(cluster)
