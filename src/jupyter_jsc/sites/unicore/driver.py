# SPDX-License-Identifier: BSD-3-Clause
"""The driver: starts, polls and stops labs as UNICORE jobs. Keeps nothing but caches.

A job is found again by its tags, whoever lost its handle. Every job that is acted on carries both ids of the start
among its *own* tags: a search treats ``_`` as a wildcard. Called by ``manager.app``.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import structlog
from pydantic import SecretStr

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import System
from jupyter_jsc.errors import CredentialRefused, InvalidRequest, JSCError, NotFound, SiteRefused, SiteUnavailable
from jupyter_jsc.sites.unicore import job, read
from jupyter_jsc.sites.unicore.transport import Caller, Connection, Refused
from jupyter_jsc.wire import CREDENTIAL_HEADER, Handle, LabRef, LabState, StartAnswer, StartLab, State, SystemHealth

log = structlog.get_logger()

_TOKEN_LIFETIMES_S = (30 * 86400, 7 * 86400, 86400, 3600)
"""Tried in turn: a server issues none beyond the end of its certificate."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8000}=*")
"""What may stand behind ``Bearer`` (RFC 6750 §2.1); a page of HTML may not."""
_DETAILS_AGE_S = 10.0
_TAIL_BYTES = 4096
_EXIT_CODE_FILE = "UNICORE_SCRIPT_EXIT_CODE"
"""Written by UNICORE's own wrapper at the end, removed at the beginning."""
_AT_ONCE = 16
_POLL_S = 20.0
_STOP_LOOKS = 20
_OCTETS = {"Accept": "application/octet-stream"}

Pause = Callable[[float], Awaitable[None]]


