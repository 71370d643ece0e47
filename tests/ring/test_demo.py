# SPDX-License-Identifier: BSD-3-Clause
"""``jupyter-jsc demo`` as a new user runs it: one command, one address, Ctrl-C, and everything found again."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.portal import PortalUser
from tests.ring.system import CLOUD, LOGIN_NODE, PASSWORDS

pytestmark = pytest.mark.ring


@contextlib.asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The demo in *folder*, ready; yields its process and address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyter_jsc.cli", "demo", "--folder", str(folder), "--queue-delay", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    said = []
    try:
        async with asyncio.timeout(120):
            async for line in process.stdout:
                said.append(line.decode())
                if found := re.match(r"jupyter-jsc is ready at (http://localhost:\d+/)", said[-1]):
                    yield process, found[1]
                    break
            else:
                pytest.fail("".join(said))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.communicate()


def processes_below(folder: Path) -> list[str]:
    """Command lines of all processes that name the folder, this one's pytest excepted."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environ = (path / "environ").read_bytes().decode(errors="replace")
            if int(path.name) != os.getpid() and (str(folder) in command or str(folder) in environ):
                found.append(command)
    return found


@pytest.mark.timeout(800)  # two starts of everything, and three labs
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_a_signal_ends_everything_and_the_next_start_finds_the_labs(tmp_path: Path) -> None:
    """Ctrl-C leaves no process, not even a lab's, be it a job or a pod; the same browser finds its labs again, and starts them."""
    async with contextlib.AsyncExitStack() as browser:
        async with demo(tmp_path) as (process, address):
            alice = await browser.enter_async_context(PortalUser(address, "alice"))
            await alice.login(*PASSWORDS["alice"])
            await alice.save("kept", LOGIN_NODE, "My lab")
            await alice.save("cloudy", CLOUD, "In the cloud")
            for server in ("kept", "cloudy"):
                await alice.start(server)
            for server in ("kept", "cloudy"):
                assert (await alice.until(server, "ready", "failed"))["code"] == "ready"
            assert processes_below(tmp_path)
            process.send_signal(signal.SIGINT)
            await process.wait()
            assert process.returncode == 0
            assert processes_below(tmp_path) == []

        async with demo(tmp_path) as (_, again):
            assert again == address
            lab = await alice.until_state("kept", "stopped")
            assert lab["title"] == "My lab"
            assert lab["options"].items() >= LOGIN_NODE.items()
            await alice.until_state("cloudy", "stopped")
            outcomes = [(await alice.starts(server))[0]["outcome"] for server in ("kept", "cloudy")]
            assert outcomes == ["ended", "ended"]
            await alice.start("kept")
            assert (await alice.until("kept", "ready", "failed"))["code"] == "ready"
            assert [start["outcome"] for start in await alice.starts("kept")] == [None, "ended"]


async def test_what_the_demo_says_about_the_configuration_works(tmp_path: Path) -> None:
    """The file that it names is there; the command that it prints puts a change of it in force."""
    async with demo(tmp_path) as (process, _):
        assert process.stdout
        said = []
        async with asyncio.timeout(30):
            while not said or "watch" not in said[-1]:
                said.append((await process.stdout.readline()).decode())
        edit, commit = (
            next(line.split(None, 1)[1].strip() for line in said if word in line) for word in ("edit ", "commit ")
        )
        file = Path(edit)
        file.write_text(file.read_text("utf-8").replace("label: JUWELS", "label: JUWELS Cluster"), "utf-8")
        identity = {
            f"GIT_{who}_{what}": "op@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        git = await asyncio.create_subprocess_exec(
            *shlex.split(commit), env={**os.environ, **identity}, stdout=asyncio.subprocess.DEVNULL
        )
        assert await git.wait() == 0
        current = tmp_path / "configuration" / "current"
        async with asyncio.timeout(30):
            while "label: JUWELS Cluster" not in (current / "systems/juwels.yaml").read_text("utf-8"):
                await asyncio.sleep(0.05)


async def test_a_second_demo_in_the_same_folder_says_so(tmp_path: Path) -> None:
    """Two demos would share one database; the second one ends with a sentence."""
    async with demo(tmp_path):
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyter_jsc.cli", "demo", "--folder", str(tmp_path)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await second.communicate()
        assert second.returncode == 1
        assert "Another demo runs" in said.decode()
