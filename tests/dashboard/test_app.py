# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard as a service: it follows the configuration, tells the version, and lets nobody in beside its pages."""

import asyncio
import copy

import httpx
import pytest

from jupyter_jsc.config.current import Current
from jupyter_jsc.dashboard.app import create_app
from tests.config import small
from tests.config.published import Published
from tests.dashboard.conftest import PREFIX, settings_of
from tests.hub.world import free_port


@pytest.fixture
def published(tmp_path):
    made = Published(tmp_path / "published")
    made.publish("v1", small.tree())
    (tmp_path / "dashboard-token").write_text("d" * 64)
    (tmp_path / "token").write_text("t" * 40)
    return made


@pytest.fixture
async def http(tmp_path, published):
    """The dashboard without any service around it."""
    settings = settings_of(tmp_path, f"http://127.0.0.1:{free_port()}/hub/api", published.link)
    app = create_app(Current(published.link), settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://portal.example.org") as client,
    ):
        yield client


async def version(http):
    return (await http.get("/health/ready")).json()["details"]["configuration"]


async def test_a_commit_is_in_force_without_a_restart(http, published):
    """Health, metric and pages tell the new version."""
    assert "v1" == await version(http)
    tree = copy.deepcopy(small.tree(support="the new team"))
    published.publish("v2", tree)
    async with asyncio.timeout(60):
        while await version(http) != "v2":
            await asyncio.sleep(0.02)
    assert 'jsc_configuration_info{version="v2"} 1.0' in (await http.get("/metrics")).text
    answer = await http.get(f"{PREFIX}oauth_callback?code=a&state=b")
    assert "the new team" in answer.text


async def test_a_bad_version_leaves_the_good_one(http, published):
    published.publish("v2", {"hub": "demo"})
    published.publish("v3", small.tree())
    async with asyncio.timeout(60):
        while await version(http) != "v3":
            await asyncio.sleep(0.02)


async def test_without_the_hub_it_is_not_ready_but_alive(http):
    """And a page says that nobody can be let in."""
    answer = await http.get("/health/ready")
    assert (503, {"hub": "silent"}) == (answer.status_code, answer.json()["dependencies"])
    assert {"live": True} == {"live": (await http.get("/health/live")).json()["live"]}
    answer = await http.get(PREFIX, headers={"Cookie": "service-dashboard=x"})
    assert 503 == answer.status_code
    assert "The hub does not let anybody in" in answer.text


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/services/", "/services/dashboardx", "/v1/systems"])
async def test_beside_its_pages_there_is_nothing_for_anybody(http, path):
    answer = await http.get(path, headers={"Authorization": f"Bearer {'d' * 64}"})
    assert 401 == answer.status_code