class UnicoreSite:
    """One system behind UNICORE. An async context manager."""

    def __init__(
        self,
        name: str,
        system: System,
        configuration: Configuration,
        public_url: str,
        *,
        pause: Pause = asyncio.sleep,
    ) -> None:
        if system.unicore is None:
            raise ValueError(f"system {name} is not reached through UNICORE")
        self.name = name
        self._system = system
        self._unicore = system.unicore
        self._configuration = configuration
        self._notification_base = f"{public_url.rstrip('/')}/v1/notifications/{name}"
        self._pause = pause
        self._connection = Connection(system.label, str(system.unicore.url), system.unicore.ca_file)
        self._details_cache: dict[str, tuple[float, dict[str, Any]]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def start(self, lab: StartLab, credential: SecretStr | None) -> StartAnswer:
        """Return the handle of the lab's job, submitted with a token of the site so that none of the user's is stored.

        Raises :class:`InvalidRequest`, :class:`CredentialRefused`, :class:`SiteRefused` and :class:`SiteUnavailable`;
        after the last, the same request again finds the job if there is one.
        """
        if credential is None:
            raise InvalidRequest("A start on this system needs the user's access token.", field=CREDENTIAL_HEADER)
        description = self._describe(lab)
        try:
            token, expires = await self._exchange(credential)
            caller = self._connection.as_user(token, lab.options.account, lab.options.project)
            url = await self._find(caller, lab.lab_id, lab.start_id)
            url = url or await self._submit(caller, lab, description)
        except Refused as error:
            raise await self._explain(credential, lab) from error
        return StartAnswer(handle=Handle(url=url), site_token=token, site_token_expires=expires)

    async def poll(self, labs: Sequence[LabRef]) -> Mapping[str, LabState]:
        """Return the states by start id; trouble with one lab or with the whole site is ``unknown``."""

        async def one(lab: LabRef) -> tuple[str, LabState]:
            try:
                async with asyncio.timeout(_POLL_S), self._turns:
                    return lab.start_id, await self._state(lab)
            except (JSCError, TimeoutError) as error:
                reason = "credential" if isinstance(error, CredentialRefused) else "unavailable"
                return lab.start_id, LabState(state=State.UNKNOWN, code=reason)

        return dict(await asyncio.gather(*map(one, labs)))

    async def stop(self, lab: LabRef) -> None:
        """End every job of this start; done when the site proves the end or knows none.

        Raises :class:`SiteUnavailable` if the end is not proven; the caller tries again.
        """
        caller = self._caller(lab)
        try:
            found = {
                url for url in [await self._own(caller, lab), await self._find(caller, lab.lab_id, lab.start_id)] if url
            }
            for url in found:
                await self._end(caller, url)
        except Refused as error:
            raise CredentialRefused(f"{self._system.label} does not accept the login any more.") from error

    async def log(self, lab: LabRef) -> str:
        """Return the last lines of the lab's output: stdout, then stderr."""
        caller = self._caller(lab)
        url = await self._own(caller, lab) or await self._find(caller, lab.lab_id, lab.start_id)
        if url is None:
            raise NotFound(f"{self._system.label} does not know this job any more.")
        parts = [await self._tail(caller, url, name) for name in ("stdout", "stderr")]
        return "\n".join(part for part in parts if part)

    async def health(self) -> SystemHealth:
        """Return whether the site takes jobs; anybody may ask."""
        try:
            answer = await self._connection.anonymous().get("", fields="server")
        except JSCError as error:
            return SystemHealth(available=False, text=error.message)
        # Not "externalConnections": they say OK of what is down.
        submission = _part(answer, "server", "jobSubmission")
        return SystemHealth(
            available=submission.get("enabled") is not False, text=str(submission.get("message") or "")[:300]
        )

    async def certificate(self) -> bytes:
        """Return the server's certificate (PEM), which signs its notifications."""
        return await self._connection.anonymous().text("/certificate", {"Accept": "text/plain"})

    def _caller(self, lab: LabRef) -> Caller:
        return self._connection.as_user(lab.credential, lab.account, lab.project)

    async def _exchange(self, credential: SecretStr) -> tuple[SecretStr, datetime]:
        """Return a token that the site issues for this user and accepts here only (``limited``), and its end."""
        caller = self._connection.as_user(credential, None, None)
        for lifetime_s in _TOKEN_LIFETIMES_S:
            try:
                token = await caller.text(
                    "/token", {"Accept": "text/plain"}, lifetime=lifetime_s, limited="true", renewable="true"
                )
            except Refused:
                raise  # 403 is about the user; below it is about the lifetime
            except NotFound as error:
                raise SiteRefused(f"{self._system.label} issues no tokens; its operators must allow it.") from error
            except SiteRefused:
                continue
            text = token.decode("ascii", "replace").strip()
            if not _TOKEN.fullmatch(text):
                raise SiteUnavailable(f"{self._system.label} answers with something that is no token.")
            return SecretStr(text), _expiry(text) or datetime.now(UTC) + timedelta(seconds=lifetime_s)
        raise SiteRefused(f"{self._system.label} issues no tokens; its certificate may have ended.")

    def _describe(self, lab: StartLab) -> dict[str, Any]:
        url = f"{self._notification_base}/{lab.hub}/{lab.lab_id}/{lab.start_id}" if self._unicore.notifications else ""
        return job.description(lab, self._system, self._configuration, url)

    async def _submit(self, caller: Caller, lab: StartLab, description: Mapping[str, Any]) -> str:
        try:
            answer = await caller.post("/jobs", dict(description))
        except SiteUnavailable:
            # The job may be there although its answer is lost.
            if found := await self._find(caller, lab.lab_id, lab.start_id):
                return found
            raise
        job_id = _job_id(answer.headers.get("location", ""))
        if job_id is None:
            raise SiteUnavailable(f"{self._system.label} accepted the job but does not say which it is.")
        return self._url(job_id)

    async def _explain(self, credential: SecretStr, lab: StartLab) -> JSCError:
        """Return why the site answered 403: the token, the user without an account, or this account and project."""
        label = self._system.label
        try:
            who = await self._connection.as_user(credential, None, None).get("", fields="client")
        except Refused:
            return CredentialRefused(f"{label} does not accept your login. Please log in again.")
        if _part(who, "client", "role").get("selected") == "anonymous":
            return CredentialRefused(
                f"{label} knows no account of yours. Ask its support whether your account is active."
            )
        account, project = lab.options.account, lab.options.project
        return SiteRefused(f"{label} does not let you use account {account} with project {project}.")

    async def _state(self, lab: LabRef) -> LabState:
        caller = self._caller(lab)
        try:
            url = await self._own(caller, lab) or await self._find(caller, lab.lab_id, lab.start_id)
            if url is None:
                return await self._gone(caller, lab)
            properties = await caller.get(self._path(url), fields=read.FIELDS)
        except Refused as error:
            raise CredentialRefused(f"{self._system.label} does not accept the login any more.") from error
        except NotFound:
            return await self._gone(caller, lab)
        details = await self._details(caller, url, properties)
        found = read.state(properties, details, "")
        if found.state is State.ENDED:
            stderr = await self._tail_or_nothing(caller, url, "stderr")
            early = read.status(properties) not in read.FINAL
            exit_code = await self._tail_or_nothing(caller, url, _EXIT_CODE_FILE) if early else ""
            found = read.state(properties, details, stderr, exit_code)
            return found if early else read.in_plainer_words(found, properties, self._unicore.messages)
        return found

    async def _gone(self, caller: Caller, lab: LabRef) -> LabState:
        """Return "ended" only if the site, up for some seconds, knows this user and no job of this start.

        An empty list alone proves nothing: callers without an account get one too, and so does another account.
        """
        for pause_s in (2.0, 0.0):
            who = await caller.get("", fields="client")
            if not _is(who, lab.account):
                return LabState(state=State.UNKNOWN, code="credential")
            if await self._find(caller, lab.lab_id, lab.start_id):
                return LabState(state=State.UNKNOWN)
            await self._pause(pause_s)
        return LabState(state=State.ENDED, code="gone", text=f"{self._system.label} has removed the job.")

    async def _own(self, caller: Caller, lab: LabRef) -> str | None:
        """Return the handle's job if it is there and its own tags say that it is this start's."""
        job_id = _job_id(lab.handle.url) if lab.handle else None
        if job_id is None:
            return None
        try:
            tags = (await caller.get(f"/jobs/{job_id}", fields="tags")).get("tags")
        except NotFound:
            return None
        return self._url(job_id) if _carries(tags, lab.lab_id, lab.start_id) else None

    async def _find(self, caller: Caller, lab_id: str, start_id: str) -> str | None:
        listed = (await caller.get("/jobs", tags=f"{lab_id},{start_id}", num=20)).get("jobs")
        for url in listed if isinstance(listed, list) else []:
            job_id = _job_id(str(url))
            if job_id is None:
                continue
            try:
                tags = (await caller.get(f"/jobs/{job_id}", fields="tags")).get("tags")
            except NotFound:
                continue
            if _carries(tags, lab_id, start_id):
                return self._url(job_id)
        return None

    async def _details(self, caller: Caller, url: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the batch system says, at most ten seconds old; nothing if it says nothing now."""
        status = read.status(properties)
        waiting, final = status == "QUEUED", status in read.FINAL
        if properties.get("jobType") != "BATCH" or not (waiting or final or status == "RUNNING"):
            return {}
        then, details = self._details_cache.get(url, (0.0, {}))
        fresh = time.monotonic() - then < _DETAILS_AGE_S
        if fresh and (waiting or details.get("NodeList")) and not final:
            return details
        try:
            details = await caller.get(f"{self._path(url)}/details", fields=read.DETAIL_FIELDS)
        except (SiteUnavailable, NotFound):
            return {} if final else details
        self._remember(url, details)
        return details

    def _remember(self, url: str, details: dict[str, Any]) -> None:
        now = time.monotonic()
        if len(self._details_cache) > 5000:
            kept = {key: value for key, value in self._details_cache.items() if now - value[0] < _DETAILS_AGE_S}
            self._details_cache = kept
        self._details_cache[url] = (now, details)

    async def _end(self, caller: Caller, url: str) -> None:
        """Abort the job, see it ended, and remove it with its directory.

        UNICORE's own word is not believed: with its login nodes out of reach it says "aborted" of a job that runs on.
        """
        path = self._path(url)
        try:
            if read.status(await caller.get(path, fields="status")) not in read.FINAL:
                await caller.post(f"{path}/actions/abort", {})
            for _ in range(_STOP_LOOKS):
                properties = await caller.get(path, fields=read.FIELDS)
                if read.status(properties) in read.FINAL and await self._over(caller, path, properties):
                    await caller.delete(path)
                    self._details_cache.pop(url, None)
                    return
                await self._pause(0.25)
        except NotFound:
            return
        raise SiteUnavailable(f"{self._system.label} has not confirmed yet that the job has ended.")

    async def _over(self, caller: Caller, path: str, properties: Mapping[str, Any]) -> bool:
        """Tell whether a job in a final state may be removed: it has ended, or nothing but its removal can end it.

        A job that UNICORE calls aborted while the batch system runs it cannot be aborted again.
        """
        if properties.get("jobType") != "BATCH":
            # A login node's processes show in nothing but the log: "Could not abort".
            said = (await caller.get(path, fields="log")).get("log")
            return not (isinstance(said, list) and any("Could not abort" in str(line) for line in said))
        if str(properties.get("batchSystemID") or "N/A") == "N/A":
            return True
        try:
            details = await caller.get(f"{path}/details", fields=read.DETAIL_FIELDS)
        except SiteUnavailable as error:
            return "Invalid job id" in str(error.detail.get("said", ""))
        if read.state({"status": "RUNNING"}, details, "").state is not State.ENDED:
            log.warning("job runs although it was aborted, removing it", system=self.name, job=path)
        return True

    async def _tail_or_nothing(self, caller: Caller, url: str, name: str) -> str:
        try:
            return await self._tail(caller, url, name)
        except JSCError:
            return ""

    async def _tail(self, caller: Caller, url: str, name: str) -> str:
        """Return the last 4 kB of a file of the job; a shorter file answers 416 to that range."""
        path = f"/storages/{_job_id(url)}-uspace/files/{name}"
        try:
            data = await caller.text(path, {**_OCTETS, "Range": f"bytes=-{_TAIL_BYTES}"})
        except SiteUnavailable as error:
            if error.detail.get("status") != 416:
                raise
            data = await caller.text(path, _OCTETS)
        except NotFound:
            return ""
        return data[-_TAIL_BYTES:].decode("utf-8", "replace")

    def _url(self, job_id: str) -> str:
        return f"{self._connection.url}/jobs/{job_id}"

    def _path(self, url: str) -> str:
        return f"/jobs/{_job_id(url)}"


def _job_id(url: str) -> str | None:
    """Return the id at the end of a job's address; the rest may name a gateway or an old host and is not used."""
    job_id = url.rstrip("/").rpartition("/jobs/")[2]
    return job_id if job_id.isalnum() and job_id.isascii() and len(job_id) <= 64 else None


def _carries(tags: object, lab_id: str, start_id: str) -> bool:
    return isinstance(tags, list) and lab_id in tags and start_id in tags


def _is(root: Mapping[str, Any], account: str | None) -> bool:
    """Tell whether the site says that the caller has a role and this account; any account if it is None."""
    role = _part(root, "client", "role").get("selected")
    uid = _part(root, "client", "xlogin").get("UID")
    return role not in {None, "anonymous"} and bool(uid) and account in {None, uid}


def _part(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the object at *path*; an empty one if there is something else."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _expiry(token: str) -> datetime | None:
    """Return the end of a JWT's life; its signature is the site's own business."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None
