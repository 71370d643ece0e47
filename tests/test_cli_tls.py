# SPDX-License-Identifier: BSD-3-Clause
"""A service with a certificate of its own speaks TLS, and nothing else."""

import asyncio
import os
import socket
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests import tls
from tests.config import small


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """Settings of a TunnelMgr whose certificate only its own file vouches for."""
    certificate, _context = tls.authority(tmp_path)
    (tmp_path / "configuration").mkdir()
    (tmp_path / "configuration" / "all.yaml").write_text(yaml.safe_dump(small.tree()))
    (tmp_path / "callers.yaml").write_text("{}")
    (tmp_path / "runtime").mkdir(mode=0o700)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    own = {
        "port": port,
        "configuration": str(tmp_path / "configuration"),
        "callers_file": str(tmp_path / "callers.yaml"),
        "certificate_file": str(certificate),
        "key_file": str(tmp_path / "key.pem"),
        "database": str(tmp_path / "tunnels.sqlite"),
        "runtime_dir": str(tmp_path / "runtime"),
        "identity_file": str(tmp_path / "id"),
        "first_port": 20000,
        "last_port": 20001,
    }
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(own))
    return path


async def test_service_answers_by_tls(settings_file: Path) -> None:
    """Whoever trusts the authority gets an answer; plain HTTP at the same port gets none."""
    own = yaml.safe_load(settings_file.read_text())
    command = (sys.executable, "-m", "jupyter_jsc.cli", "tunnelmgr", "--settings", str(settings_file))
    process = await asyncio.create_subprocess_exec(*command, env=dict(os.environ), stdout=asyncio.subprocess.DEVNULL)
    try:
        trust = ssl.create_default_context(cafile=own["certificate_file"])
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            address = f"127.0.0.1:{own['port']}/health/live"
            while True:
                try:
                    async with session.get(f"https://{address}", ssl=trust) as response:
                        assert (await response.json())["live"] is True
                        break
                except aiohttp.ClientConnectorError:
                    assert process.returncode is None
                    await asyncio.sleep(0.1)
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{address}")
    finally:
        process.terminate()
        await process.wait()
