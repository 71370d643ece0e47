# SPDX-License-Identifier: BSD-3-Clause
"""A real JupyterHub with our spawner, handlers and journal, and the services around it that speak the wire contract.

The hub is a process of its own, so that it can be killed and started again on the same database. Manager, TunnelMgr and
labs are small servers of the test process, which do what a test tells them: queue, run, end, fail, lie.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from jupyter_jsc import names, wire
from tests.config.published import Published

BEGINNING = "c0"
"""The version of the configuration that the hub begins with."""
ACCOUNTS = {
    "alice": [["alice1", "juwels", "hai"], ["alice1", "jureca", "climate"]],
    "bob": [["bob1", "juwels_batch", "hai"]],
    "nora": [],
}
OPTIONS = {
    "system": "juwels",
    "option": "lab-4",
    "account": "alice1",
    "project": "hai",
    "partition": "batch",
    "reservation": None,
    "resources": {"nodes": 1, "runtime": 60},
    "software": {},
    "image": None,
}
_RESOURCES = {
    "nodes": {"label": "Nodes", "minimum": 1, "maximum": 4, "default": 1},
    "runtime": {"label": "Runtime", "minimum": 10, "maximum": 120, "default": 60, "step": 10, "unit": "min"},
}


def configuration(manager="http://127.0.0.1:1", tunnels="http://127.0.0.1:1"):
    """The configuration of two systems behind one manager, as a tree."""
    system = {
        "manager": "unicoremgr",
        "unicore": {"url": "http://127.0.0.1:1/rest/core"},
    }
    jump_host = {"host": "127.0.0.1", "host_key": "ssh-ed25519 AAAA"}
    return {
        "hub": "test",
        "identity_providers": {"jsc": {"label": "JSC"}},
        "managers": {"unicoremgr": {"url": manager}},
        "tunnelmgr": {"url": tunnels},
        "options": {
            "lab-4": {"label": "JupyterLab 4", "default": True},
            "old": {"label": "Old", "allowed": {"systems": ["jureca"]}},
        },
        "systems": {
            "juwels": system
            | {
                "label": "JUWELS",
                "jump_hosts": {"l1": jump_host},
                "lab_hosts": ["jwc*", "127.0.0.0/8"],
                "account_keys": {"juwels": ["batch", "login"], "juwels_batch": ["batch"]},
                "partitions": {"batch": {"resources": _RESOURCES}, "login": {"kind": "interactive"}},
            },
            "jureca": system
            | {
                "label": "JURECA",
                "jump_hosts": {"l2": jump_host},
                "lab_hosts": ["jrc*"],
                "account_keys": {"jureca": ["dc-cpu"]},
                "partitions": {"dc-cpu": {"resources": _RESOURCES}},
            },
        },
    }


HUB = '''
import json
from pathlib import Path

from jupyterhub.auth import DummyAuthenticator
from jupyterhub.proxy import Proxy
from pydantic import SecretStr

from jupyter_jsc import errors, log
from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.hub.configure import Dashboard, configure
from jupyter_jsc.hub.handlers import API_HANDLERS
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.stream import STREAM_HANDLERS

folder = Path(__file__).parent
facts = json.loads((folder / "facts.json").read_text())
database = f"sqlite:///{folder}/hub.sqlite"
settings = HubSettings(
    configuration=folder / "configuration" / "current",
    manager_token_files={"unicoremgr": folder / "token"},
    tunnelmgr_token_file=folder / "token",
    poll_interval_s=0.2,
)
log.configure("hub")


class RoutesInAFile(Proxy):
    """Keeps its routes where the test can read them, and over a restart of the hub."""

    should_start = False

    def _routes(self):
        path = folder / "routes.json"
        return json.loads(path.read_text()) if path.exists() else {}

    async def add_route(self, routespec, target, data):
        (folder / "routes.json").write_text(json.dumps(self._routes() | {routespec: {"target": target, "data": data}}))

    async def delete_route(self, routespec):
        routes = self._routes()
        routes.pop(routespec, None)
        (folder / "routes.json").write_text(json.dumps(routes))

    async def get_all_routes(self):
        return {spec: {"routespec": spec, **route} for spec, route in self._routes().items()}


class Names(DummyAuthenticator):
    portal = Portal.from_settings(settings, database_url=database)

    async def fresh_access_token(self, user, *, refused=None):
        mode = (folder / "login").read_text()
        if mode == "ended":
            raise errors.CredentialRefused("Please log in again.")
        if mode == "down":
            raise errors.Unavailable("The login service does not answer at the moment.")
        return SecretStr(f"{'second-' if refused else ''}access-of-{user.name}")

    def get_handlers(self, app):
        self.portal.start(app)
        return [*super().get_handlers(app), *API_HANDLERS, *STREAM_HANDLERS]


c = get_config()
configure(c, settings_file=folder / "none", manager_tokens={"unicoremgr": facts["manager_token"]},
    accounts_token=facts["accounts_token"], dashboard=Dashboard(facts["manager_address"], facts["dashboard_token"]))
c.JupyterHub.authenticator_class = Names
c.JupyterHub.proxy_class = RoutesInAFile
c.JupyterHub.db_url = database
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{facts['port']}"
c.JupyterHub.init_spawners_timeout = 1
c.JupyterHub.services = [*c.JupyterHub.services, {"name": "admin", "api_token": facts["admin_token"]}]
c.JupyterHub.load_roles = [
    *c.JupyterHub.load_roles,
    {
        "name": "tests",
        "scopes": ["admin:users", "admin:groups", "admin:auth_state", "admin:servers", "tokens", "read:metrics"],
        "services": ["admin"],
    },
]
c.Names.allow_all = c.Names.enable_auth_state = True
'''


_FACTS = ("port", "admin_token", "manager_token", "accounts_token", "dashboard_token", "manager_address")


def free_port():
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until(condition, seconds=60):
    """Wait until *condition* (maybe a coroutine function) gives something true; return that."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)


