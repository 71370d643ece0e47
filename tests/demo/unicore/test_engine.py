# SPDX-License-Identifier: BSD-3-Clause
"""The life of jobs: states in the real order, rejections in the real words, abnormal ends, abort, restart, delete."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOGIN = {"Job type": "ON_LOGIN_NODE"}
SLEEPER = {"Executable": "echo $$ > pid; sleep 600"}


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


async def until_dead(pid: int) -> None:
    while alive(pid):
        await asyncio.sleep(0.02)


async def pid_of(client: Any, url: str) -> int:
    return int(await client.until_file(url, "pid", "\n"))


@pytest.mark.parametrize("kind", ["BATCH", "ON_LOGIN_NODE"])
async def test_run_to_success(client: Any, kind: str) -> None:
    """A job runs in its directory with its imports, and ends SUCCESSFUL with a textual exit code."""
    url = await client.submit(
        Executable="/bin/bash",
        Arguments=["start.sh", '"a b"', "$WHO"],
        Environment={"WHO": "me and $GREETING", "GREETING": "unset here"},
        Imports=[{"To": "start.sh", "Data": ['echo "$1|$2|$3"', 'echo "$HOME $USER $PATH" >&2']}],
        **{"Job type": kind},
    )
    job = await client.until_status(url, "SUCCESSFUL", "FAILED")
    assert ("SUCCESSFUL", "0", kind) == (job["status"], job["exitCode"], job["jobType"])
    assert (await client.file(url, "stdout")).text == "a b|me|and\n"
    assert "home/alice1 alice1 /usr/local/bin" in (await client.file(url, "stderr")).text
    assert any("Command is: #!/bin/bash" in line for line in job["log"])


async def test_states_step_back_and_are_notified_in_order(client: Any, receiver: Any) -> None:
    """READY, STAGINGIN, READY again, QUEUED, RUNNING, STAGINGOUT, SUCCESSFUL."""
    states = ["STAGINGIN", "READY", "QUEUED", "RUNNING", "STAGINGOUT", "SUCCESSFUL", "FAILED"]
    url = await client.submit(
        Executable="true && sleep 0.3",
        Imports=[{"To": "a", "Data": "b"}],
        NotificationSettings={"URL": receiver.url, "status": states},
    )
    job = await client.until_status(url, "SUCCESSFUL")
    await receiver.until(6)
    assert states[:6] == [note.body["status"] for note in receiver.notes]
    assert {url} == {note.body["href"] for note in receiver.notes}
    assert next(line for line in job["log"] if "Status set" in line and "STAGINGIN" not in line)[-6:-1] == "READY"


async def test_nothing_is_known_before_processing(make_site: Any) -> None:
    """Until the server looks at a job, name and kind are not available and the directory is INITIALIZING."""
    async with make_site(step_s=60.0) as client:
        url = await client.submit(Executable="date", Name="mine", Tags=["one"])
        job = await client.get(url)
        assert tuple(job[key] for key in ("status", "jobType", "name", "queue", "batchSystemID")) == (
            "READY",
            "n/a",
            "N/A",
            "N/A",
            "N/A",
        )
        assert "exitCode" not in job
        storage = await client.get(url.replace("/jobs/", "/storages/") + "-uspace")
        assert storage["resourceStatus"] == "INITIALIZING"
        assert [url] == (await client.get("/jobs?tags=one"))["jobs"]


async def test_empty_job(client: Any) -> None:
    """A description without an executable makes a directory and is SUCCESSFUL without an exit code."""
    url = await client.submit(Imports={"deep/file": {"Data": 5}})
    job = await client.until_status(url, "SUCCESSFUL")
    assert "exitCode" not in job
    assert (await client.file(url, "deep/file")).text == "5"


async def test_program_fails(client: Any) -> None:
    """A non-zero exit code fails the job, with the code as text."""
    url = await client.submit(Executable="(exit 3)", **LOGIN)
    job = await client.until_status(url, "FAILED")
    assert job["exitCode"] == "3"
    assert job["statusMessage"].startswith("User application exited with non-zero exit code: <3>. More information")
    ignored = await client.submit(Executable="(exit 3)", IgnoreNonZeroExitCode=True, **LOGIN)
    assert (await client.until_status(ignored, "SUCCESSFUL"))["exitCode"] == "3"


REJECTIONS = [
    ({"Resources": {"Queue": "nope"}}, "<Queue = nope> is out of range. (Invalid resource request)", "N/A"),
    ({"Resources": {"Runtime": "2h"}}, "<Runtime=7200> is out of range. (Invalid resource request)", "N/A"),
    ({"Resources": {"GPUS": 1}}, "Resource <GPUS> is not available for partition <batch>", "N/A"),
    ({"Name": "a\nb"}, "Job name contains illegal characters: '\\n'", "N/A"),
    ({"Project": "foreign"}, "Invalid account or account/partition combination specified", "batch"),
    ({"Resources": {"Reservation": "r"}}, "Requested reservation is invalid:", "batch"),
    ({"Imports": [{"To": "../x", "Data": ""}]}, "Staging in failed. Reason: ", "batch"),
    ({"Job type": "ON_LOGIN_NODE", "Login node": "nosuch"}, "No TSI is configured at 'nosuch'", "N/A"),
]


@pytest.mark.parametrize(("change", "message", "queue"), REJECTIONS, ids=[text for _, text, _ in REJECTIONS])
async def test_rejected(client: Any, change: dict[str, Any], message: str, queue: str) -> None:
    """What is wrong with a description shows after the 201, as FAILED with the server's words."""
    url = await client.submit(**({"Executable": "date"} | change))
    job = await client.until_status(url, "FAILED", "SUCCESSFUL")
    assert job["status"] == "FAILED"
    assert message.removesuffix(":") in job["statusMessage"]
    assert (queue, "N/A") == (job["queue"], job["batchSystemID"])


