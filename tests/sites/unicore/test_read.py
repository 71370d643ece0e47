# SPDX-License-Identifier: BSD-3-Clause
"""UNICORE's and Slurm's words → states, causes, sentences; as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.sites.unicore import read
from jupyter_jsc.wire import State

BSS = "Failed: Job did not complete normally on BSS, please check standard error file and job log for more information."


@pytest.mark.parametrize(
    ("status", "slurm", "state"),
    [
        ("READY", "", State.QUEUED),
        ("STAGINGIN", "", State.QUEUED),
        ("QUEUED", "PENDING", State.QUEUED),
        ("QUEUED", "TIMEOUT", State.ENDED),
        ("RUNNING", "RUNNING", State.RUNNING),
        ("RUNNING", "COMPLETING", State.RUNNING),
        ("RUNNING", "CANCELLED by 1000", State.ENDED),
        ("RUNNING", "TIMEOUT", State.ENDED),
        ("RUNNING", "NODE_FAIL", State.ENDED),
        ("STAGINGOUT", "", State.RUNNING),
        ("SUCCESSFUL", "", State.ENDED),
        ("FAILED", "", State.ENDED),
        ("UNDEFINED", "", State.UNKNOWN),
        (None, "", State.UNKNOWN),
        ("finished", "TIMEOUT", State.UNKNOWN),
    ],
)
def test_state(status: str | None, slurm: str, state: State) -> None:
    """What is not understood is unknown; the batch system knows an end earlier."""
    assert read.state({"status": status}, {"JobState": slurm}, "").state is state


@pytest.mark.parametrize(
    ("job", "slurm", "stderr", "code"),
    [
        (
            {"status": "FAILED", "statusMessage": BSS},
            "",
            "*** JOB 9 ON vm CANCELLED AT x DUE TO TIME LIMIT ***",
            "time_limit",
        ),
        ({"status": "FAILED", "statusMessage": BSS}, "", "*** JOB 7 ON vm CANCELLED AT x ***", "cancelled"),
        ({"status": "FAILED", "statusMessage": BSS}, "", "StepId=8.batch exceeded memory limit (1 > 0)", "memory"),
        ({"status": "FAILED"}, "", "OSError: [Errno 122] Disk quota exceeded", "quota"),
        ({"status": "FAILED"}, "OUT_OF_MEMORY", "", "memory"),
        ({"status": "SUCCESSFUL"}, "", "", "wrapper"),
        ({"status": "SUCCESSFUL", "exitCode": "0"}, "COMPLETED", "", "exited"),
        (
            {
                "status": "FAILED",
                "statusMessage": "Processing failed: x Resource <GPUS> is not available for partition",
            },
            "",
            "",
            "resources",
        ),
        (
            {"status": "FAILED", "statusMessage": "TSI_FAILED: Command 'sbatch ./x' failed with code 1"},
            "",
            "",
            "refused",
        ),
        ({"status": "FAILED", "statusMessage": "Processing failed: x.TSIUnavailableException: y"}, "", "", "site"),
        ({"status": "FAILED", "statusMessage": "Attempted to run a task for an unknown user: x"}, "", "", "account"),
        ({"status": "FAILED", "statusMessage": "something new"}, "", "", "failed"),
    ],
)
def test_cause(job: dict, slurm: str, stderr: str, code: str) -> None:
    """The most precise witness is believed; every cause has a sentence without a stack trace."""
    state = read.state(job, {"JobState": slurm}, stderr)
    assert state.code == code
    assert state.text.endswith(".")
    assert "Exception" not in state.text


def test_a_stale_message_beside_running_is_not_read() -> None:
    """After a restart UNICORE shows the last run's message and exit code; they count in a final state only."""
    state = read.state({"status": "RUNNING", "statusMessage": "Job aborted.", "exitCode": "1"}, {}, "")
    assert (state.state, state.text, state.exit_code) == (State.RUNNING, "", None)


_ERROR = "The lab's server ended with an error (exit code {}). Its last lines say why."


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        ("3", "exit code 3"),
        ("127", "was not found"),
        ("137", "from outside"),
        ("143", "from outside"),
        ("139", "code 139"),
    ],
    ids=["error", "not found", "killed", "terminated", "other signal"],
)
def test_an_exit_code_is_said_in_words(exit_code: str, said: str) -> None:
    """A number means nothing to most users; what it stands for does."""
    job = {
        "status": "FAILED",
        "exitCode": exit_code,
        "statusMessage": f"exited with non-zero exit code: <{exit_code}>.",
    }
    assert said in read.state(job, {}, "").text


@pytest.mark.parametrize(
    ("slurm", "exit_code", "expected"),
    [
        ("COMPLETED", "3\n", ("exited", 3, _ERROR.format(3))),
        ("COMPLETED", "0\n", ("exited", 0, "The lab's job has ended.")),
        ("COMPLETED", "", ("exited", None, "The lab's job has ended.")),
        ("COMPLETED", "<html>", ("exited", None, "The lab's job has ended.")),
        ("TIMEOUT", "143", ("time_limit", 143, "The time limit was reached.")),
    ],
)
def test_an_end_that_unicore_does_not_know_yet(slurm: str, exit_code: str, expected: tuple) -> None:
    """The exit code is that of the job's own file, never that which UNICORE still shows of the run before."""
    job = {"status": "RUNNING", "statusMessage": "Job aborted.", "exitCode": "9"}
    state = read.state(job, {"JobState": slurm}, "", exit_code)
    assert (state.code, state.exit_code, state.text) == expected


@pytest.mark.parametrize(
    ("listed", "nodes"),
    [
        ("jwc01", ["jwc01"]),
        ("jwc[01-03,7],login1", ["jwc01", "jwc02", "jwc03", "jwc7", "login1"]),
        ("", None),
        ("(null)", None),
        (None, None),
        ("jwc[01-", None),
        ("a b", None),
    ],
)
def test_nodes(listed: object, nodes: list[str] | None) -> None:
    """Slurm's node lists are expanded; what is none tells nothing."""
    assert read.nodes(listed) == nodes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
WORDS = st.text("ab01[]-,.:_()", max_size=12) | st.sampled_from(
    ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "Unknown"]
)
FIELDS = ["status", "statusMessage", "exitCode", "jobType", "batchSystemID", "queue", "tags"]


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["RUNNING", "QUEUED", "FAILED", "SUCCESSFUL"])),
    st.dictionaries(st.sampled_from(read.DETAIL_FIELDS.split(",")), JSON | WORDS),
    st.text(),
)
def test_any_words_give_a_state(job: dict, details: dict, stderr: str) -> None:
    """No answer of a site makes the reader fail, and only a final status is an end."""
    state = read.state(job, details, stderr)
    assert (state.state is State.ENDED) == (read.status(job) in read.FINAL)


@pytest.mark.parametrize("listed", ["-x", ".a", "jwc[1-", "a" * 300, "jwc[0-99999]", "jwc01,", "jwc01 jwc02"])
def test_a_node_list_that_is_none_tells_nothing(listed: str) -> None:
    """What no host can be called is not part of an allocation."""
    assert read.state({"status": "RUNNING"}, {"NodeList": listed}, "").nodes is None
