# SPDX-License-Identifier: BSD-3-Clause
"""A real JupyterHub with our pages and :mod:`.offer`'s centre, and visitors with browsers that have no scripts.

The hub runs as a process of its own, without a proxy, with a login by name alone; its labs' manager does not answer, so
starts wait. What a browser does with the pages is tested in ``tests/browser``.
"""

import asyncio
import contextlib
import html.parser
import json
import os
import re
import signal
import sys

import aiohttp
import pytest

from tests.config.published import Published
from tests.hub import offer
from tests.hub.world import free_port, until

ACCOUNTS = {
    "alice": [["ann1", "juwels", "hai"], ["ann1", "login", "climate"], ["ann1", "jureca", "hai"]],
    "nora": [],
    "zoe": [["zoe1", "juwels", "hai"]],
}
BATCH = {
    "title": "My <b>lab</b>",
    "action": "save",
    "system": "juwels",
    "option": "new",
    "account": "ann1",
    "project": "hai",
    "partition": "batch",
    "reservation": "",
    "place": "juwels/batch",
    "resources.nodes": "1",
    "resources.runtime": "60",
}
HUB = """
import json
from pathlib import Path

from jupyterhub.auth import DummyAuthenticator
from jupyterhub.proxy import Proxy
from pydantic import SecretStr

from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.hub.configure import configure
from jupyter_jsc.hub.handlers import API_HANDLERS
from jupyter_jsc.hub.login import LoginPage
from jupyter_jsc.hub.pages import PAGE_HANDLERS
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.stream import STREAM_HANDLERS

folder = Path(__file__).parent
port, accounts = json.loads((folder / "facts.json").read_text())
database = f"sqlite:///{folder}/hub.sqlite"
settings = HubSettings(
    configuration=folder / "configuration" / "current",
    manager_token_files={"m": folder / "token"},
    tunnelmgr_token_file=folder / "token",
)


class NoProxy(Proxy):
    should_start = False

    async def add_route(self, routespec, target, data): ...
    async def delete_route(self, routespec): ...
    async def get_all_routes(self): return {}


class Names(DummyAuthenticator):
    portal = Portal.from_settings(settings, database_url=database)

    async def authenticate(self, handler, data):
        return {"name": data["username"], "auth_state": {"accounts": accounts.get(data["username"], [])}}

    async def fresh_access_token(self, user, *, refused=None):
        return SecretStr("x")

    def get_handlers(self, app):
        self.portal.start(app)
        login = dict(super().get_handlers(app))["/login"]
        return [("/ways", LoginPage), ("/login", login), *API_HANDLERS, *STREAM_HANDLERS, *PAGE_HANDLERS]


c = get_config()
configure(c, settings_file=folder / "none", manager_tokens={})
c.JupyterHub.authenticator_class = Names
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.db_url = database
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port}"
c.Names.allow_all = c.Names.enable_auth_state = True
"""


class Pages:
    """The hub and its configuration."""

    def __init__(self, folder):
        self.folder, self.port, self.version = folder, free_port(), 0
        self.address = f"http://127.0.0.1:{self.port}/hub"
        self.published = Published(folder / "configuration")

    async def begin(self):
        """Start the hub."""
        self.published.publish("c0", offer.tree(f"http://127.0.0.1:{free_port()}"))
        (self.folder / "jupyterhub_config.py").write_text(HUB)
        (self.folder / "facts.json").write_text(json.dumps([self.port, ACCOUNTS]))
        (self.folder / "token").write_text("t" * 40)
        log = self.folder / "log"
        with log.open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"),
                cwd=self.folder,
                stdout=output,
                stderr=output,
                env=os.environ | {"JUPYTERHUB_CRYPT_KEY": "ab" * 32, "CONFIGPROXY_AUTH_TOKEN": "x" * 64},
            )

        async def answers():
            assert self.process.returncode is None, log.read_text()
            with contextlib.suppress(aiohttp.ClientError):
                return (await self._get("/health"))[0] == 200

        await until(answers, 60)

    async def end(self):
        """Stop the hub."""
        self.process.send_signal(signal.SIGTERM)
        await self.process.wait()

    async def commit(self, change):
        """Put the centre's configuration in force after *change* of its tree."""
        self.version += 1
        version, tree = f"c{self.version}", offer.tree()
        change(tree)
        self.published.write(version, tree)
        self.published.flip(version)

        async def in_force():
            return version in (await self._get("/api/jsc/health/ready"))[1]

        await until(in_force)

    async def _get(self, path):
        async with aiohttp.ClientSession() as session, session.get(self.address + path) as answer:
            return answer.status, await answer.text()


class Visitor:
    """A browser without scripts: keeps cookies, sends forms with their ``_xsrf``."""

    def __init__(self, session, hub):
        self.session, self.hub, self.xsrf = session, hub, ""

    async def log_in(self, name):
        """Log in by name alone."""
        await self.get("/help")
        answer, _ = await self.post("/login", {"username": name, "password": ""})
        assert answer.status == 302
        await self.get("/home")
        return self

    async def made(self, title, **changes):
        """Save a new lab; return its server name."""
        answer, _ = await self.post("/labs/new", BATCH | {"title": title} | changes)
        assert answer.status == 303
        return title.lower().replace(" ", "-")

    async def get(self, path, **headers):
        headers = {"Sec-Fetch-Mode": "navigate", **headers}
        async with self.session.get(self.hub.address + path, headers=headers, allow_redirects=False) as answer:
            text = await answer.text()
            if found := re.search(r'data-xsrf="([^"]+)"', text):
                self.xsrf = found[1]
            return answer, text

    async def post(self, path, data=None, *, xsrf=True, **headers):
        data = dict(data or {}) | ({"_xsrf": self.xsrf} if xsrf else {})
        headers = {"Sec-Fetch-Mode": "navigate", **headers}
        async with self.session.post(
            self.hub.address + path, data=data, headers=headers, allow_redirects=False
        ) as answer:
            return answer, await answer.text()


@pytest.fixture(scope="session")
def pages_hub(tmp_path_factory):
    """A real hub with our pages."""
    made = Pages(tmp_path_factory.mktemp("pages"))
    with asyncio.Runner() as runner:
        runner.run(made.begin())
        yield made
        runner.run(made.end())


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


@pytest.fixture
async def visitor(session, pages_hub):
    """Somebody who is not logged in."""
    return Visitor(session, pages_hub)


@pytest.fixture
async def alice(visitor):
    """A member of two groups, none of whose labs runs."""
    await visitor.log_in("alice")
    _, home = await visitor.get("/home")
    for server in re.findall(r'data-lab="([^"]+)"', home):
        await visitor.post(f"/labs/{server}/cancel")
    return visitor


@pytest.fixture
async def nora(visitor):
    """A guest without an account."""
    return await visitor.log_in("nora")


class Inline(html.parser.HTMLParser):
    """Collects what a strict content security policy forbids, and links without an aim."""

    def __init__(self):
        super().__init__()
        self.found, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        self.found += [
            f"{tag} {value}"
            for name, value in names.items()
            if (value or "").startswith(("javascript:", "http")) and (tag, name) != ("a", "href")
        ]
        if (names.get("href") or "").startswith("http") and names.get("rel") != "noopener":
            self.found.append(f"a {names['href']}")
        if "id" in names:
            self.ids.append(names["id"])
