# SPDX-License-Identifier: BSD-3-Clause
"""What UNICORE and Slurm say → states, causes and sentences. Pure functions; what is not understood is ``unknown``."""

import re
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jupyter_jsc.config.systems import SiteMessage
from jupyter_jsc.wire import LabState, State

FIELDS = "status,statusMessage,exitCode,batchSystemID,queue,jobType,tags"
"""What is asked of a job. Never the whole: it repeats the submitter's token and the script."""
DETAIL_FIELDS = "JobState,Reason,NodeList,StartTime,EndTime"
FINAL = frozenset({"SUCCESSFUL", "FAILED"})
_WAITING = frozenset({"READY", "STAGINGIN", "QUEUED"})
_RUNNING = frozenset({"RUNNING", "STAGINGOUT"})

_ENDED_IN_SLURM = {
    "COMPLETED": ("exited", "The lab's job has ended."),
    "CANCELLED": ("cancelled", "The job was cancelled on the system."),
    "TIMEOUT": ("time_limit", "The time limit was reached."),
    "DEADLINE": ("time_limit", "The time limit was reached."),
    "OUT_OF_MEMORY": ("memory", "The lab used more memory than the job has."),
    "NODE_FAIL": ("node", "The compute node failed. Start the lab again."),
    "BOOT_FAIL": ("node", "The compute node failed. Start the lab again."),
    "PREEMPTED": ("preempted", "The job had to make room for others. Start the lab again later."),
    "FAILED": ("failed", "The lab's job has failed."),
}
_IN_STDERR = (
    (re.compile(r"DUE TO TIME LIMIT"), "time_limit", "The time limit was reached."),
    (
        re.compile(r"oom-kill|exceeded (?:job )?memory limit|Out Of Memory", re.IGNORECASE),
        "memory",
        "The lab used more memory than the job has.",
    ),
    (re.compile(r"DUE TO NODE FAILURE"), "node", "The compute node failed. Start the lab again."),
    (re.compile(r"CANCELLED AT"), "cancelled", "The job was cancelled on the system."),
    (
        re.compile(r"Disk quota exceeded"),
        "quota",
        "Your home or project directory is full. Free some space and start again.",
    ),
    (re.compile(r"No space left on device"), "quota", "There is no space left on the system's disk."),
    # The launcher's own last words.
    (re.compile(r"^jupyter-jsc: failed: ([^\x00-\x1f\x7f-\x9f]{1,500})$", re.MULTILINE), "launcher", "{0}"),
)
_IN_MESSAGE = (
    (
        re.compile(r"Resource request <(.{1,80}?)> is out of range"),
        "resources",
        "The system refuses {0}. Change the lab's resources.",
    ),
    (
        re.compile(r"Resource <(.{1,80}?)> is not available"),
        "resources",
        "This partition has no {0}. Change the lab's resources.",
    ),
    (
        re.compile(r"TSIUnavailableException|TSI unavailable", re.IGNORECASE),
        "site",
        "The system's login nodes did not answer. Start the lab again in a few minutes.",
    ),
    (
        re.compile(r"batch job submission failed: (.{1,120}?)(?:[:.\\]|$)", re.IGNORECASE),
        "refused",
        "The batch system refuses the job: {0}.",
    ),
    (re.compile(r"Command 'sbatch"), "refused", "The batch system refuses the job."),
    (
        re.compile(r"unknown user"),
        "account",
        "Your account does not exist on the system's login nodes. Ask its support.",
    ),
    (re.compile(r"Staging in failed"), "site", "The system could not prepare the job's files. Start the lab again."),
    (re.compile(r"Job aborted"), "aborted", "The job was aborted."),
    (re.compile(r"Processing failed"), "refused", "The system refuses the job."),
)


_EXIT_CODE = re.compile(r"-?[0-9]{1,9}")
_NODE = r"[A-Za-z0-9][A-Za-z0-9.-]{0,199}(?:\[[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*\])?"
_NODE_LIST = re.compile(rf"{_NODE}(?:,{_NODE})*")


def status(job: Mapping[str, Any]) -> str:
    """Return the job's status; empty if it is no text."""
    said = job.get("status")
    return said if isinstance(said, str) else ""


def state(job: Mapping[str, Any], details: Mapping[str, Any], stderr: str, exit_code: str = "") -> LabState:
    """Return what *job* (fields of the job resource) and *details* (of the batch system) mean.

    *stderr* is read only for the cause of an end, and *exit_code*, from the job's own file, only if the batch system
    knows the end and UNICORE does not yet: what it shows then may be of the run before.
    """
    said, site_id = status(job), str(job.get("batchSystemID") or "")[:64]
    slurm = str(details.get("JobState") or "").split(" ")[0].rstrip("+")
    if said in FINAL:
        return ended(job, slurm, stderr, site_id)
    if slurm in _ENDED_IN_SLURM and said in _RUNNING | {"QUEUED"}:
        return ended({"exitCode": exit_code.strip()}, slurm, stderr, site_id)
    if said in _RUNNING:
        return LabState(
            state=State.RUNNING,
            nodes=nodes(details.get("NodeList")),
            ends=_time(details.get("EndTime")),
            site_id=site_id,
        )
    if said in _WAITING:
        expected = _time(details.get("StartTime"))
        return LabState(state=State.QUEUED, text=_queued(details), expected_start=expected, site_id=site_id)
    return LabState(state=State.UNKNOWN)