async def test_wait_for_client(client: Any) -> None:
    """With haveClientStageIn a job waits in READY for its start, and can be aborted there."""
    url = await client.submit(Executable="cat input", haveClientStageIn="true", **LOGIN)
    storage = url.replace("/jobs/", "/storages/") + "-uspace"
    await client.until(storage, lambda found: found["resourceStatus"] == "READY")
    binary = {"Content-Type": "application/octet-stream"}
    assert (await client("PUT", f"{storage}/files/input", data=b"hello", headers=binary)).status == 204
    assert (await client("POST", f"{url}/actions/start", json={})).status == 204
    await client.until_status(url, "SUCCESSFUL")
    assert (await client.file(url, "stdout")).text == "hello"
    waiting = await client.submit(Executable="date", haveClientStageIn=True)
    assert (await client("POST", f"{waiting}/actions/abort", json={})).status == 204
    assert (await client.until_status(waiting, "FAILED"))["statusMessage"] == "Job aborted."


@pytest.mark.parametrize("kind", ["BATCH", "ON_LOGIN_NODE"])
async def test_abort_ends_the_process(client: Any, kind: str) -> None:
    """After abort the job is FAILED "Job aborted." at once and its processes end."""
    url = await client.submit(**SLEEPER, **{"Job type": kind})
    pid = await pid_of(client, url)
    assert (await client("POST", f"{url}/actions/abort", json={})).status == 204
    job = await client.get(url)
    assert (job["status"], job["statusMessage"]) == ("FAILED", "Job aborted.")
    assert "exitCode" not in job
    await until_dead(pid)
    assert (await client("POST", f"{url}/actions/abort", json={})).status == 204


async def test_abort_lies_without_tsi(client: Any) -> None:
    """With the TSI down abort answers 204, the job is FAILED, and its process lives until the site ends."""
    url = await client.submit(**SLEEPER, **LOGIN)
    pid = await pid_of(client, url)
    client.site.faults.tsi_down = True
    assert (await client("POST", f"{url}/actions/abort", json={})).status == 204
    job = await client.get(url)
    assert (job["status"], job["statusMessage"]) == ("FAILED", "Job aborted.")
    assert any("Could not abort action on BSS" in line for line in job["log"])
    assert (await client("DELETE", url)).status == 204
    assert alive(pid)


async def test_tsi_down_fails_new_jobs(client: Any) -> None:
    """Without a TSI a new job fails after three attempts and its directory is ERROR."""
    client.site.faults.tsi_down = True
    url = await client.submit(Executable="date")
    job = await client.until_status(url, "FAILED")
    assert job["statusMessage"].startswith("Processing failed: eu.unicore.xnjs.tsi.TSIUnavailableException")
    storage = await client.get(url.replace("/jobs/", "/storages/") + "-uspace")
    assert storage["resourceStatus"] == "ERROR"


async def test_account_without_user_on_the_system(client: Any) -> None:
    """A mapped account that the operating system does not know: accepted, then FAILED."""
    client.site.faults.missing_accounts = {"alice1"}
    url = await client.submit(Executable="date")
    assert "unknown user" in (await client.until_status(url, "FAILED"))["statusMessage"]


async def test_delete_removes_job_process_and_directory(client: Any) -> None:
    """After DELETE the job is unknown at once; its processes and its directory go."""
    url = await client.submit(**SLEEPER)
    pid = await pid_of(client, url)
    directory = Path((await client.get(url.replace("/jobs/", "/storages/") + "-uspace"))["mountPoint"])
    assert (await client("DELETE", url)).status == 204
    answer = await client("GET", url)
    assert (answer.status, answer.body, answer.headers.get("Content-Type")) == (404, b"", None)
    assert (await client("DELETE", url)).status == 404
    await until_dead(pid)
    while directory.exists():
        await asyncio.sleep(0.02)