async def serve(app):
    """Run *app* on a free port; return the runner, which cleans up, and the address."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    return runner, f"http://127.0.0.1:{port}"


class Faulty:
    """A service that answers as it should, or as ``mode`` says."""

    mode = ""

    @web.middleware
    async def misbehave(self, request, handler):
        if self.mode == "":
            return await handler(request)
        if self.mode == "lost":
            await handler(request)
        if self.mode in {"down", "lost"}:
            request.transport.close()
            return web.Response()
        if self.mode == "cut":
            return web.Response(text='{"handle": {"ur', content_type="application/json")
        if self.mode == "nonsense":
            return web.json_response(["nonsense"])
        if self.mode == "html":
            return web.Response(text="<h1>It works</h1>", content_type="text/html", status=404)
        if self.mode == "500":
            return web.Response(status=500, text="Internal")
        if self.mode == "slow":
            await self.patience.wait()
            return await handler(request)
        kind, text = self.mode
        status = {"SiteRefused": 422, "CredentialRefused": 424, "HostKeyChanged": 495}.get(kind, 503)
        return web.json_response({"type": kind, "detail": text, "status": status}, status=status)


class Manager(Faulty):
    """A manager: keeps jobs by start id; tests set their states."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.mode = ""
        self.patience = asyncio.Event()
        self.jobs, self.puts, self.polls, self.deletes = {}, [], 0, []
        self.site_token = "site-token"
        self.refuses_site_token = False
        self.refuses = ""
        self.health = {}
        self.version = BEGINNING
        self.slow_systems = False

    def app(self):
        app = web.Application(middlewares=[self.misbehave])
        app.router.add_get("/health/live", self.live)
        app.router.add_get("/v1/systems", self.systems)
        app.router.add_put("/v1/labs/{lab}/starts/{start}", self.put)
        app.router.add_delete("/v1/labs/{lab}/starts/{start}", self.delete)
        app.router.add_post("/v1/labs/poll", self.poll)
        return app

    async def live(self, request):
        return web.json_response({"live": True, "details": {"configuration": self.version}})

    async def systems(self, request):
        if self.slow_systems:
            await self.patience.wait()
        return web.json_response(self.health)

    async def put(self, request):
        start_id, body = request.match_info["start"], await request.json()
        self.puts.append((start_id, request.headers[wire.CREDENTIAL_HEADER]))
        if self.puts[-1][1] == self.refuses:
            return web.json_response({"type": "CredentialRefused", "detail": "no"}, status=424)
        wire.StartLab.model_validate(body)
        self.jobs.setdefault(start_id, {"lab": body, "state": {"state": "queued"}})
        return web.json_response({"handle": {"url": f"job-of-{start_id}"}, "site_token": self.site_token})

    async def poll(self, request):
        self.polls += 1
        answer = {}
        for lab in (await request.json())["labs"]:
            job = self.jobs.get(lab["start_id"])
            refused = self.refuses_site_token and lab["credential"] == "site-token"
            unknown = {"state": "unknown", "code": "credential" if refused else ""}
            answer[lab["start_id"]] = job["state"] if job and not refused else unknown
        return web.json_response({"states": answer})

    async def delete(self, request):
        start_id, credential = request.match_info["start"], request.headers.get(wire.CREDENTIAL_HEADER)
        self.deletes.append((start_id, credential, request.query.get("handle")))
        if self.refuses_site_token and credential == "site-token":
            return web.json_response({"type": "CredentialRefused", "detail": "no"}, status=424)
        if start_id in self.jobs:
            self.jobs[start_id]["state"] = {"state": "ended"}
        return web.Response(status=204)

    def stopped(self, *start_ids):
        """Whether any of these jobs was stopped; the rest of an earlier test's labs may be cleaned up at any time."""
        return any(deleted[0] in start_ids for deleted in self.deletes)

    def set(self, start_id, **state):
        """Let the site say *state* of a job from now on."""
        self.jobs[start_id]["state"] = state