def ended(job: Mapping[str, Any], slurm: str, stderr: str, site_id: str) -> LabState:
    """Return an ended state with its most precise cause: batch system, then the log's tail, then UNICORE's words.

    SUCCESSFUL without an exit code is the failure of UNICORE's own wrapper.
    """
    code, text = _cause(job, slurm, stderr)
    exit_code = str(job.get("exitCode") or "")
    return LabState(
        state=State.ENDED,
        code=code,
        text=text,
        exit_code=int(exit_code) if _EXIT_CODE.fullmatch(exit_code) else None,
        log_tail=stderr[-8192:],
        site_id=site_id,
    )


def _cause(job: Mapping[str, Any], slurm: str, stderr: str) -> tuple[str, str]:
    if slurm in _ENDED_IN_SLURM and slurm not in {"COMPLETED", "FAILED"}:
        return _ENDED_IN_SLURM[slurm]
    for pattern, code, text in _IN_STDERR:
        if found := pattern.search(stderr):
            return code, text.format(*found.groups())
    if job.get("status") == "SUCCESSFUL":
        if job.get("exitCode") is None:
            return "wrapper", "The job's start script could not run to its end."
        return "exited", "The lab's server has ended."
    if (exit_code := str(job.get("exitCode") or "")) not in {"", "0"} and _EXIT_CODE.fullmatch(exit_code):
        return "exited", _in_words(int(exit_code))
    message = str(job.get("statusMessage") or "")
    for pattern, code, text in _IN_MESSAGE:
        if found := pattern.search(message):
            return code, text.format(*(group.strip() for group in found.groups()))
    return _ENDED_IN_SLURM.get(slurm, ("failed", "The lab's job has failed."))


def _in_words(exit_code: int) -> str:
    """Return what a shell's exit code says; those above 128 stand for a signal (POSIX shell, 2.8.2)."""
    if exit_code - 128 in {signal.SIGKILL, signal.SIGTERM}:
        return "The lab was ended from outside, by the system or by somebody there. Start it again."
    if exit_code == 127:
        return "A program that the lab needs was not found on the system. Its last lines say which."
    return f"The lab's server ended with an error (exit code {exit_code}). Its last lines say why."


def in_plainer_words(state: LabState, job: Mapping[str, Any], messages: Sequence[SiteMessage]) -> LabState:
    """Return *state* with the operators' text for what the site says of the job, if they have one; the first counts."""
    said = str(job.get("statusMessage") or "")
    text = next((str(message.text) for message in messages if message.contains in said), state.text)
    return state.model_copy(update={"text": text})


def nodes(listed: object) -> list[str] | None:
    """Return the hosts of a Slurm node list (``jwc[01-03,7],login1``); None if it is empty or not understood."""
    if not isinstance(listed, str) or not listed.strip() or len(listed) > 4000:
        return None
    if not _NODE_LIST.fullmatch(listed.strip()):
        return None
    found: list[str] = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?", listed.strip()):
        match = re.fullmatch(r"([A-Za-z0-9.-]+)(?:\[([0-9,-]+)\])?", part)
        if match is None:
            return None
        prefix, ranges = match.groups()
        found += [prefix] if ranges is None else [f"{prefix}{number}" for number in _numbers(ranges)]
        if len(found) > 10000:
            return None
    return found or None


def _numbers(ranges: str) -> list[str]:
    numbers: list[str] = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return []
        span = range(int(first), int(last or first) + 1)
        numbers += [str(number).zfill(len(first)) for number in span[:10001]]
    return numbers


def _queued(details: Mapping[str, Any]) -> str:
    reasons = {
        "Resources": "Queued: waiting for free nodes.",
        "Priority": "Queued: jobs with a higher priority come first.",
        "ReqNodeNotAvail": "Queued: the nodes are reserved or down.",
        "PartitionNodeLimit": "Queued: the partition does not have so many nodes.",
        "QOSMaxJobsPerUserLimit": "Queued: you have as many running jobs as you may.",
        "AssocGrpCPUMinutesLimit": "Queued: the project's computing time is used up.",
        "Dependency": "Queued.",
    }
    return reasons.get(str(details.get("Reason") or "").split(",")[0], "")


def _time(text: object) -> datetime | None:
    """Return a time of the batch system, which is local to the cluster: taken as this machine's zone."""
    try:
        return datetime.fromisoformat(str(text)).astimezone()
    except (ValueError, OverflowError, OSError):
        return None