async def test_restart_keeps_stale_fields(client: Any) -> None:
    """A restarted job runs again in its directory; message and exit code of before stay while it runs."""
    script = "if [ -e again ]; then sleep 600; else touch again; (exit 4); fi"
    url = await client.submit(Executable=script, **LOGIN)
    await client.until_status(url, "FAILED")
    assert (await client("POST", f"{url}/actions/restart", json={})).status == 204
    job = await client.until_status(url, "RUNNING")
    assert job["exitCode"] == "4"
    assert "non-zero exit code" in job["statusMessage"]


async def test_abnormal_end_shows_after_grace(make_site: Callable[..., Any]) -> None:
    """A cancelled batch job stays RUNNING for the grace, while details and stderr tell the cause."""
    async with make_site(grace_s=0.6) as client:
        url = await client.submit(**SLEEPER)
        await pid_of(client, url)
        job = await client.until_status(url, "RUNNING")
        client.site.batch.cancel(int(job["batchSystemID"]))
        await client.until(f"{url}/details", lambda found: found["JobState"] == "CANCELLED")
        assert (await client.get(url))["status"] == "RUNNING"
        stderr = (await client.file(url, "stderr")).text
        assert f"slurmstepd-dc01: error: *** JOB {job['batchSystemID']} ON dc01 CANCELLED AT " in stderr
        job = await client.until_status(url, "FAILED")
        assert job["statusMessage"].startswith("Failed: Job did not complete normally on BSS")
        assert "exitCode" not in job


async def test_time_limit(client: Any) -> None:
    """The wall time kills: details say TIMEOUT, stderr says why, the state is still RUNNING."""
    url = await client.submit(**SLEEPER, Resources={"Runtime": 1})
    pid = await pid_of(client, url)
    details = await client.until(f"{url}/details?fields=JobState,Reason", lambda found: found["JobState"] == "TIMEOUT")
    assert details == {"JobState": "TIMEOUT", "Reason": "TimeLimit"}
    assert "DUE TO TIME LIMIT ***" in (await client.file(url, "stderr")).text
    assert (await client.get(url))["status"] == "RUNNING"
    assert not alive(pid)


async def test_embedded_tsi_calls_a_killed_job_successful(client: Any) -> None:
    """With the embedded TSI a job without exit code is SUCCESSFUL, without exitCode."""
    client.site.faults.embedded = True
    url = await client.submit(**SLEEPER, **LOGIN)
    os.kill(await pid_of(client, url), 9)
    assert "exitCode" not in await client.until_status(url, "SUCCESSFUL")


async def test_controller_down(client: Any) -> None:
    """With the batch controller down submissions wait in QUEUED and go on later."""
    client.site.faults.controller_down = True
    url = await client.submit(Executable="date")
    assert (await client.until_status(url, "QUEUED"))["batchSystemID"] == "N/A"
    client.site.faults.controller_down = False
    await client.until_status(url, "SUCCESSFUL")


async def test_termination_time(client: Any) -> None:
    """A job whose time has come is ended and removed."""
    url = await client.submit(**SLEEPER)
    pid = await pid_of(client, url)
    change = {"terminationTime": "2020-01-01T00:00:00+0000"}
    assert (await client("PUT", url, json=change)).json == {"terminationTime": "OK"}
    await until_dead(pid)
    assert (await client("GET", url)).status == 404


async def test_end_of_the_site_ends_all_jobs(make_site: Callable[..., Any]) -> None:
    """When the site has ended, nothing of its jobs is left, not even what left its session or ignores SIGTERM."""
    stubborn = (
        "trap '' TERM; setsid bash -c 'echo $$ > inner; exec sleep 600' & echo $$ > pid; while :; do sleep 1; done"
    )
    pids = []
    async with make_site() as client:
        for kind in ("BATCH", "ON_LOGIN_NODE"):
            url = await client.submit(Executable=stubborn, **{"Job type": kind})
            pids += [await pid_of(client, url), int(await client.until_file(url, "inner", "\n"))]
    assert [pid for pid in pids if alive(pid)] == []


async def test_restart_of_a_refused_job(client: Any) -> None:
    """A job that was refused stays FAILED with its message."""
    url = await client.submit(Executable="date", Resources={"Queue": "nope"})
    before = await client.until_status(url, "FAILED")
    assert (await client("POST", f"{url}/actions/restart", json={})).status == 204
    after = await client.get(url)
    assert (after["status"], after["statusMessage"]) == ("FAILED", before["statusMessage"])