class Tunnels(Faulty):
    """TunnelMgr: every tunnel ends at one small server that plays the labs."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.mode = ""
        self.patience = asyncio.Event()
        self.records, self.opened, self.closed = {}, [], []
        self.lab_answers = True
        self.jump_hosts = []

    def app(self):
        app = web.Application(middlewares=[self.misbehave])
        app.router.add_get("/health/live", self.live)
        app.router.add_get("/v1/tunnels", self.all)
        app.router.add_get("/v1/jump-hosts", self.hosts)
        app.router.add_put("/v1/tunnels/{lab}", self.open)
        app.router.add_delete("/v1/tunnels/{lab}", self.close)
        return app

    def lab_app(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.lab)
        return app

    async def live(self, request):
        return web.json_response({"live": True, "details": {"configuration": BEGINNING}})

    async def all(self, request):
        return web.json_response(list(self.records.values()))

    async def hosts(self, request):
        return web.json_response(self.jump_hosts)

    async def open(self, request):
        lab, body = request.match_info["lab"], await request.json()
        wire.OpenTunnel.model_validate(body)
        self.opened.append((lab, body["start_id"], body["host"], body["port"]))
        host, _, port = self.lab_address.removeprefix("http://").partition(":")
        self.records[lab] = body | {"lab_id": lab, "endpoint_host": host, "endpoint_port": int(port), "jump_host": "l1"}
        return web.json_response(self.records[lab])

    async def close(self, request):
        lab, start = request.match_info["lab"], request.query["start_id"]
        self.closed.append((lab, start))
        if lab in self.records and self.records[lab]["start_id"] == start:
            del self.records[lab]
        return web.Response(status=204)

    async def lab(self, request):
        if not self.lab_answers:
            request.transport.close()
        return web.json_response({"version": "2"})


@dataclass
class Call:
    """An answer of the hub."""

    status: int
    body: object


@dataclass
class World:
    """Hub, manager, TunnelMgr and labs."""

    folder: Path
    port: int
    manager: Manager
    tunnels: Tunnels
    session: aiohttp.ClientSession
    published: Published
    manager_address: str
    tunnels_address: str
    admin_token: str = "a" * 64
    manager_token: str = "m" * 64
    accounts_token: str = "p" * 64
    dashboard_token: str = "d" * 64
    tokens: dict = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def hub(self):
        return f"http://127.0.0.1:{self.port}/hub"

    @property
    def log(self):
        return (self.folder / "log").read_text()

    async def begin(self, *, wait=True):
        """Start the hub, again on the same database."""
        with (self.folder / "log").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"),
                cwd=self.folder,
                stdout=output,
                stderr=output,
                env=os.environ | {"JUPYTERHUB_CRYPT_KEY": "ab" * 32, "CONFIGPROXY_AUTH_TOKEN": "x" * 64},
            )
        if wait:
            await until(self._answers, 150)

    async def _answers(self):
        assert self.process.returncode is None, self.log
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.get(f"{self.hub}/health") as answer:
                return answer.status == 200

    async def end(self, number=signal.SIGTERM):
        """End the hub by a signal."""
        self.process.send_signal(number)
        await self.process.wait()

    async def restart(self, number=signal.SIGTERM):
        """End the hub and start it again."""
        await self.end(number)
        await self.begin()

    def login(self, mode):
        """Make the login service answer: "" well, "ended" for ever no, "down" not at all."""
        (self.folder / "login").write_text(mode)

    async def commit(self, version, change):
        """Publish the beginning's configuration after *change* of its tree; return once the hub has it in force."""
        tree = configuration(self.manager_address, self.tunnels_address)
        change(tree)
        if not (self.published.folder / "versions" / version).exists():
            self.published.write(version, tree)
        self.published.flip(version)

        async def in_force():
            return (await self.ready()).body["details"]["configuration"] == version

        await until(in_force)

    async def ready(self):
        """The hub's readiness, as a probe without any token gets it."""
        return await self.call("GET", "/jsc/health/ready", token="")

    async def user(self, name):
        """Make the user with accounts; keep a token of theirs."""
        await self.call("POST", f"/users/{name}")
        changed = await self.call("PATCH", f"/users/{name}", {"auth_state": {"accounts": ACCOUNTS[name]}})
        assert changed.status == 200, changed
        self.tokens[name] = (await self.call("POST", f"/users/{name}/tokens", {})).body["token"]

    async def call(self, method, path, body=None, *, token=None, raw=None, headers=None):
        """Call the hub's API, as the administrator's service unless a token is given."""
        headers = {"Authorization": f"token {self.admin_token if token is None else token}"} | (headers or {})
        data = raw if raw is not None else (json.dumps(body) if body is not None else None)
        async with self.session.request(
            method, f"{self.hub}/api{path}", data=data, headers=headers if token != "" else {}
        ) as answer:
            text = await answer.text()
            try:
                return Call(answer.status, json.loads(text))
            except ValueError:
                return Call(answer.status, text)

    async def lab(self, server, user="alice", **change):
        """The lab as the API shows it."""
        labs = await self.call("GET", f"/jsc/labs/{user}", token=self.tokens[user])
        return next((lab for lab in labs.body["labs"] if lab["server"] == server), None)

    async def state(self, server, user="alice"):
        return (await self.lab(server, user) or {}).get("state")

    async def start(self, server, user="alice", **change):
        """Start a lab by JupyterHub's own route; return its start once the site has the job."""
        options = OPTIONS | ({"account": "bob1"} if user == "bob" else {}) | change
        done = set(self.manager.jobs)
        answer = await self.call(
            "POST", f"/users/{user}/servers/{server}", {"user_options": options}, token=self.tokens[user]
        )
        assert answer.status in {201, 202}, answer
        return await self.submitted(server, user, done)

    async def submitted(self, server, user="alice", known=frozenset()):
        """Return the start of that lab once the site has the job."""
        lab_id = names.lab_id("test", user, server)

        def found():
            new = [
                start_id
                for start_id, job in self.manager.jobs.items()
                if start_id not in known and job["lab"]["lab_id"] == lab_id
            ]
            return new[0] if new else None

        start_id = await until(found)
        return Lab(self, user, server, start_id, lab_id, self.manager.jobs[start_id]["lab"])

    async def running(self, server, user="alice", **change):
        """Start a lab and bring it to where it is ready."""
        lab = await self.start(server, user, **change)
        self.manager.set(lab.start_id, state="running", nodes=["jwc01"])
        await lab.until_code("accepted")
        assert (await lab.started()).status == 204
        await lab.until_code("ready")
        return lab


