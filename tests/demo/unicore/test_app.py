# SPDX-License-Identifier: BSD-3-Clause
"""The whole site against UNICORE's own client, over its asynchronous transport."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pyunicore.aio import client as uc
from pyunicore.credentials import AuthenticationFailedException, OIDCToken


@pytest.fixture
async def transport(client: Any) -> AsyncIterator[uc.Transport]:
    found = uc.Transport(OIDCToken("tok-alice"))
    yield found
    await found._client.aclose()


async def test_job_with_pyunicore(client: Any, transport: uc.Transport) -> None:
    """Submit, wait for the directory, poll, read output, delete."""
    site = uc.Client(transport, client.site.settings.core)
    await site.assert_authentication()
    job = await site.new_job(
        {
            "Executable": "bash",
            "Arguments": ["start.sh"],
            "Imports": [{"From": "inline://dummy", "To": "start.sh", "Data": "echo hello; cat input"}],
            "Job type": "ON_LOGIN_NODE",
            "Tags": ["x"],
            "haveClientStageIn": "true",
        },
    )
    directory = await job.working_dir
    assert (await directory.properties)["resourceStatus"] == "READY"
    await transport.put(
        url=f"{directory.resource_url}/files/input",
        content=b"world",
        headers={"Content-Type": "application/octet-stream"},
    )
    await transport.post(url=f"{job.resource_url}/actions/start", json={})
    found = await client.until_status(job.resource_url, "SUCCESSFUL")
    job.cache_time = 0
    assert (await job.status, await job.exit_code) == (uc.JobStatus.SUCCESSFUL, 0)
    assert found["tags"] == ["x"]
    listing = await directory.contents()
    assert "/stdout" in listing["content"]
    assert (await client.file(job.resource_url, "stdout")).text == "hello\nworld"
    await job.delete()
    assert (await client("GET", job.resource_url)).status == 404


async def test_expired_session_is_repeated_by_pyunicore(client: Any, transport: uc.Transport) -> None:
    """A session that the server forgot costs one more request."""
    url = client.site.settings.core
    await transport.get(url=url)
    first = transport.last_session_id
    client.site.faults.expire_sessions()
    assert (await transport.get(url=url))["client"]["role"]["selected"] == "user"
    assert transport.last_session_id not in {None, first}


async def test_preferences_and_anonymous_with_pyunicore(client: Any, transport: uc.Transport) -> None:
    """Preferences choose the account; an unmapped user is told apart by the role."""
    transport.preferences = "uid:alice2,group:proj3"
    site = uc.Client(transport, client.site.settings.core)
    assert ((info := (await site.access_info)["xlogin"])["UID"], info["group"]) == ("alice2", "proj3")
    nora = uc.Client(uc.Transport(OIDCToken("tok-nora"), client=transport._client), client.site.settings.core)
    with pytest.raises(AuthenticationFailedException):
        await nora.assert_authentication()


async def test_many_jobs_at_once(client: Any) -> None:
    """Thirty submissions at once give thirty jobs, each found by its tag."""
    urls = await asyncio.gather(*(client.submit(Tags=[f"t-{number}"]) for number in range(30)))
    assert len(set(urls)) == 30
    for number, url in enumerate(urls):
        assert [url] == (await client.get(f"/jobs?tags=t-{number}"))["jobs"]
