# SPDX-License-Identifier: BSD-3-Clause
"""The batch system of a demo site, with the habits of Slurm: a queue, whole nodes, a wall time that kills.

Called by :mod:`.engine` (submit, cancel, queue) and by :mod:`.jobs_api` (describe). First come, first served.
"""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from jupyter_jsc.demo.unicore import processes
from jupyter_jsc.demo.unicore.settings import Node, SiteSettings

_FIRST_ID = 4711


@dataclass(frozen=True)
class Request:
    """What ``sbatch`` is told."""

    name: str
    partition: str
    account: str
    """The Unix account."""
    project: str
    nodes: int
    gpus: int
    runtime_s: int
    launch: processes.Launch


@dataclass(eq=False)
class BatchJob:
    """One entry of the batch system."""

    job_id: int
    request: Request
    state: str = "PENDING"
    reason: str = "Priority"
    submitted: float = field(default_factory=time.time)
    eligible: bool = False
    nodes: tuple[Node, ...] = ()
    started: float | None = None
    ended: float | None = None
    outcome: str = ""
    """Why it was ended: CANCELLED or TIMEOUT; empty if it ends by itself."""
    exit_code: int = 0
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    process: processes.Process | None = None


class BatchSystem:
    """Queue and nodes of a site. Called by the engine."""

    def __init__(self, settings: SiteSettings) -> None:
        self._settings = settings
        self._jobs: dict[int, BatchJob] = {}
        self._next_id = _FIRST_ID

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Run jobs as tasks of *tasks* from now on."""
        self._tasks = tasks

    def submit(self, request: Request) -> int:
        """Put a job into the queue and return its id."""
        forgotten = time.time() - self._settings.forget_s
        self._jobs = {key: job for key, job in self._jobs.items() if job.ended is None or job.ended > forgotten}
        job = BatchJob(self._next_id, request)
        self._next_id += 1
        self._jobs[job.job_id] = job
        self._tasks.create_task(self._life(job))
        return job.job_id

    def cancel(self, job_id: int) -> None:
        """End a job: SIGTERM, then SIGKILL after the kill wait. Nothing happens to an ended or unknown one."""
        job = self._jobs.get(job_id)
        if job is not None and job.ended is None and not job.outcome:
            self._end(job, "CANCELLED", "")

    def queue(self) -> dict[int, str]:
        """Return the states of all jobs that have not ended, as ``squeue`` does."""
        return {job.job_id: job.state for job in self._jobs.values() if job.ended is None}

    def describe(self, job_id: int) -> dict[str, str] | None:
        """Return what ``scontrol show jobid`` says, times in local time; None once the job is forgotten."""
        job = self._jobs.get(job_id)
        if job is None or (job.ended is not None and time.time() > job.ended + self._settings.forget_s):
            return None
        return _scontrol(job, self._settings.queue_delay_s)

    async def wait(self, job_id: int) -> None:
        """Return once nothing of the job runs any more."""
        job = self._jobs.get(job_id)
        if job is not None:
            await job.gone.wait()

    def forget_ended(self) -> None:
        """Forget all ended jobs at once."""
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job.ended is None}

    def free_nodes(self) -> list[Node]:
        """Return the nodes that hold no job, in the site's order."""
        taken = {node.name for job in self._jobs.values() if job.ended is None for node in job.nodes}
        return [node for node in self._settings.nodes if node.name not in taken]

    def close(self) -> None:
        """Cancel everything; the task group ends when all processes have."""
        for job_id in list(self._jobs):
            self.cancel(job_id)

    async def _life(self, job: BatchJob) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.queue_delay_s):
                await job.granted.wait()
        job.eligible = True
        self._schedule()
        await job.granted.wait()
        if not job.outcome:
            await self._run(job)
        job.state = job.outcome or ("FAILED" if job.exit_code else "COMPLETED")
        job.ended = time.time()
        job.gone.set()
        self._schedule()

    def _schedule(self) -> None:
        """Give nodes to the jobs at the head of the queue; the first that does not fit holds up the others."""
        free = self.free_nodes()
        waiting = [job for job in self._jobs.values() if job.eligible and not job.granted.is_set()]
        for place, job in enumerate(waiting):
            if job.request.nodes > len(free):
                impossible = job.request.nodes > len(self._settings.nodes)
                job.reason = "PartitionNodeLimit" if impossible else "Priority" if place else "Resources"
                if not impossible:
                    free = []
                continue
            job.nodes, free = tuple(free[: job.request.nodes]), free[job.request.nodes :]
            job.granted.set()

    async def _run(self, job: BatchJob) -> None:
        first = job.nodes[0]
        nodelist = hostlist(node.name for node in job.nodes)
        launch = job.request.launch
        environment = launch.on(
            first,
            SLURM_JOB_ID=str(job.job_id),
            SLURM_JOB_NODELIST=nodelist,
            SLURM_JOB_NUM_NODES=str(len(job.nodes)),
            SLURM_JOB_PARTITION=job.request.partition,
            SLURMD_NODENAME=first.name,
        )
        job.state, job.reason, job.started = "RUNNING", "None", time.time()
        job.process = await processes.start(launch, environment)
        limit = asyncio.get_running_loop().call_later(job.request.runtime_s, self._time_out, job)
        if job.outcome:
            self._terminate(job.process)
        job.exit_code = await job.process.wait()
        limit.cancel()

    def _time_out(self, job: BatchJob) -> None:
        if not job.outcome:
            self._end(job, "TIMEOUT", " DUE TO TIME LIMIT")

    def _end(self, job: BatchJob, outcome: str, cause: str) -> None:
        job.outcome = outcome
        job.reason = "TimeLimit" if outcome == "TIMEOUT" else "None"
        if job.started is None:
            job.granted.set()
            return
        job.state = "COMPLETING"
        self._complain(
            job, f"*** JOB {job.job_id} ON {job.nodes[0].name} CANCELLED AT {_stamp(time.time())}{cause} ***"
        )
        if job.process is not None:
            self._terminate(job.process)

    def _terminate(self, process: processes.Process) -> None:
        process.terminate()
        asyncio.get_running_loop().call_later(self._settings.kill_wait_s, process.kill)

    def _complain(self, job: BatchJob, text: str) -> None:
        line = f"slurmstepd-{job.nodes[0].name}: error: {text}\n"
        launch = job.request.launch
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(launch.directory / launch.stderr, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)


