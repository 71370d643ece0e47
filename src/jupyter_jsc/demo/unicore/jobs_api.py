# SPDX-License-Identifier: BSD-3-Clause
"""The routes of jobs: list and search, submit, look, change, act, delete."""

import asyncio
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from jupyter_jsc.demo.unicore import description
from jupyter_jsc.demo.unicore.auth import Caller
from jupyter_jsc.demo.unicore.engine import Engine
from jupyter_jsc.demo.unicore.faults import Faults, error
from jupyter_jsc.demo.unicore.jobs import Job, selected
from jupyter_jsc.demo.unicore.settings import SiteSettings

_PAGE = 200


class JobRoutes:
    """The routes below ``B/jobs``."""

    def __init__(self, settings: SiteSettings, engine: Engine, faults: Faults) -> None:
        self._settings = settings
        self._engine = engine
        self._faults = faults
        self.router = APIRouter(prefix=f"{settings.prefix}/jobs")
        add = self.router.add_api_route
        add("", self.jobs, methods=["GET"])
        add("", self.submit, methods=["POST"])
        add("/{job_id}", self.job, methods=["GET"])
        add("/{job_id}", self.change, methods=["PUT"])
        add("/{job_id}", self.delete, methods=["DELETE"])
        add("/{job_id}/details", self.details, methods=["GET"])
        add("/{job_id}/submitted", self.submitted, methods=["GET"])
        add("/{job_id}/actions/{action}", self.act, methods=["POST"])

    async def jobs(self, request: Request) -> Response:
        """Return the caller's jobs, newest first; 200 with an empty list for those who have or may see none."""
        query = request.query_params
        texts = (query.get("offset", "0"), query.get("num", str(_PAGE)))
        if not all(re.fullmatch(r"-?\d+", text) for text in texts):
            return Response(status_code=404)
        offset, num = map(int, texts)
        raw = query.get("tags", "")
        if num < 0 or offset < 0 or re.search(r"%(?![0-9A-Fa-f]{2})", raw):
            return error(500, "Could not list jobs")
        # The value is decoded once more than it should be.
        tags = [tag for tag in re.split(r"[,\s]+", unquote_plus(raw)) if tag]
        caller: Caller = request.state.caller
        found = [
            job for job in reversed(self._engine.jobs.values()) if job.readable_by(caller.dn) and job.has_tags(tags)
        ]
        page = found[offset : offset + num]
        base = f"{self._settings.core}/jobs"
        # The links lose the tags, as on the real server.
        links = {"self": f"{base}/?offset={offset}&num={num}"}
        if num == 0 or offset + num < len(found):
            links["next"] = f"{base}/?offset={offset + num}&num={num}"
        if offset:
            links["previous"] = f"{base}/?offset={max(0, offset - num)}&num={num}"
        answer = {
            "_links": {name: {"href": href} for name, href in links.items()},
            "jobs": [f"{base}/{job.id}" for job in page],
        }
        return JSONResponse(answer)

    async def submit(self, request: Request) -> Response:
        """Make a job of any JSON object: 201; what is wrong with it shows later."""
        if not request.headers.get("Content-Type", "").startswith("application/json"):
            return Response(status_code=415)
        caller: Caller = request.state.caller
        if caller.anonymous:
            return Response(status_code=403)
        try:
            text = json.loads(await request.body())
        except ValueError as problem:
            return error(500, f"Could not submit job: org.json.JSONException: {type(problem).__name__}")
        if not isinstance(text, dict):
            return error(500, "Could not submit job: org.json.JSONException: A JSONObject text must begin with '{'")
        job = self._engine.submit(caller, text)
        return Response(status_code=201, headers={"Location": f"{self._settings.core}/jobs/{job.id}"})

    async def job(self, request: Request, job_id: str) -> Response:
        """Return the job, the submitter's token included unless ``fields`` leaves it out."""
        job = self._find(request, job_id)
        if isinstance(job, Response):
            return job
        return JSONResponse(selected(job.view(self._settings.core), request.query_params.get("fields", "")))

    async def change(self, request: Request, job_id: str) -> Response:
        """Change tags, access list, end of life; 200 with a result for each key, errors included."""
        job = self._find(request, job_id, own=True)
        if isinstance(job, Response):
            return job
        try:
            wanted = json.loads(await request.body())
        except ValueError:
            return Response(status_code=500)
        if not isinstance(wanted, dict):
            return Response(status_code=500)
        return JSONResponse({key: _change(job, key, value) for key, value in wanted.items()})

    async def delete(self, request: Request, job_id: str) -> Response:
        """Forget the job at once; its processes and its directory follow."""
        job = self._find(request, job_id, own=True)
        if isinstance(job, Response):
            return job
        await self._engine.delete(job)
        return Response(status_code=204)

    async def details(self, request: Request, job_id: str) -> Response:
        """Return what the batch system says; ``N/A`` for a job that it does not have."""
        job = self._find(request, job_id)
        if isinstance(job, Response):
            return job
        if job.batch_id is None:
            return JSONResponse({"rawDetailsData": "N/A"})
        if self._faults.tsi_down:
            return error(500, "Error communicating to the TSI")
        if self._faults.controller_down:
            await asyncio.sleep(self._settings.controller_wait_s)
            return error(500, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
        if self._faults.forget_jobs:
            self._engine.batch.forget_ended()
        answer = self._engine.batch.describe(job.batch_id)
        if answer is None:
            return error(500, "slurm_load_jobs error: Invalid job id specified")
        return JSONResponse(selected(answer, request.query_params.get("fields", "")))

    async def submitted(self, request: Request, job_id: str) -> Response:
        """Return the description without inline data; the environment is still in it."""
        job = self._find(request, job_id)
        if isinstance(job, Response):
            return job
        return JSONResponse(description.without_data(job.description))

    async def act(self, request: Request, job_id: str, action: str) -> Response:
        """Start, abort or restart; 204 also where that means nothing."""
        job = self._find(request, job_id, own=True)
        if isinstance(job, Response):
            return job
        acts = {"start": self._engine.start, "abort": self._engine.abort, "restart": self._engine.restart}
        if action not in acts:
            return Response(status_code=404)
        await acts[action](job)
        return Response(status_code=204)

    def _find(self, request: Request, job_id: str, *, own: bool = False) -> Job | Response:
        job = self._engine.jobs.get(job_id)
        if job is None:
            return Response(status_code=404)
        dn = request.state.caller.dn
        allowed = dn == job.owner if own else job.readable_by(dn)
        return job if allowed else Response(status_code=403)


def _change(job: Job, key: str, value: Any) -> str:
    if key == "tags":
        if isinstance(value, list):
            job.tags = [str(tag) for tag in value]
        return "OK"
    if key == "acl" and isinstance(value, list):
        job.acl = [str(entry) for entry in value]
        return "OK"
    if key == "terminationTime":
        try:
            job.terminates = datetime.fromisoformat(str(value)).timestamp()
        except ValueError:
            return f'Error setting property: Unparseable date: "{value}"'
        return "OK"
    return "Property not found or cannot be modified!"
