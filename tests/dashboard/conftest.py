# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard in the test process, beside a real hub; manager and TunnelMgr are fakes that do what a test tells them."""

import contextlib
import re
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest_asyncio

from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import DashboardSettings
from jupyter_jsc.dashboard.app import create_app
from tests.hub.world import BEGINNING, world

PREFIX = "/services/dashboard/"


def settings_of(folder, hub_api_url, configuration):
    """The settings of a dashboard whose tokens lie in *folder*."""
    return DashboardSettings(
        port=1,
        configuration=configuration,
        hub_api_url=hub_api_url,
        hub_token_file=folder / "dashboard-token",
        manager_token_files={"unicoremgr": folder / "token"},
        tunnelmgr_token_file=folder / "token",
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_hub(tmp_path_factory):
    """The hub and the services around it."""
    async with world(tmp_path_factory.mktemp("hub")) as made:
        (made.folder / "dashboard-token").write_text(made.dashboard_token)
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def hub(shared_hub):
    """The hub, with services that do as they should."""
    shared_hub.manager.reset()
    shared_hub.tunnels.reset()
    if BEGINNING != shared_hub.published.link.readlink().name:
        await shared_hub.commit(BEGINNING, lambda tree: None)
    (shared_hub.published.folder / "refused.json").unlink(missing_ok=True)
    return shared_hub


@pytest_asyncio.fixture(loop_scope="session")
async def app(hub):
    """The dashboard, its lifespan running."""
    link = hub.published.link
    made = create_app(Current(link), settings_of(hub.folder, f"{hub.hub}/api", link))
    async with made.router.lifespan_context(made):
        yield made


class Browser:
    """Someone's browser without scripts, in front of the proxy: the dashboard's paths lead to it, all others to the hub."""

    def __init__(self, app, hub, session):
        self.hub, self.session = hub, session
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.dashboard = httpx.AsyncClient(transport=transport, base_url="http://portal.example.org")

    async def get(self, path, **headers):
        """One request to the dashboard, redirects not followed."""
        return await self.dashboard.get(path if path.startswith("/") else PREFIX + path, headers=headers)

    async def hub_get(self, path):
        """One request to the hub: status, where it leads, text."""
        url = f"http://127.0.0.1:{self.hub.port}{path}"
        async with self.session.get(url, headers={"Sec-Fetch-Mode": "navigate"}, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def log_in(self, name):
        """Log in to the hub by name alone."""
        _, _, text = await self.hub_get("/hub/login")
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"|data-xsrf="([^"]+)"', text)
        data = {"username": name, "password": "", "_xsrf": xsrf[1] or xsrf[2]}
        async with self.session.post(f"{self.hub.hub}/login", data=data, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
        return self

    async def handshake(self, path=""):
        """Ask for a page without a session: return the callback that the hub sends the browser to."""
        answer = await self.get(path)
        assert answer.status_code == 302
        status, location, text = await self.hub_get(answer.headers["location"])
        assert (302, True) == (status, location.startswith(f"{PREFIX}oauth_callback?")), text
        return location

    async def open(self, path=""):
        """Open a page as a user does, logging in on the way; return the answer."""
        answer = await self.get(path)
        if answer.status_code == 302:
            _, location, _ = await self.hub_get(answer.headers["location"])
            answer = await self.get(location)
            assert answer.status_code == 303, answer.text
        for _ in range(3):
            if answer.status_code != 303:
                break
            target = urlsplit(answer.headers["location"])
            answer = await self.get(target.path + (f"?{target.query}" if target.query else ""))
        return answer


@contextlib.asynccontextmanager
async def browser_of(app, hub):
    """A browser without any cookie."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        made = Browser(app, hub, session)
        async with made.dashboard:
            yield made


@pytest_asyncio.fixture(loop_scope="session")
async def nobody(app, hub):
    """Nobody is logged in."""
    async with browser_of(app, hub) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def oda(app, hub):
    """A member of the operators' group, logged in to the hub."""
    async with browser_of(app, hub) as made:
        await made.log_in("oda")
        answer = await hub.call("POST", "/groups/operators/users", {"users": ["oda"]})
        assert answer.status == 200, answer
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def ulla(app, hub):
    """A user, logged in to the hub, without the right to use the dashboard."""
    async with browser_of(app, hub) as made:
        await made.log_in("ulla")
        yield made
