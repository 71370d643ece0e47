# SPDX-License-Identifier: BSD-3-Clause
"""The manager's REST service: starts, polls and stops labs on the systems of one kind of site.

Hubs call it; the site drivers of :mod:`jupyter_jsc.sites` do the work. It keeps no state: jobs carry the ids. One
gate for every route; the receiver of notifications checks the site's signature instead.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Path, Query, Request
from pydantic import SecretStr, ValidationError

from jupyter_jsc import names, service, wire
from jupyter_jsc.client import HubClient
from jupyter_jsc.config.settings import ManagerSettings
from jupyter_jsc.errors import Forbidden, InvalidRequest, NotAuthenticated
from jupyter_jsc.manager.notifications import LARGEST_BODY, Certificates, Message, Notifications, Received
from jupyter_jsc.sites import Site

LabPath = Annotated[str, Path(pattern=names.LAB_ID.pattern)]
StartPath = Annotated[str, Path(pattern=names.START_ID.pattern)]
Credential = Annotated[str | None, Header(alias=wire.CREDENTIAL_HEADER)]


class Labs:
    """The labs of all systems; one step at a time per start, so that a stop never overtakes its start."""

    def __init__(self, sites: Mapping[str, Site]) -> None:
        self._sites = sites
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[str, int] = defaultdict(int)

    def site(self, system: str) -> Site:
        """Return the driver of a system, or raise :class:`InvalidRequest`."""
        found = self._sites.get(system)
        if found is None:
            allowed = ", ".join(self._sites)
            raise InvalidRequest(
                f"system: {system!r} is not served here. Allowed: {allowed}.", field="system", allowed=allowed
            )
        return found

    @contextlib.asynccontextmanager
    async def turn(self, start_id: str) -> AsyncIterator[None]:
        """Let one request about a start in at a time; the lock goes with the last."""
        self._waiting[start_id] += 1
        try:
            async with self._turns[start_id]:
                yield
        finally:
            self._waiting[start_id] -= 1
            if not self._waiting[start_id]:
                del self._waiting[start_id]
                del self._turns[start_id]

    async def poll(self, labs: list[wire.LabRef]) -> dict[str, wire.LabState]:
        """Ask all sites at once; a lab of a system that is not served here is ``unknown``."""
        by_system: dict[str, list[wire.LabRef]] = {}
        for lab in labs:
            by_system.setdefault(lab.system, []).append(lab)
        known = [self._sites[name].poll(group) for name, group in by_system.items() if name in self._sites]
        states = {lab.start_id: wire.LabState(state=wire.State.UNKNOWN) for lab in labs}
        for answer in await asyncio.gather(*known):
            states.update(answer)
        return states

    async def health(self) -> dict[str, wire.SystemHealth]:
        """Return the health of every system."""
        answers = await asyncio.gather(*(site.health() for site in self._sites.values()))
        return dict(zip(self._sites, answers, strict=True))


def create_app(settings: ManagerSettings, sites: Mapping[str, Site], certificates: Certificates) -> FastAPI:
    """Return the manager for *sites* (driver by system); *certificates* fetch what signs their notifications."""
    hubs = {name: HubClient(peer.api_url, peer.token_file) for name, peer in settings.hubs.items()}
    notifications = Notifications(certificates, hubs)
    labs = Labs(sites)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for hub in hubs.values():
                await stack.enter_async_context(hub)
            for site in sites.values():
                await stack.enter_async_context(site)
            receiver = asyncio.create_task(notifications.run())
            try:
                yield
            finally:
                receiver.cancel()
                await asyncio.gather(receiver, return_exceptions=True)

    async def systems_answer() -> str:
        silent = sorted(name for name, health in (await labs.health()).items() if not health.available)
        return f"not available: {', '.join(silent)}" if silent else "ok"

    app = service.create_app(
        "Manager",
        callers=service.Callers(settings.callers_file),
        probes={"systems": systems_answer},
        lifespan=lifespan,
        self_authenticated=("/v1/notifications/",),
    )
    _add_lab_routes(app, labs)
    _add_notification_route(app, notifications)
    return app


def lab_ref(
    lab_id: LabPath,
    start_id: StartPath,
    system: Annotated[str, Query()],
    handle: Annotated[str | None, Query(max_length=2000)] = None,
    account: Annotated[str | None, Query()] = None,
    project: Annotated[str | None, Query()] = None,
    credential: Credential = None,
) -> wire.LabRef:
    """Return the reference that a request about one lab carries in path, query and header."""
    try:
        return wire.LabRef(
            lab_id=lab_id,
            start_id=start_id,
            system=system,
            handle=wire.Handle(url=handle) if handle else None,
            credential=SecretStr(credential) if credential else None,
            account=account,
            project=project,
        )
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise InvalidRequest(f"{place}: {error.errors()[0]['msg']}", field=place) from error


Reference = Annotated[wire.LabRef, Depends(lab_ref)]


def _add_lab_routes(app: FastAPI, labs: Labs) -> None:
    one = "/v1/labs/{lab_id}/starts/{start_id}"

    @app.put(one)
    async def start(
        lab_id: LabPath, start_id: StartPath, lab: wire.StartLab, request: Request, credential: Credential = None
    ) -> Any:
        if (lab.lab_id, lab.start_id) != (lab_id, start_id):
            raise InvalidRequest("lab_id and start_id differ from those in the address.", field="lab_id")
        if lab.hub != request.state.caller:
            raise Forbidden("A hub starts labs in its own name only.")
        async with labs.turn(start_id):
            answer = await labs.site(lab.options.system).start(lab, SecretStr(credential or ""))
        token = answer.site_token.get_secret_value() if answer.site_token else None
        return answer.model_dump(mode="json") | {"site_token": token}

    @app.get(one)
    async def state(lab: Reference) -> wire.LabState:
        labs.site(lab.system)
        return (await labs.poll([lab]))[lab.start_id]

    @app.delete(one, status_code=204)
    async def stop(lab: Reference) -> None:
        async with labs.turn(lab.start_id):
            await labs.site(lab.system).stop(lab)

    @app.get(f"{one}/log")
    async def log(lab: Reference) -> dict[str, str]:
        return {"text": await labs.site(lab.system).log(lab)}

    @app.post("/v1/labs/poll")
    async def poll(request: wire.PollRequest) -> wire.PollAnswer:
        return wire.PollAnswer(states=await labs.poll(request.labs))

    @app.get("/v1/systems")
    async def systems() -> dict[str, wire.SystemHealth]:
        return await labs.health()


def _add_notification_route(app: FastAPI, notifications: Notifications) -> None:
    @app.post("/v1/notifications/{system}/{hub}/{lab_id}/{start_id}", status_code=204)
    async def receive(system: str, hub: str, lab_id: LabPath, start_id: StartPath, request: Request) -> None:
        _ = lab_id
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token.count(".") != 2:
            raise NotAuthenticated("A notification needs the site's signature.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise InvalidRequest(f"A notification has at most {LARGEST_BODY} bytes.")
        try:
            message = Message.model_validate_json(body)
        except ValidationError as error:
            raise InvalidRequest("The notification is not understood.") from error
        notifications.accept(Received(system, hub, start_id, token, message))
