# SPDX-License-Identifier: BSD-3-Clause
"""``jupyter-jsc demo``: the whole system as processes of this machine, in the foreground.

Prepares the folder (:mod:`.folder`), starts what publishes the configuration, the demo world, TunnelMgr, UnicoreMgr,
K8sMgr, proxy, dashboard and hub, says when the portal answers, and ends everything at SIGINT or SIGTERM.
"""

import asyncio
import logging
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import structlog
from rich.console import Console
from rich.table import Table

from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.demo import worktree
from jupyter_jsc.demo.people import PEOPLE
from jupyter_jsc.demo.processes import Command, Processes
from jupyter_jsc.errors import JSCError, NotFound, Unavailable

_READY_S = 120.0


async def run(path: Path, *, port: int, queue_delay_s: float, token_s: int, environ: Mapping[str, str]) -> int:
    """Run the demo in *path* until a signal; return the exit code.

    Raises :class:`Conflict` if the folder or the port is in use, :class:`Unavailable` if a process ends by itself.
    """
    # The terminal is the user's; of what this process logs itself only trouble is of interest there.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with demo_folder.locked(path):
        folder = await demo_folder.prepare(
            path, port=port, queue_delay_s=queue_delay_s, token_s=token_s, python=sys.executable
        )
        processes = Processes(folder.file("logs"))
        try:
            for name, command in commands(folder, environ).items():
                await processes.start(name, command)
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(processes.first_end())
                ready = tasks.create_task(_announce(folder))
                await stop.wait()
                watch.cancel()
                ready.cancel()
        except* JSCError as group:
            raise group.exceptions[0] from None
        finally:
            print("stopping …", flush=True)  # noqa: T201  the demo speaks to a terminal
            await processes.end_all()
    return 0


def commands(folder: demo_folder.Folder, environ: Mapping[str, str]) -> dict[str, Command]:
    """Return the processes of the demo by name, in the order of their start; they wait for each other by themselves."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "USER", "TMPDIR")
    env = {name: environ[name] for name in kept if name in environ}
    ours = [sys.executable, "-m", "jupyter_jsc.cli"]
    hub_url = f"http://127.0.0.1:{folder.ports['hub']}"
    proxy = [
        *_proxy_command(),
        *("--ip", "127.0.0.1", "--port", str(folder.ports["portal"])),
        *("--api-ip", "127.0.0.1", "--api-port", str(folder.ports["proxy_api"])),
        *("--error-target", f"{hub_url}/hub/error", "--default-target", hub_url),
    ]
    hub = [sys.executable, "-m", "jupyterhub", "--config", str(folder.file("jupyterhub_config.py"))]
    sync = ("--repo", str(folder.repository), "--branch", worktree.BRANCH, "--into", str(folder.published))
    return {
        "configsync": Command([*ours, "config", "sync", *sync], env),
        "world": Command([*ours, "demo-world", *_settings(folder, "world")], env),
        "proxy": Command(proxy, env | {"CONFIGPROXY_AUTH_TOKEN": folder.environment["CONFIGPROXY_AUTH_TOKEN"]}),
        "tunnelmgr": Command([*ours, "tunnelmgr", *_settings(folder, "tunnelmgr"), "--stop-masters"], env),
        "unicoremgr": Command([*ours, "unicoremgr", *_settings(folder, "unicoremgr")], env),
        "k8smgr": Command([*ours, "k8smgr", *_settings(folder, "k8smgr")], env),
        "dashboard": Command([*ours, "dashboard", *_settings(folder, "dashboard")], env),
        "hub": Command(hub, env | dict(folder.environment)),
    }


def _settings(folder: demo_folder.Folder, name: str) -> tuple[str, str]:
    return "--settings", str(folder.file(f"{name}.yaml"))


async def until_ready(folder: demo_folder.Folder) -> None:
    """Return when portal, managers and TunnelMgr answer; :class:`Unavailable` after two minutes."""
    addresses = [f"{folder.address}hub/health"] + [
        f"http://127.0.0.1:{folder.ports[name]}/health/live"
        for name in ("tunnelmgr", "unicoremgr", "k8smgr", "dashboard")
    ]
    began = time.monotonic()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for address in addresses:
            while not await _answers(session, address):
                if time.monotonic() - began > _READY_S:
                    raise Unavailable(
                        f"The demo was not ready after {_READY_S:.0f} s; its logs are in {folder.file('logs')}."
                    )
                await asyncio.sleep(0.1)


async def _answers(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _announce(folder: demo_folder.Folder) -> None:
    await until_ready(folder)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"jupyter-jsc is ready at {folder.address}\n")
    table = Table("user", "password", "logs in with", "who", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for person in PEOPLE:
        table.add_row(person.name, person.password, _PROVIDERS[person.idp], _WHO.get(person.name, person.full_name))
    console.print(table)
    console.print(
        f"\nSystems, software, groups and messages are files in a git repository. Change them while the portal runs:\n"
        f"   edit    {folder.repository}/systems/juwels.yaml\n"
        f'   commit  git -C {shlex.quote(str(folder.repository))} commit --all --message "Allow more nodes"\n'
        f"   watch   the open form of a new lab: it follows without a reload. What is wrong with a commit that changes\n"
        f"           nothing stands in {folder.published}/refused.txt"
    )
    console.print(f"\nLabs, settings and logs are in {folder.path}. Ctrl-C ends everything.")


_PROVIDERS = {"jsc": "JSC account", "aai": "Helmholtz AAI"}
_WHO = {
    "alice": "a user with six systems and two projects",
    "nora": "a newcomer without HPC account: the cloud only",
    "gus": "a guest without any account: nothing yet",
    "carla": "a student of a course: only its reservation",
    "ines": "of an institute: more nodes, for longer",
    "oscar": "an operator (administrator of the portal): has the dashboard",
}


def _proxy_command() -> list[str]:
    """Return the command of configurable-http-proxy: the project's own, or the machine's."""
    here = Path(__file__).resolve()
    for parent in here.parents:
        candidate = parent / "node_modules" / ".bin" / "configurable-http-proxy"
        if candidate.exists():
            return [str(candidate)]
    if found := shutil.which("configurable-http-proxy"):
        return [found]
    raise NotFound("configurable-http-proxy is not installed. Run `npm ci`, or start the demo by `make demo`.")
