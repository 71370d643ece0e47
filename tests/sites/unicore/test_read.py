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


@given(
    st.dictionaries(st.sampled_from(["status", "statusMessage", "exitCode", "jobType"]), st.text() | st.integers()),
    st.text(),
)
def test_any_words_give_a_state(job: dict, stderr: str) -> None:
    """No answer of a site makes the reader fail, and only a final status is an end."""
    state = read.state(job, {}, stderr)
    assert (state.state is State.ENDED) == (job.get("status") in read.FINAL)
