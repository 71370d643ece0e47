# SPDX-License-Identifier: BSD-3-Clause
"""The server extension in a real server, started by the real launcher, with a real kernel.

Aspects: TCP_NODELAY on the websocket that the server has accepted, what kernels inherit, foreign classes kept.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jupyter_jsc.lab import jsc_lab, prepare
from tests.lab.conftest import ADDRESS, BASE, TOKEN, FakeHub, JobProcess, alive, kept, write_job

_PROBE = '''
"""Looks at the accepted socket of a kernel's websocket; loaded after jsc_lab."""
import os, pathlib, socket


def _jupyter_server_extension_points():
    return [{"module": "zz_probe"}]


def _load_jupyter_server_extension(serverapp):
    settings = serverapp.web_app.settings
    above = settings["kernel_websocket_connection_class"]

    class Probe(above):
        async def connect(self):
            answer = await super().connect()
            accepted = self.websocket_handler.ws_connection.stream.socket
            seen = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            pathlib.Path(os.environ["PROBE_SEEN"]).write_text(f"{above.__name__} {int(bool(seen))}")
            return answer

    settings["kernel_websocket_connection_class"] = Probe
'''


@pytest.fixture
async def lab(hub: FakeHub, tmp_path: Path) -> AsyncIterator[tuple[str, JobProcess]]:
    """A running lab: the address of its server, and its job."""
    extensions = tmp_path / "site"
    enabled = extensions / "jupyter_server_config.d" / "zz_probe.json"
    enabled.parent.mkdir(parents=True)
    (extensions / "zz_probe.py").write_text(_PROBE, "utf-8")
    enabled.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"zz_probe": True}}}), "utf-8")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "JSC_NODE_NAME": "jwc01",
        "JSC_NODE_ADDRESS": ADDRESS,
        "PYTHONPATH": str(extensions),
        "JUPYTER_CONFIG_PATH": str(extensions),
        "PROBE_SEEN": str(tmp_path / "seen"),
    }
    job = JobProcess(write_job(tmp_path / "job", hub.url), env)
    async with kept(job):
        await job.launch()
        await hub.until(lambda: hub.started)
        yield f"http://{ADDRESS}:{hub.started[0]['port']}{BASE}", job


async def ask(socket: aiohttp.ClientWebSocketResponse, kind: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    """Send a request to the kernel and return all messages up to its reply and its being idle again.

    Reply and output come by two sockets of the kernel, in any order (Jupyter messaging, "kernel status").
    """
    message_id = uuid.uuid4().hex
    header = {"msg_id": message_id, "msg_type": kind, "username": "", "session": "s", "version": "5.3", "date": ""}
    await socket.send_json(
        {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    )
    messages: list[dict[str, Any]] = []
    missing = {kind.replace("_request", "_reply"), "idle"}
    while missing:
        message = await socket.receive_json(timeout=60)
        if message["parent_header"].get("msg_id") == message_id:
            messages.append(message)
            missing -= {message["header"]["msg_type"], message["content"].get("execution_state")}
    return messages


async def test_kernel_of_a_lab(lab: tuple[str, JobProcess], tmp_path: Path):
    """The websocket has TCP_NODELAY, a cell runs, kernels inherit nothing of ours, the end of the job ends them; nobody
    is asked about news."""
    address, job = lab
    code = "import os; print(os.getpid(), os.environ.get('PYTHONPATH'), os.environ.get('JUPYTER_CONFIG_PATH'))"
    async with aiohttp.ClientSession(headers={"Authorization": f"token {TOKEN}"}) as session:
        async with session.post(f"{address}api/kernels", json={"name": "python3"}) as response:
            assert response.status == 201
            kernel = await response.json()
        async with session.get(f"{address}lab/api/settings/@jupyterlab/apputils-extension:notification") as response:
            notification = (await response.json())["schema"]["properties"]
        async with session.ws_connect(f"{address}api/kernels/{kernel['id']}/channels") as socket:
            answers = await ask(socket, "execute_request", {"code": code, "silent": False})
    printed = "".join(answer["content"].get("text", "") for answer in answers)
    pid, python_path, config_path = printed.split()

    assert notification["fetchNews"]["default"] == "false"
    assert (tmp_path / "seen").read_text("ascii") == "ZMQChannelsWebsocketConnection 1"
    assert (python_path, config_path) == (str(tmp_path / "site"), str(tmp_path / "site"))
    await job.terminate()
    async with asyncio.timeout(30):
        while alive(int(pid)):
            await asyncio.sleep(0.05)


async def test_class_of_others_is_only_wrapped():
    """Whatever serves the websockets keeps its behaviour and its name; only the delay is gone."""

    class Handler:
        delayed = True

        def set_nodelay(self, value: bool) -> None:
            self.delayed = not value

    class Gateway:
        def __init__(self) -> None:
            self.websocket_handler = Handler()

        async def connect(self) -> str:
            return f"connected, delayed: {self.websocket_handler.delayed}"

    wrapped = jsc_lab.without_delay(Gateway)

    assert await wrapped().connect() == "connected, delayed: False"
    assert wrapped.__name__ == "Gateway"


@pytest.mark.parametrize(
    ("before", "after"),
    [("{ours}", None), ("{ours}:/opt/x", "/opt/x"), ("/opt/x:/opt/y", "/opt/x:/opt/y"), ("", None), (None, None)],
)
def test_configuration_path_is_left_as_the_user_had_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str | None, after: str | None
):
    """The launcher's folder goes, everything else stays in its order."""
    prepare.write_configuration(tmp_path / "any")
    if before is None:
        monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    else:
        monkeypatch.setenv("JUPYTER_CONFIG_PATH", before.format(ours=tmp_path / "any"))
    jsc_lab.leave_environment()

    assert os.environ.get("JUPYTER_CONFIG_PATH") == after
