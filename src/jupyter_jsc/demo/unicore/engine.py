# SPDX-License-Identifier: BSD-3-Clause
"""The job engine of a site: one scheduler task that takes all steps of all jobs and sends all notifications.

Called by :mod:`.jobs_api` (submit, abort, …); runs jobs through :mod:`.batch` and :mod:`.processes`. As in the
real server there is one task only: while a receiver of a notification hangs, no job of the site moves.
"""

import asyncio
import contextlib
import math
import secrets
import shutil
import string
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from jupyter_jsc.demo.unicore import description, processes, workspace
from jupyter_jsc.demo.unicore.auth import Caller
from jupyter_jsc.demo.unicore.batch import BatchSystem, Request
from jupyter_jsc.demo.unicore.description import Rejected
from jupyter_jsc.demo.unicore.faults import Faults
from jupyter_jsc.demo.unicore.jobs import FINAL, Job, Phase
from jupyter_jsc.demo.unicore.notify import Notifier
from jupyter_jsc.demo.unicore.settings import SiteSettings

_ATTEMPTS = 3
_ID_LETTERS = string.ascii_letters + string.digits
_KILLED = (
    "Failed: Job did not complete normally on BSS, please check standard error file and job log for more information."
)

log = structlog.get_logger()


class Engine:
    """All jobs of a site, and what moves them."""

    def __init__(self, settings: SiteSettings, faults: Faults, notifier: Notifier) -> None:
        self.jobs: dict[str, Job] = {}
        self.batch = BatchSystem(settings)
        self._settings = settings
        self._faults = faults
        self._notifier = notifier
        self._notes: list[tuple[Job, str, str]] = []
        self._processes: list[processes.Process] = []
        self._next_look = 0.0
        self._wake = asyncio.Event()
        self._steps: Mapping[Phase, Callable[[Job], Awaitable[None]]] = {
            Phase.NEW: self._accept,
            Phase.WAITING_FOR_CLIENT: self._wait_for_client,
            Phase.STAGE_IN: self._stage_in,
            Phase.SUBMIT: self._submit,
            Phase.FINISH: self._finish,
        }

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Let the parts of jobs that take time run as tasks of *tasks*; called once, before :meth:`run`."""
        self._tasks = tasks
        self.batch.open(tasks)

    # What the REST interface does.

    def submit(self, caller: Caller, text: Mapping[str, Any]) -> Job:
        """Make a job of a description, without looking into it, and return it."""
        assert caller.account is not None
        job_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(11))
        tags = text.get("Tags", text.get("tags"))
        job = Job(
            id=job_id,
            owner=caller.dn,
            account=caller.account,
            group=caller.group,
            projects=caller.identity.projects[caller.account],
            token=caller.token,
            description=text,
            directory=self._settings.scratch / "jobs" / job_id,
            notification=description.notification(text),
            terminates=time.time() + self._settings.lifetime_s,
            tags=[str(tag) for tag in tags] if isinstance(tags, list) else [],
            due=_now() + self._settings.step_s,
        )
        job.note("Created with type 'JSON'")
        job.note(f"Client: Name: {caller.dn}\nXlogin: uid: [{job.account}], gids: [addingOSgroups: true]\nRole: user")
        self.jobs[job_id] = job
        self._wake.set()
        return job

    async def start(self, job: Job) -> None:
        """Let a job go on that waits for its client; nothing else happens."""
        job.started_by_client, job.due = True, 0.0
        self._wake.set()

    async def abort(self, job: Job) -> None:
        """End a job: FAILED at once; with an unreachable TSI only in name, its process lives."""
        async with job.lock:
            if job.status in FINAL:
                return
            self._end_on_site(job)
            job.message = "Job aborted."
            self._enter(job, Phase.DONE, "FAILED")

    async def restart(self, job: Job) -> None:
        """Run a finished job again in its directory; message and exit code stay. Nothing for one that was refused."""
        async with job.lock:
            if job.status in FINAL and (job.wanted is not None or job.node is not None):
                job.vanished, job.attempts = None, 0
                self._enter(job, Phase.SUBMIT, "QUEUED")

    async def delete(self, job: Job) -> None:
        """Forget a job, end it and remove its directory; nobody is notified."""
        self.jobs.pop(job.id, None)
        async with job.lock:
            reachable = self._end_on_site(job)
            job.phase = Phase.DONE
        if reachable:
            self._tasks.create_task(self._remove(job))

    def _end_on_site(self, job: Job) -> bool:
        """Tell the site to end what runs of the job; returns whether the site could be told."""
        if self._faults.tsi_down or (self._faults.controller_down and job.batch_id is not None):
            job.note("Could not abort action on BSS: Error communicating to the TSI")
            return False
        if job.process is not None:
            self._terminate(job.process)
        elif job.batch_id is not None:
            self.batch.cancel(job.batch_id)
        return True

    async def _remove(self, job: Job) -> None:
        if job.process is not None:
            await job.process.wait()
        if job.batch_id is not None:
            await self.batch.wait(job.batch_id)
        await asyncio.to_thread(shutil.rmtree, job.directory, ignore_errors=True)

    def close(self) -> None:
        """End everything that runs; the task group ends when all of it has."""
        self.batch.close()
        for process in self._processes:
            self._terminate(process)

    def _terminate(self, process: processes.Process) -> None:
        process.terminate()
        asyncio.get_running_loop().call_later(self._settings.kill_wait_s, process.kill)

    # The one scheduler task.

    async def run(self) -> None:
        """Move all jobs until cancelled."""
        while True:
            self._wake.clear()
            now = _now()
            if now >= self._next_look:
                self._next_look = now + self._settings.status_lag_s
                for job in list(self.jobs.values()):
                    await self._guarded(job, self._look)
            for job in list(self.jobs.values()):
                if job.phase in self._steps and job.due <= _now():
                    await self._guarded(job, self._steps[job.phase])
            await self._deliver()
            await self._pause()

    async def _pause(self) -> None:
        dues = [job.due for job in self.jobs.values() if job.phase in self._steps]
        until = min([self._next_look, *dues])
        if self._notes:
            until = 0.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(self._settings.step_s / 5, until - _now())):
                await self._wake.wait()

    async def _guarded(self, job: Job, step: Callable[[Job], Awaitable[None]]) -> None:
        async with job.lock:
            if job.id not in self.jobs:
                return
            try:
                await step(job)
            except Rejected as rejected:
                self._fail(job, str(rejected))
            except Exception:  # the outermost frame of a step: one bad job must not end the site
                log.exception("step failed", job=job.id)
                self._fail(job, "Processing failed: java.lang.IllegalStateException: internal error of the demo")

    async def _deliver(self) -> None:
        notes, self._notes = self._notes, []
        for job, key, value in notes:
            if job.notification is None or job.id not in self.jobs:
                continue
            body = {"href": f"{self._settings.core}/jobs/{job.id}", key: value}
            if key == "status":
                # Filled now, not when the state changed: a RUNNING may carry the exit code already.
                body |= {"statusMessage": job.message, "batchSystemID": job.batch_system_id}
                body |= {} if job.exit_code is None else {"exitCode": job.exit_code}
            job.note(await self._notifier.send(job.notification.url, job.owner, body))

    def _enter(self, job: Job, phase: Phase, status: str, after_s: float = 0.0) -> None:
        job.phase = phase
        job.due = _now() + max(after_s, self._settings.step_s)
        if status != job.status:
            job.note(f"Status set to {status}.")
        if status != job.status and job.notification is not None and status in job.notification.states:
            self._notes.append((job, "status", status))
        job.status = status
        self._wake.set()

    def _fail(self, job: Job, message: str) -> None:
        job.message = message
        job.note(message)
        self._enter(job, Phase.DONE, "FAILED")

    # The steps of a job, in order.

    async def _accept(self, job: Job) -> None:
        if self._faults.tsi_down:
            self._try_later(job, "TSI unavailable at <127.0.0.1>")
            return
        if job.account in self._faults.missing_accounts:
            self._try_later(job, f"Attempted to run a task for an unknown user (no such user '{job.account}')")
            return
        job.attempts = 0
        await asyncio.to_thread(workspace.create, job.directory, description.umask(job.description.get("Umask")))
        job.workspace = "READY"
        job.note(f"Created job directory <{job.directory}/>")
        job.plan = description.parse(job.description)
        job.name, job.kind = job.plan.name, "BATCH" if job.plan.batch else "ON_LOGIN_NODE"
        if job.plan.batch:
            job.wanted = description.allocation(job.description, self._settings, job.projects, job.group)
            job.queue = job.wanted.partition
        else:
            job.node = description.login_node(job.plan, self._settings.login_nodes)
        if description.flag(job.description.get("haveClientStageIn")):
            self._enter(job, Phase.WAITING_FOR_CLIENT, "READY")
        elif job.plan.imports:
            self._enter(job, Phase.STAGE_IN, "STAGINGIN")
        else:
            self._enter(job, Phase.SUBMIT, "QUEUED")

    def _try_later(self, job: Job, problem: str) -> None:
        """Give the TSI two more chances, then fail for good, without a directory."""
        job.attempts += 1
        if job.attempts < _ATTEMPTS:
            job.due = _now() + self._settings.tsi_retry_s
            return
        job.workspace = "ERROR"
        java = "eu.unicore.xnjs.tsi.TSIUnavailableException" if "unavailable" in problem else "java.io.IOException"
        raise Rejected.because(problem, java)

    async def _wait_for_client(self, job: Job) -> None:
        assert job.plan is not None
        if not job.started_by_client:
            job.due = math.inf
        elif job.plan.imports:
            self._enter(job, Phase.STAGE_IN, "STAGINGIN")
        else:
            self._enter(job, Phase.SUBMIT, "QUEUED")

    async def _stage_in(self, job: Job) -> None:
        assert job.plan is not None
        if job.status == "STAGINGIN":
            await asyncio.to_thread(workspace.stage_in, job.directory, job.plan.imports)
            # Back to READY, as the real server does, before it goes on to QUEUED.
            self._enter(job, Phase.STAGE_IN, "READY")
        else:
            self._enter(job, Phase.SUBMIT, "QUEUED")

    async def _submit(self, job: Job) -> None:
        assert job.plan is not None
        plan = job.plan
        if not plan.command:
            self._enter(job, Phase.FINISH, "STAGINGOUT")
        elif self._faults.tsi_down:
            self._try_later(job, "TSI unavailable at <127.0.0.1>")
        elif plan.batch:
            await self._submit_batch(job)
        else:
            assert job.node is not None
            launch = await self._prepare(job, None)
            job.process = await processes.start(launch, launch.on(job.node))
            self._processes = [*(process for process in self._processes if not process.ended), job.process]
            self._tasks.create_task(job.process.wait())
            job.batch_system_id = f"INTERACTIVE_{job.node.name}_{job.process.pid}"
            self._enter(job, Phase.WATCH, "RUNNING")

    async def _submit_batch(self, job: Job) -> None:
        assert job.plan is not None
        assert job.wanted is not None
        wanted = job.wanted
        if self._faults.controller_down:
            job.due = _now() + self._settings.status_lag_s
            return
        launch = await self._prepare(job, workspace.batch_head(job.plan, wanted, job.directory))
        if wanted.refused:
            job.attempts += 1
            if job.attempts < _ATTEMPTS:
                job.due = _now() + self._settings.retry_s
                return
            command = (
                f"Command 'sbatch ./{launch.script}' failed with code 1: sbatch: error: Batch job submission failed"
            )
            text = f"TSI on <127.0.0.1>: TSI_FAILED: {command}: {wanted.refused}\n"
            raise Rejected.because(
                f"{text} (Command execution on TSI reported an error)", "eu.unicore.xnjs.tsi.TSIProblem"
            )
        job.batch_id = self.batch.submit(
            Request(
                name=job.plan.name,
                partition=wanted.partition,
                account=job.account,
                project=wanted.project,
                nodes=wanted.nodes,
                gpus=wanted.gpus,
                runtime_s=wanted.runtime_s,
                launch=launch,
            )
        )
        job.batch_state = "PENDING"
        job.batch_system_id = str(job.batch_id)
        self._enter(job, Phase.WATCH, "QUEUED")

    async def _prepare(self, job: Job, head: str | None) -> processes.Launch:
        assert job.plan is not None
        home = self._settings.scratch / "home" / job.account
        text = workspace.script(job.plan, job.directory, job.owner, job.account, home)
        job.note(f"Command is: {text}")
        name = await asyncio.to_thread(_write, home, job.directory, text, head)
        environment = {
            **self._settings.environment,
            "PATH": self._settings.path,
            "HOME": str(home),
            "USER": job.account,
            "LOGNAME": job.account,
            "LANG": "C.UTF-8",
        }
        return processes.Launch(name, job.directory, job.plan.stdout, job.plan.stderr, environment)

    async def _look(self, job: Job) -> None:
        """See what became of a job; called once in each status interval."""
        if time.time() >= job.terminates:
            self.jobs.pop(job.id, None)
            self._end_on_site(job)
            self._tasks.create_task(self._remove(job))
            return
        if job.phase is not Phase.WATCH or self._faults.tsi_down:
            return
        if job.batch_id is not None and self._faults.controller_down:
            return
        if self._still_there(job):
            return
        code = await asyncio.to_thread(workspace.exit_code, job.directory)
        if code is not None:
            job.exit_code = code
            self._enter(job, Phase.FINISH, "STAGINGOUT")
        elif self._faults.embedded:
            self._enter(job, Phase.DONE, "SUCCESSFUL")
        else:
            job.vanished = job.vanished or _now()
            if _now() >= job.vanished + self._settings.grace_s:
                self._fail(job, _KILLED)

    def _still_there(self, job: Job) -> bool:
        if job.batch_id is None:
            return job.process is not None and not job.process.ended
        state = self.batch.queue().get(job.batch_id)
        if state is None:
            return False
        if state != job.batch_state:
            job.batch_state = state
            if job.notification is not None and job.notification.wants_batch_state(state):
                self._notes.append((job, "bssStatus", state))
        if state != "PENDING" and job.status != "RUNNING":
            self._enter(job, Phase.WATCH, "RUNNING")
        return True

    async def _finish(self, job: Job) -> None:
        assert job.plan is not None
        if job.exit_code in {None, "0"} or job.plan.ignore_exit_code:
            self._enter(job, Phase.DONE, "SUCCESSFUL")
            return
        text = f"User application exited with non-zero exit code: <{job.exit_code}>."
        self._fail(job, f"{text} More information might be available in the job's working directory '{job.directory}/'")


def _write(home: Path, directory: Path, text: str, head: str | None) -> str:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return workspace.write_scripts(directory, text, head)


def _now() -> float:
    return asyncio.get_running_loop().time()
