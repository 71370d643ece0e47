# SPDX-License-Identifier: BSD-3-Clause
"""The stream of server-sent events: live, resumable, one's own, and protected like every route that takes a cookie."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Listener:
    """A browser's EventSource."""

    def __init__(self):
        self.messages = []
        self.status = None

    async def listen(self, hub, token, headers, query=""):
        headers = {"Authorization": f"token {token}"} | headers if token else headers
        url = f"{hub.hub}/api/jsc/stream{query}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with hub.session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as stream:
            self.status = stream.status
            message = {}
            async for line in stream.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    message[name] = value
                elif message:
                    self.messages.append(message)
                    message = {}

    def codes(self, server):
        events = [json.loads(message["data"]) for message in self.messages if message.get("event") == "lab"]
        return [event["code"] for event in events if event["server"] == server]

    def lists(self):
        return sum(message.get("event") == "labs" for message in self.messages)

    @property
    def last_id(self):
        return [message["id"] for message in self.messages if "id" in message][-1]


@contextlib.asynccontextmanager
async def listening(hub, user="alice", **headers):
    listener = Listener()
    task = asyncio.create_task(listener.listen(hub, hub.tokens[user], headers))
    try:
        await until(lambda: listener.messages)
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_page_hears_all_of_its_users_labs(hub):
    """Each event once, with id and what the API shows; not those of others."""
    async with listening(hub) as mine, listening(hub, "bob") as others:
        lab = await hub.running("streamed")
        await lab.stop()
        await until(lambda: "stopped" in mine.codes("streamed"))

        assert await lab.codes() == mine.codes("streamed")
        assert [] == others.codes("streamed")
    event = next(message for message in mine.messages if message.get("event") == "lab")
    assert (await lab.events())[0] == json.loads(event["data"])
    assert event["id"] == str(json.loads(event["data"])["id"])


async def test_a_page_that_reconnects_gets_what_it_missed(hub):
    """With Last-Event-ID nothing is lost and nothing comes twice."""
    async with listening(hub) as before:
        lab = await hub.start("resumed")
        await until(lambda: "queued" in before.codes("resumed"))
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("running")
    await lab.cancel()
    async with listening(hub, **{"Last-Event-ID": before.last_id}) as after:
        await until(lambda: "cancelled" in after.codes("resumed"))

    assert await lab.codes() == before.codes("resumed") + after.codes("resumed")


@pytest.mark.parametrize("last", ["x", "-1", "1e3", "9" * 40])
async def test_a_strange_last_id_begins_now(hub, last):
    """What is no id is as none."""
    async with listening(hub, **{"Last-Event-ID": last}) as listener:
        assert [] == [message for message in listener.messages if "id" in message]


async def test_a_changed_list_is_told(hub):
    """Created, changed, deleted, started, stopped: ``labs``, without an id, once the list shows it."""
    path, token = "/jsc/labs/alice/told", hub.tokens["alice"]
    async with listening(hub) as listener:

        async def told(act):
            before = listener.lists()
            answer = await act()
            await until(lambda: listener.lists() > before)
            return answer

        await told(lambda: hub.call("PUT", path, {"title": "Told", "options": OPTIONS}, token=token))
        await told(lambda: hub.call("PUT", path, {"title": "Again", "options": OPTIONS}, token=token))
        lab = await told(lambda: hub.running("told"))
        await told(lab.stop)
        assert await lab.in_state("stopped")
        await told(lambda: hub.call("DELETE", path, token=token))
    assert not any("id" in message for message in listener.messages if message.get("event") == "labs")


async def test_the_end_of_a_failed_start_is_told_when_the_list_shows_it(hub):
    """A page that reads the list on ``labs`` sees the lab stopped, without a reload."""
    async with listening(hub) as listener:
        lab = await hub.start("toldfailed")
        await lab.until_code("queued")
        before = listener.lists()
        hub.manager.set(lab.start_id, state="ended", text="Killed.")
        await until(lambda: listener.lists() > before)

        assert await lab.in_state("stopped")


@pytest.mark.parametrize("who", ["nobody", "a lab", "a manager"])
async def test_others_hear_nothing(hub, who):
    """Without a login, with a lab's own token, with a service's: 403."""
    lab = await hub.start("deaf")
    token = {"nobody": "", "a lab": lab.token, "a manager": hub.manager_token}[who]
    listener = Listener()
    await listener.listen(hub, token, {})
    await lab.cancel()

    assert 403 == listener.status
    assert not any("event" in message for message in listener.messages)


async def test_a_cookie_needs_the_xsrf_token(hub):
    """A foreign page that makes the browser open the stream gets nothing."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        await browser.get(f"{hub.hub}/login", headers={"Sec-Fetch-Mode": "navigate"})
        xsrf = {cookie.key: cookie.value for cookie in browser.cookie_jar}["_xsrf"]
        form = {"username": "carl", "password": "x", "_xsrf": xsrf}
        await browser.post(f"{hub.hub}/login", data=form, allow_redirects=False)
        await browser.get(f"{hub.hub}/token", headers={"Sec-Fetch-Mode": "navigate"})
        xsrf = {cookie.key: cookie.value for cookie in browser.cookie_jar}["_xsrf"]

        script = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        async with browser.get(f"{hub.hub}/api/jsc/stream", headers=script) as refused:
            assert 403 == refused.status
        async with browser.get(f"{hub.hub}/api/jsc/stream", params={"_xsrf": xsrf}, headers=script) as stream:
            assert (200, "text/event-stream") == (stream.status, stream.content_type)
            assert b"retry: 2000\n" == await stream.content.readline()
        async with browser.post(f"{hub.hub}/api/jsc/labs/carl/x/cancel") as refused:
            assert 403 == refused.status
