# SPDX-License-Identifier: BSD-3-Clause
"""Storages and files of jobs: ``B/storages/<job>-uspace`` and everything below it.

The storage itself asks who owns the job; the files ask, as on the real server, only which Unix account comes:
another user of the same account reads everything, a user of another account sees an empty directory.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from jupyter_jsc.demo.unicore import workspace
from jupyter_jsc.demo.unicore.auth import Caller
from jupyter_jsc.demo.unicore.engine import Engine
from jupyter_jsc.demo.unicore.faults import Faults, error
from jupyter_jsc.demo.unicore.jobs import Job, selected, stamp
from jupyter_jsc.demo.unicore.settings import SiteSettings

_SUFFIX = "-uspace"
_BYTES = "application/octet-stream"
_MOST_ENTRIES = 10000


class FileRoutes:
    """The routes of storages."""

    def __init__(self, settings: SiteSettings, engine: Engine, faults: Faults) -> None:
        self._core = settings.core
        self._engine = engine
        self._faults = faults
        self.router = APIRouter(prefix=f"{settings.prefix}/storages")
        add = self.router.add_api_route
        add("", self.storages, methods=["GET"])
        add("/{storage}", self.storage, methods=["GET"])
        add("/{storage}/actions/{action}", self.action, methods=["POST"])
        for path in ("/{storage}/files", "/{storage}/files/{name:path}"):
            add(path, self.read, methods=["GET"])
            add(path, self.write, methods=["PUT"])
            add(path, self.make_directory, methods=["POST"])
            add(path, self.remove, methods=["DELETE"])

    async def storages(self, request: Request) -> Response:
        """Return the caller's job directories, which are listed with ``filter=all`` only."""
        caller: Caller = request.state.caller
        found = [job for job in self._engine.jobs.values() if job.owner == caller.dn]
        shown = found if request.query_params.get("filter") == "all" else []
        return JSONResponse({"storages": [self._url(job) for job in reversed(shown)], "_links": {}})

    async def storage(self, request: Request, storage: str) -> Response:
        """Return the storage's state: INITIALIZING until the directory is there, ERROR if it never will be."""
        job = self._job(storage)
        if job is None:
            return Response(status_code=404)
        caller: Caller = request.state.caller
        if not job.readable_by(caller.dn):
            return Response(status_code=403)
        url = self._url(job)
        links = {"self": url, "files": f"{url}/files", "job": f"{self._core}/jobs/{job.id}"}
        links |= {f"action:{action}": f"{url}/actions/{action}" for action in ("copy", "rename")}
        properties = {
            "resourceStatus": job.workspace,
            "resourceStatusMessage": "OK" if job.workspace == "READY" else "",
            "protocols": ["BFT"],
            "umask": "77",
            "description": "Job workspace",
            "metadataSupported": False,
            "mountPoint": f"{job.directory}/",
            "filesystemDescription": "Job workspace",
            "freeSpace": -1,
            "usableSpace": -1,
            "_links": {name: {"href": href} for name, href in links.items()},
        }
        return JSONResponse(selected(properties, request.query_params.get("fields", "")))

    async def read(self, request: Request, storage: str, name: str = "") -> Response:
        """Return bytes, or properties as JSON, as ``Accept`` asks."""
        job, path, refused = self._find(request, storage, name)
        if refused is not None or job is None or path is None:
            return refused or Response(status_code=404)
        foreign = request.state.caller.account != job.account
        if (foreign and name) or not path.exists():
            return Response(status_code=404)
        accept = request.headers.get("Accept", "*/*")
        if _BYTES in accept:
            if path.is_dir():
                return Response(status_code=406)
            return await asyncio.to_thread(_content, path, request.headers.get("Range"))
        properties = await asyncio.to_thread(_properties, job, path, f"{self._url(job)}/files", foreign)
        if "application/json" not in accept:
            return HTMLResponse("<html><body>File properties</body></html>")
        return JSONResponse(selected(properties, request.query_params.get("fields", "")))

    async def write(self, request: Request, storage: str, name: str = "") -> Response:
        """Store the body as a file; a JSON body changes permissions instead."""
        job, path, refused = self._find(request, storage, name, change=True)
        if refused is not None or job is None or path is None:
            return refused or Response(status_code=404)
        if request.headers.get("Content-Type", "").startswith("application/json"):
            wanted = (await request.json()).get("permissions")
            if isinstance(wanted, str) and path.exists():
                path.chmod(workspace.mode_of(wanted))
                return JSONResponse({"permissions": "OK"})
            return JSONResponse({})
        body = await request.body()
        await asyncio.to_thread(_store, path, body)
        return Response(status_code=204)

    async def make_directory(self, request: Request, storage: str, name: str = "") -> Response:
        """Make a directory with its parents."""
        _job, path, refused = self._find(request, storage, name, change=True)
        if refused is not None or path is None:
            return refused or Response(status_code=404)
        path.mkdir(parents=True, exist_ok=True)
        return Response(status_code=201, headers={"Location": str(request.url)})

    async def remove(self, request: Request, storage: str, name: str = "") -> Response:
        """Remove a file, or a directory with everything in it."""
        _job, path, refused = self._find(request, storage, name, change=True)
        if refused is not None or path is None:
            return refused or Response(status_code=404)
        if not path.exists():
            return error(500, f"Cannot delete <{name}>: no such file")
        await asyncio.to_thread(shutil.rmtree if path.is_dir() else Path.unlink, path)
        return Response(status_code=204)

    async def action(self, request: Request, storage: str, action: str) -> Response:
        """Rename or copy a file inside the storage."""
        if action not in {"rename", "copy"}:
            return Response(status_code=404)
        names = await request.json()
        if not isinstance(names, dict) or not {"from", "to"} <= names.keys():
            return error(400, "Missing parameter: need 'from' and 'to'")
        _job, source, refused = self._find(request, storage, str(names["from"]), change=True)
        _job, target, refused = self._find(request, storage, str(names["to"]), change=True)
        if refused is not None or source is None or target is None or not source.exists():
            return refused or error(500, f"Cannot {action} <{names['from']}>")
        if action == "rename":
            source.rename(target)
        else:
            await asyncio.to_thread(shutil.copy2, source, target)
        return Response(status_code=204)

    def _url(self, job: Job) -> str:
        return f"{self._core}/storages/{job.id}{_SUFFIX}"

    def _job(self, storage: str) -> Job | None:
        return self._engine.jobs.get(storage.removesuffix(_SUFFIX)) if storage.endswith(_SUFFIX) else None

    def _find(
        self, request: Request, storage: str, name: str, *, change: bool = False
    ) -> tuple[Job | None, Path | None, Response | None]:
        """Return job and path, or the answer that ends the request."""
        caller: Caller = request.state.caller
        job = self._job(storage)
        if job is None:
            return None, None, Response(status_code=404)
        if self._faults.tsi_down:
            return job, None, error(500, "Error communicating to the TSI")
        if caller.anonymous:
            return job, None, error(500, "Required UNIX user ID is null (security setup problem?)")
        if change and caller.account != job.account:
            return job, None, error(500, f"Cannot write <{name}>: permission denied")
        return job, workspace.inside(job.directory, name), None