def hostlist(names: Iterable[str]) -> str:
    """Return the names as Slurm writes them: ``jwc[01-03,07],login``; one name stays as it is."""
    parts = []
    split = [_PREFIX.fullmatch(name) for name in names]
    matches = [match for match in split if match is not None]
    for (prefix, width), group in groupby(matches, key=lambda match: (match[1], len(match[2]))):
        numbers = [int(match[2]) for match in group if match[2]]
        if len(numbers) < 2:
            parts.append(prefix + "".join(f"{number:0{width}}" for number in numbers))
        else:
            parts.append(f"{prefix}[{_ranges(numbers, width)}]")
    return ",".join(parts)


_PREFIX = re.compile(r"(.*?)(\d*)", re.DOTALL)


def _ranges(numbers: Sequence[int], width: int) -> str:
    runs = [[numbers[0]]]
    for before, number in pairwise(numbers):
        if number == before + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]:0{width}}" + (f"-{run[-1]:0{width}}" if len(run) > 1 else "") for run in runs)


def _scontrol(job: BatchJob, queue_delay_s: float) -> dict[str, str]:
    request, started = job.request, job.started
    expected = job.submitted + queue_delay_s if not job.eligible else None
    end = job.ended or (started + request.runtime_s if started else None)
    fields: Mapping[str, str] = {
        "JobId": str(job.job_id),
        "JobName": request.name if re.fullmatch(r"[0-9a-zA-Z.:=~/]+", request.name) else "UNICORE_job",
        "UserId": f"{request.account}(1000)",
        "Account": request.project or "(null)",
        "JobState": job.state,
        "Reason": job.reason if job.ended is None or not job.exit_code or job.outcome else "NonZeroExitCode",
        "ExitCode": f"{job.exit_code}:0",
        "TimeLimit": _duration(request.runtime_s),
        "SubmitTime": _stamp(job.submitted),
        "StartTime": _stamp(started or job.ended or expected),
        "EndTime": _stamp(end),
        "Partition": request.partition,
        "NumNodes": str(request.nodes),
        "NodeList": hostlist(node.name for node in job.nodes),
        "WorkDir": str(request.launch.directory),
    }
    return {**fields, "BatchHost": job.nodes[0].name} if job.nodes else dict(fields)


def _stamp(moment: float | None) -> str:
    return "Unknown" if moment is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment))


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock
