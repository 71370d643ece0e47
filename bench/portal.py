# SPDX-License-Identifier: BSD-3-Clause
"""A user of the portal over HTTP, as a browser would be: login, labs, events, kernels.

Used by the benchmarks and by ``tests/ring``.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp

_LIMIT = aiohttp.ClientTimeout(total=60)
_STREAM_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=10)


class Refused(Exception):
    """The portal answered with an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:500]}")
        self.status = status
        self.body = body

    @property
    def document(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return dict(json.loads(self.body))


class _Form(HTMLParser):
    """The first form with a password field: its action and hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = values.get("action") or ""
        elif tag == "input" and values.get("type") == "hidden" and values.get("name"):
            self.fields[str(values["name"])] = values.get("value") or ""


class PortalUser:
    """One user with a browser's cookies. An async context manager."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=_LIMIT)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._session:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session with the user's cookies."""
        if self._session is None:
            raise RuntimeError("use the user as an async context manager")
        return self._session

    async def login(self, password: str, idp: str) -> str:
        """Log in through identity provider *idp*; return the page that follows."""
        async with self.session.get(self.address + "hub/oauth_login", params={"idp": idp}) as response:
            form = _Form()
            form.feed(await response.text())
            action = urljoin(str(response.url), form.action or "")
        fields = form.fields | {"username": self.name, "password": password}
        async with self.session.post(action, data=fields) as response:
            page = await response.text()
            if response.status != 200:
                raise Refused(response.status, page)
            return page

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call ``/hub/api/<path>`` and return the JSON of the answer; :class:`Refused` on an error."""
        headers = {
            "X-XSRFToken": self._xsrf(),
            "Referer": self.address + "hub/home",
            "Content-Type": "application/json",
        }
        url = f"{self.address}hub/api/{path}"
        async with self.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            if response.status >= 400:
                raise Refused(response.status, text)
            return json.loads(text) if text else None

    async def save(self, server: str, options: Mapping[str, Any], title: str = "") -> None:
        """Create or edit a stopped lab."""
        await self.api("PUT", f"jsc/labs/{self.name}/{server}", {"title": title or server, "options": dict(options)})

    async def start(self, server: str) -> None:
        """Start the lab with its saved options."""
        await self.api("POST", f"users/{self.name}/servers/{server}")

    async def stop(self, server: str) -> None:
        """Stop the lab."""
        await self.api("DELETE", f"users/{self.name}/servers/{server}")

    async def cancel(self, server: str) -> None:
        """Cancel the lab's start."""
        await self.api("POST", f"jsc/labs/{self.name}/{server}/cancel")

    async def server(self, server: str) -> dict[str, Any] | None:
        """Return JupyterHub's model of the lab, or None if it has none that is active."""
        model = await self.api("GET", f"users/{self.name}")
        found: dict[str, Any] | None = model["servers"].get(server)
        return found

    async def starts(self, server: str) -> list[dict[str, Any]]:
        """Return the lab's starts, the newest first."""
        answer: list[dict[str, Any]] = (await self.api("GET", f"jsc/labs/{self.name}/{server}/starts"))["starts"]
        return answer

    async def history(self, server: str, start_id: str) -> list[dict[str, Any]]:
        """Return the events of a start, the oldest first."""
        path = f"jsc/labs/{self.name}/{server}/starts/{start_id}/events"
        answer: list[dict[str, Any]] = (await self.api("GET", path))["events"]
        return answer

    async def events(self, last_id: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield the user's events from the stream as they come, after event *last_id*."""
        headers = {"X-XSRFToken": self._xsrf()} | ({} if last_id is None else {"Last-Event-ID": str(last_id)})
        url = f"{self.address}hub/api/jsc/stream"
        async with self.session.get(url, headers=headers, timeout=_STREAM_LIMIT) as response:
            if response.status != 200:
                raise Refused(response.status, await response.text())
            kind, data = "", ""
            async for raw in response.content:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif not line and data:
                    if kind == "lab":
                        yield json.loads(data)
                    kind, data = "", ""

    async def until(self, server: str, *codes: str, timeout_s: float = 120) -> dict[str, Any]:
        """Return the event of the lab's newest start with one of *codes*, waiting for it."""
        async with asyncio.timeout(timeout_s):
            while True:
                if starts := await self.starts(server):
                    for event in await self.history(server, starts[0]["start_id"]):
                        if event["code"] in codes:
                            return event
                await asyncio.sleep(0.05)

    async def until_state(self, server: str, state: str, timeout_s: float = 60) -> dict[str, Any]:
        """Return the lab as the API shows it once its state is *state*."""
        async with asyncio.timeout(timeout_s):
            while True:
                labs = (await self.api("GET", f"jsc/labs/{self.name}"))["labs"]
                found = [lab for lab in labs if lab["server"] == server and lab["state"] == state]
                if found:
                    return dict(found[0])
                await asyncio.sleep(0.05)

    async def lab_request(self, method: str, server: str, path: str, body: Any = None) -> Any:
        """Call the lab's own server below ``/user/<user>/<lab>/`` and return the JSON."""
        base = f"{self.address}user/{self.name}/{server}/"
        headers = {"Referer": base, "X-XSRFToken": self._xsrf(f"user/{self.name}/{server}/")}
        async with self.session.request(method, base + path, json=body, headers=headers) as response:
            text = await response.text()
            if response.status >= 400:
                raise Refused(response.status, text)
            return json.loads(text) if text else None

    async def enter(self, server: str) -> int:
        """Open the lab's page, with the OAuth round trip of a first visit; return the HTTP status."""
        async with self.session.get(f"{self.address}user/{self.name}/{server}/lab") as response:
            await response.read()
            return response.status

    @contextlib.asynccontextmanager
    async def kernel(self, server: str) -> AsyncIterator["Kernel"]:
        """Start a Python kernel in the lab and connect to it; it ends with the block."""
        model = await self.lab_request("POST", server, "api/kernels", {"name": "python3"})
        base = f"{self.address}user/{self.name}/{server}/"
        url = f"{base}api/kernels/{model['id']}/channels"
        async with self.session.ws_connect(url, headers={"Origin": self.address.rstrip("/")}) as socket:
            yield Kernel(socket)
        await self.lab_request("DELETE", server, f"api/kernels/{model['id']}")

    def _xsrf(self, path: str = "hub/") -> str:
        """Return the XSRF cookie of the application below *path*; each has its own."""
        cookies = [
            cookie
            for cookie in self.session.cookie_jar
            if cookie.key == "_xsrf" and cookie["path"].strip("/") == path.strip("/")
        ]
        return cookies[-1].value if cookies else ""


class Kernel:
    """A kernel's websocket, with the default (JSON) protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def ask(self, request: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request on the shell channel; return its reply once the kernel is idle, output in ``outputs``.

        Reply and output come by two sockets of the kernel, in any order (Jupyter messaging, "kernel status").
        """
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": request,
            "username": "",
            "session": "bench",
            "version": "5.3",
            "date": "",
        }
        await self._socket.send_json(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": dict(content or {})}
        )
        reply: dict[str, Any] | None = None
        outputs: list[dict[str, Any]] = []
        idle = False
        while reply is None or not idle:
            message = await self._socket.receive_json(timeout=60)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind in {"execute_result", "stream"}:
                outputs.append(content)
            idle = idle or (kind == "status" and content["execution_state"] == "idle")
            reply = content if message["channel"] == "shell" else reply
        return {**reply, "outputs": outputs}

    async def execute(self, code: str) -> dict[str, Any]:
        """Run *code* without a trace in the history."""
        return await self.ask("execute_request", {"code": code, "silent": False, "store_history": False})