def _content(path: Path, wanted: str | None) -> Response:
    data = path.read_bytes()
    if wanted is None:
        return Response(data, media_type=_BYTES)
    unit, _, text = wanted.partition("=")
    first, dash, last = text.partition("-")
    digits = [part for part in (first, last) if part]
    if unit != "bytes" or not dash or not digits or not all(part.isdecimal() for part in digits):
        return error(416, f"Cannot parse range header <{wanted}>")
    if not first:
        if int(last) > len(data):
            return error(416, f"Range <{wanted}> is longer than the file")
        return Response(data[len(data) - int(last) :], 206, media_type=_BYTES)
    end = int(last) + 1 if last else len(data)
    return Response(data[int(first) : end], 206, media_type=_BYTES)


def _properties(job: Job, path: Path, files_url: str, foreign: bool) -> dict[str, Any]:
    root = job.directory.resolve()
    shown = _entry(job, path) | {"metadata": {}}
    links = {"parentStorage": {"href": files_url.removesuffix("/files")}}
    if not path.is_dir():
        return shown | {"_links": links}
    entries = [] if foreign else sorted(path.iterdir())[:_MOST_ENTRIES]
    content = {}
    for entry in entries:
        if entry.exists():
            name = f"/{entry.relative_to(root)}" + ("/" if entry.is_dir() else "")
            content[name] = _entry(job, entry)
    # A real listing carries ``next`` also on its last page.
    links["next"] = {"href": f"{files_url}/{path.relative_to(root)}?offset={len(content)}"}
    return shown | {"content": content, "_links": links}


def _entry(job: Job, path: Path) -> dict[str, Any]:
    about = path.stat()
    return {
        "isDirectory": path.is_dir(),
        "size": 0 if path.is_dir() else about.st_size,
        "owner": job.account,
        "group": job.group or "users",
        "permissions": workspace.permissions_of(about.st_mode),
        "lastAccessed": stamp(about.st_mtime),
    }


def _store(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
