# SPDX-License-Identifier: BSD-3-Clause
"""The manager's REST service: starts, polls and stops labs on the systems of one kind of site.

Hubs call it; what is started is checked once more by :mod:`jupyter_jsc.rights`, then the site drivers of :mod:`.systems`
do the work. It keeps no state: jobs carry the ids. One gate for every route; the receiver of notifications checks the
site's signature instead.
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
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.settings import ManagerSettings
from jupyter_jsc.config.systems import SystemKind
from jupyter_jsc.errors import Forbidden, InvalidRequest, NotAuthenticated, Unavailable
from jupyter_jsc.manager.notifications import LARGEST_BODY, Message, Notifications, Received
from jupyter_jsc.manager.systems import MakeSite, Systems
from jupyter_jsc.rights.identity import Facts
from jupyter_jsc.rights.options import options_of_start
from jupyter_jsc.rights.validate import validate

LabPath = Annotated[str, Path(pattern=names.LAB_ID.pattern)]
StartPath = Annotated[str, Path(pattern=names.START_ID.pattern)]
Credential = Annotated[str | None, Header(alias=wire.CREDENTIAL_HEADER)]


class Labs:
    """The labs of all systems; one step at a time per start, so that a stop never overtakes its start."""

    def __init__(self, current: Current, systems: Systems) -> None:
        self._current = current
        self._systems = systems
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def start(self, lab: wire.StartLab, credential: SecretStr | None) -> wire.StartAnswer:
        """Start a lab that may be started, under the configuration that the hub checked it with.

        So that request may be repeated after a commit that would refuse it. A hub of which none is said, or one whose
        version is not here any more, is answered by the one in force.
        """
        named = await asyncio.to_thread(self._current.find, lab.configuration) if lab.configuration else None
        configuration = named or self._current.configuration
        try:
            async with self._systems.starting(lab.options.system, configuration) as site:
                return await site.start(checked(lab, configuration), credential)
        except InvalidRequest as error:
            # Judged by what was asked, not by a version that has come since: a start must not be lost to that.
            if named is not None or not lab.configuration:
                raise
            raise Unavailable(
                "The manager of this system does not have the newest configuration yet. Please try again in a minute.",
                retry_after_s=10,
                version=lab.configuration,
                refused=error.message,
            ) from error

    async def stop(self, lab: wire.LabRef) -> None:
        """End a lab."""
        async with self._systems.about(lab.system, lab.configuration) as site:
            await site.stop(lab)

    async def log(self, lab: wire.LabRef) -> str:
        """Return the end of a lab's output."""
        async with self._systems.about(lab.system, lab.configuration) as site:
            return await site.log(lab)

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
        served = self._systems.names
        by_site: dict[tuple[str, str], list[wire.LabRef]] = {}
        for lab in labs:
            by_site.setdefault((lab.system, "" if lab.system in served else lab.configuration), []).append(lab)
        states = {lab.start_id: wire.LabState(state=wire.State.UNKNOWN) for lab in labs}
        for answer in await asyncio.gather(*(self._poll(*site, group) for site, group in by_site.items())):
            states.update(answer)
        return states

    async def state(self, lab: wire.LabRef) -> wire.LabState:
        """Ask about one lab, or raise :class:`InvalidRequest` if its system is not served here."""
        async with self._systems.about(lab.system, lab.configuration) as site:
            return (await site.poll([lab]))[lab.start_id]

    async def health(self) -> dict[str, wire.SystemHealth]:
        """Return the health of every system."""
        names = self._systems.names
        answers = await asyncio.gather(*map(self._health, names))
        return dict(zip(names, answers, strict=True))

    async def _poll(self, system: str, version: str, labs: list[wire.LabRef]) -> Mapping[str, wire.LabState]:
        try:
            async with self._systems.about(system, version) as site:
                return await site.poll(labs)
        except InvalidRequest:
            return {}

    async def _health(self, system: str) -> wire.SystemHealth:
        async with self._systems.about(system, "") as site:
            return await site.health()


def checked(lab: wire.StartLab, configuration: Configuration) -> wire.StartLab:
    """Return *lab* with complete options, or raise :class:`InvalidRequest` naming what may not be started.

    Account, project and groups are the hub's word; everything else must be possible with them.
    """
    tree = options_of_start(lab, configuration, Facts())
    return lab.model_copy(update={"options": validate(lab.options, tree)})


def create_app(current: Current, settings: ManagerSettings, drivers: Mapping[SystemKind, MakeSite]) -> FastAPI:
    """Return the manager of the systems that are its own, with the driver of each kind in *drivers*."""
    hubs = {name: HubClient(peer.api_url, peer.token_file) for name, peer in settings.hubs.items()}
    systems = Systems(current, drivers, settings.name)
    notifications = Notifications(systems.certificate, hubs)
    systems.on_change(notifications.heard)
    labs = Labs(current, systems)

    async def changed() -> None:
        await systems.follow()
        notifications.forget_keys()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for hub in hubs.values():
                await stack.enter_async_context(hub)
            await stack.enter_async_context(systems)
            tasks = [asyncio.create_task(notifications.run()), asyncio.create_task(current.watch(changed))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def systems_answer() -> str:
        silent = sorted(name for name, health in (await labs.health()).items() if not health.available)
        return f"not available: {', '.join(silent)}" if silent else "ok"

    app = service.create_app(
        "Manager",
        callers=service.Callers(settings.callers_file),
        probes={"systems": systems_answer},
        lifespan=lifespan,
        self_authenticated=("/v1/notifications/",),
        details=current.details,
        collectors=[current],
    )
    _add_lab_routes(app, labs)
    _add_notification_route(app, notifications)
    return app


def lab_ref(
    request: Request,
    lab_id: LabPath,
    start_id: StartPath,
    system: Annotated[str, Query()],
    handle: Annotated[str | None, Query(max_length=2000)] = None,
    account: Annotated[str | None, Query()] = None,
    project: Annotated[str | None, Query()] = None,
    configuration: Annotated[str, Query()] = "",
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
            configuration=configuration,
            hub=request.state.caller,
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
            answer = await labs.start(lab, SecretStr(credential) if credential else None)
        token = answer.site_token.get_secret_value() if answer.site_token else None
        return answer.model_dump(mode="json") | {"site_token": token}

    @app.get(one)
    async def state(lab: Reference) -> wire.LabState:
        return await labs.state(lab)

    @app.delete(one, status_code=204)
    async def stop(lab: Reference) -> None:
        async with labs.turn(lab.start_id):
            await labs.stop(lab)

    @app.get(f"{one}/log")
    async def log(lab: Reference) -> dict[str, str]:
        return {"text": await labs.log(lab)}

    @app.post("/v1/labs/poll")
    async def poll(asked: wire.PollRequest, request: Request) -> wire.PollAnswer:
        hub = request.state.caller
        return wire.PollAnswer(states=await labs.poll([lab.model_copy(update={"hub": hub}) for lab in asked.labs]))

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
