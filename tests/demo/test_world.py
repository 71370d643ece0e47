# SPDX-License-Identifier: BSD-3-Clause
"""The demo world as the process that ``make demo`` starts: all its servers answer, SIGTERM ends it cleanly."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncssh
import httpx
import pytest_asyncio

from jupyter_jsc.config import load
from jupyter_jsc.demo import centre, run
from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.demo.login import USER


@pytest_asyncio.fixture
async def folder(tmp_path: Path) -> demo_folder.Folder:
    """The demo's folder with free ports."""
    return await demo_folder.prepare(tmp_path, port=0, queue_delay_s=0, token_s=60, python=sys.executable)


async def test_provider_sites_cluster_and_jump_hosts_answer_until_sigterm(folder: demo_folder.Folder) -> None:
    """What the folder says of ports, names and keys is what the world serves."""
    command = run.commands(folder, os.environ)["world"]
    world = await asyncio.create_subprocess_exec(*command.argv, env=dict(command.env))
    try:
        issuer = f"http://localhost:{folder.ports['identity']}/oauth2"
        async with asyncio.timeout(60), httpx.AsyncClient(timeout=10) as http:
            metadata = (await _answer(http, f"{issuer}/.well-known/openid-configuration")).json()
            assert metadata["issuer"] == issuer
            for site in sites(folder):
                root = await _answer(http, f"http://127.0.0.1:{folder.ports[site.key]}/{site.name}/rest/core")
                assert root.json()["server"]["siteName"] == site.name
            pods = f"http://127.0.0.1:{folder.ports['kubernetes']}/api/v1/namespaces/labs/pods"
            token = folder.file("keys/k8smgr-to-kubernetes").read_text("ascii")
            assert (await http.get(pods)).status_code == 401
            answer = await http.get(pods, headers={"Authorization": f"Bearer {token}"})
            assert answer.json()["kind"] == "PodList"
        for site in sites(folder):
            for node in site.login_nodes:
                await _enter(folder, f"{site.key}-{node.name}", node)
        for cloud in centre.clouds(load.load((folder.published / "current").resolve())).values():
            await _enter(folder, cloud.ssh.name, cloud.ssh)
    finally:
        world.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            code = await world.wait()
    assert code == 0


def sites(folder: demo_folder.Folder) -> list[centre.Site]:
    """The sites of the configuration in force."""
    return list(centre.sites(load.load((folder.published / "current").resolve())).values())


async def _answer(http: httpx.AsyncClient, url: str) -> httpx.Response:
    """Return the first answer of a server that is about to start."""
    while True:
        try:
            return (await http.get(url)).raise_for_status()
        except httpx.ConnectError:
            await asyncio.sleep(0.05)


async def _enter(folder: demo_folder.Folder, port_name: str, node: centre.Host) -> None:
    """Log in with TunnelMgr's key, the host key being the one that the configuration pins."""
    port = folder.ports[port_name]
    host_key = folder.file(f"keys/{node.name}.pub").read_text("ascii")
    async with asyncssh.connect(
        node.address,
        port,
        username=USER,
        client_keys=[str(folder.file("keys/tunnelmgr"))],
        known_hosts=asyncssh.import_known_hosts(f"[{node.address}]:{port} {host_key}"),
        config=None,
    ) as connection:
        assert (await connection.run("true", input="beat")).stdout == "beat"