@dataclass
class Lab:
    """A start of a lab as the launcher and the user see it."""

    world: World
    user: str
    server: str
    start_id: str
    lab_id: str
    job: dict

    @property
    def token(self):
        return self.job["secrets"]["JUPYTERHUB_API_TOKEN"]

    async def post(self, what, body, *, token=None, start_id=None):
        """What the launcher posts."""
        return await self.world.call(
            "POST",
            f"/jsc/starts/{start_id or self.start_id}/{what}",
            body,
            token=self.token if token is None else token,
        )

    async def started(self, host="jwc01", port=8888, **by):
        return await self.post("started", {"host": host, "port": port}, **by)

    async def events(self):
        path = f"/jsc/labs/{self.user}/{self.server}/starts/{self.start_id}/events"
        return (await self.world.call("GET", path, token=self.world.tokens[self.user])).body["events"]

    async def codes(self):
        return [event["code"] for event in await self.events()]

    async def until_code(self, code):
        """Wait for an event; return it."""

        async def found():
            return next((event for event in await self.events() if event["code"] == code), None)

        return await until(found)

    async def outcome(self):
        path = f"/jsc/labs/{self.user}/{self.server}/starts"
        starts = (await self.world.call("GET", path, token=self.world.tokens[self.user])).body["starts"]
        return next(start["outcome"] for start in starts if start["start_id"] == self.start_id)

    async def in_state(self, state):
        return await self.world.state(self.server, self.user) == state

    async def hub_server(self):
        """JupyterHub's own model of the server."""
        return (await self.world.call("GET", f"/users/{self.user}/servers/{self.server}")).body

    async def stop(self):
        """JupyterHub's own route to stop."""
        path = f"/users/{self.user}/servers/{self.server}"
        return await self.world.call("DELETE", path, token=self.world.tokens[self.user])

    async def cancel(self):
        path = f"/jsc/labs/{self.user}/{self.server}/cancel"
        return await self.world.call("POST", path, token=self.world.tokens[self.user])


@contextlib.asynccontextmanager
async def world(folder):
    """The whole, running."""
    manager, tunnels = Manager(), Tunnels()
    runners = []
    lab_runner, tunnels.lab_address = await serve(tunnels.lab_app())
    manager_runner, manager_address = await serve(manager.app())
    tunnels_runner, tunnels_address = await serve(tunnels.app())
    runners = [lab_runner, manager_runner, tunnels_runner]
    published = Published(folder / "configuration")
    published.publish(BEGINNING, configuration(manager_address, tunnels_address))
    (folder / "jupyterhub_config.py").write_text(HUB)
    (folder / "token").write_text("t" * 40)
    (folder / "login").write_text("")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        made = World(folder, free_port(), manager, tunnels, session, published, manager_address, tunnels_address)
        facts = {name: getattr(made, name) for name in _FACTS}
        (folder / "facts.json").write_text(json.dumps(facts))
        try:
            await made.begin()
            for name in ACCOUNTS:
                await made.user(name)
            yield made
        finally:
            if made.process and made.process.returncode is None:
                await made.end(signal.SIGKILL)
            for runner in runners:
                await runner.cleanup()
