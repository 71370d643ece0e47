# SPDX-License-Identifier: BSD-3-Clause
"""Starts the lab's server on the node and tells the hub where it listens. Standard library only.

Travels with the job (``sites/unicore``) and is run there by ``start.sh``, by whatever bare Python 3.9 or newer the
system names, in the job's directory::

    lab.json      lab_id, start_id, events_url, started_url, env, environment, runtime_s, python, kernels, steps
    secrets.json  secret environment, read and deleted first of all
    prepare.py    runs the steps that come before the server
    jsc_lab.py    runs the server in the option's Python, and is its extension

Order: steps and server, each with an event, ``LabStarted`` (the hub opens the tunnel); then the server's end, SIGTERM
or the wall time.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING or __package__:
    from jupyter_jsc.lab import prepare
    from jupyter_jsc.lab.prepare import Failed, say
else:  # in a job: the file beside this one
    import prepare
    from prepare import Failed, say

POLL_S = 0.02  # how often the server's port is looked at; half of it is what that adds to a start
REQUEST_S = 10.0  # limit of one request to the hub
STARTED_S = 75.0  # limit of the request that makes the hub ask the manager, and that the site, for the allocation
PAUSE_S = 30.0  # longest pause between two attempts to reach the hub
NO_NEWS = ("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
END_S = 20.0  # how long the server may take to end; batch systems kill 30 s after SIGTERM
MARGIN_S = 30.0  # how long before the wall time the lab is ended: END_S and one request
PORTS = 5  # how many ports are tried if others take them first


class ServerEnded(Exception):
    """The server has ended by itself; the code is that of a shell."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code if code >= 0 else 128 - code


class Ending(BaseException):
    """SIGTERM or the wall time: end the server. Raised by the signal handler wherever the launcher waits."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.wall_time = number == signal.SIGALRM
        self.code = 0 if self.wall_time else 128 + number


@dataclass(frozen=True)
class Job:
    """What stands in the job's directory."""

    directory: Path
    events_url: str
    started_url: str
    env: dict[str, str]
    """What the portal tells the lab; nothing on the node changes it."""
    runtime_s: int | None
    secrets: dict[str, str] = field(repr=False)
    environment: dict[str, str] = field(default_factory=dict)
    """What the configuration gives the lab; steps may change it."""
    python: str = sys.executable
    """Runs the server; looked up after the steps."""
    hub_urls: tuple[str, ...] = ()
    kernels: str = ""
    """Folder of the project's own kernels, used if it is there."""
    steps: tuple[prepare.Step, ...] = ()


def read_job(directory: Path) -> Job:
    """Return the job of *directory*; its file of secrets is gone afterwards."""
    path = directory / "secrets.json"
    try:
        text = path.read_text("utf-8")
        path.unlink()
    except FileNotFoundError:
        raise Failed("secrets.json is not there: this job has run before, start the lab again.") from None
    secrets = json.loads(text)
    tree = json.loads((directory / "lab.json").read_text("utf-8"))
    steps = [prepare.Step(**{**step, "script": tuple(step["script"])}) for step in tree.pop("steps")]
    del tree["lab_id"], tree["start_id"]  # for people who look into the directory
    return Job(directory, secrets=secrets, steps=tuple(steps), **tree)


@dataclass(frozen=True)
class Node:
    """Where we run: the name that the jump host resolves, and the address that the server binds to."""

    name: str
    address: str


def node_name(env: dict[str, str]) -> str:
    """Return this node's name."""
    return env.get("JSC_NODE_NAME") or env.get("SLURMD_NODENAME") or socket.gethostname()


def this_node(env: dict[str, str]) -> Node:
    """Return this node; the site or a hook may say who it is in JSC_NODE_NAME and JSC_NODE_ADDRESS."""
    name, address = node_name(env), env.get("JSC_NODE_ADDRESS")
    try:
        return Node(name, address or str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0]))
    except OSError as error:
        raise Failed(f"The name of this node, {name}, has no address ({error}): set JSC_NODE_ADDRESS.") from error


class Hub:
    """The portal, spoken to with the lab's own token.

    Neither proxies of the environment nor redirects are followed: the server talks to the hub without them, so
    that a hub behind them would be of no use to it, and the token goes to nobody else.
    """

    def __init__(self, job: Job) -> None:
        self._token = job.secrets.get("JUPYTERHUB_API_TOKEN", "")
        self._job = job
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects).open

    def event(
        self, code: str, progress: int, text: str, pause: Callable[[float], object] = time.sleep, details: str = ""
    ) -> float:
        """Post an event until the hub has it; return the seconds that took. A refused event is only reported."""
        began = time.monotonic()
        body = {"code": code, "progress": progress, "text": text[: prepare.TEXT], "details": details}
        try:
            self._post(self._job.events_url, body, pause, REQUEST_S)
        except Failed as error:
            say(f"event {code}: {error}")
        return time.monotonic() - began

    def started(self, node: Node, port: int, pause: Callable[[float], object]) -> None:
        """Post where the lab listens until the hub has it; :class:`Failed` if the hub refuses."""
        self._post(self._job.started_url, {"host": node.name, "port": port}, pause, STARTED_S)

    def last_event(self, code: str, text: str) -> None:
        """Post an event once, whether the hub hears it or not."""
        self._attempt(self._job.events_url, {"code": code, "progress": 100, "text": text}, REQUEST_S / 2)

    def _post(self, url: str, body: dict[str, Any], pause: Callable[[float], object], limit_s: float) -> None:
        for attempt in itertools.count():
            answer = self._attempt(url, body, limit_s)
            if answer in range(200, 300):
                return
            if answer in range(400, 500) and answer not in {408, 429}:
                raise Failed(f"The portal refuses this lab (HTTP status {answer}): its start is over or replaced.")
            if attempt == 0:
                say(f"The portal does not answer yet ({answer}); trying again.")
            pause(back_off(attempt))

    def _attempt(self, url: str, body: dict[str, Any], limit_s: float) -> int | str:
        """Return the HTTP status, or the name of what went wrong."""
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        try:
            with self._open(request, timeout=limit_s) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return int(error.code)
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            return str(getattr(error, "reason", type(error).__name__))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def back_off(attempt: int) -> float:
    """Return the pause after failed attempt number *attempt*, in seconds: doubling, jittered, capped."""
    return min(PAUSE_S, 0.25 * 2.0 ** min(attempt, 20)) * random.uniform(0.5, 1)


class Interrupts:
    """Turns SIGTERM, SIGINT and the wall time into one :class:`Ending`, raised at most once and only where allowed."""

    def __init__(self, runtime_s: float | None) -> None:
        self._allowed = False
        self._ending: Ending | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, self._arrived)
        if runtime_s is not None:
            signal.setitimer(signal.ITIMER_REAL, max(runtime_s - MARGIN_S, runtime_s / 2, 0.001))

    def _arrived(self, number: int, _frame: object) -> None:
        if self._ending is None:
            self._ending = Ending(number)
            if self._allowed:
                raise self._ending

    @contextlib.contextmanager
    def allowed(self, allow: bool = True) -> Iterator[None]:
        """Let signals end the block, or keep them until it is left."""
        before, self._allowed = self._allowed, allow
        try:
            if allow and self._ending is not None:
                raise self._ending
            yield
        finally:
            self._allowed = before
        if before and not allow and self._ending is not None:
            raise self._ending


class Server:
    """The process of jupyterhub-singleuser, in a session of its own; it gets SIGTERM if the launcher is killed."""

    def __init__(self, job: Job, node: Node, port: int, env: dict[str, str]) -> None:
        self._node, self.port = node, port
        try:
            self._process = subprocess.Popen(
                command(job, node, port),
                env=environment(job, node, port, env),
                cwd=Path.home() if Path.home().is_dir() else job.directory,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=prepare.end_with_parent(),  # noqa: PLW1509  there are no threads
            )
        except OSError as error:
            raise Failed(f"The server's Python, {job.python}, cannot be run ({error}).") from error

    def pause(self, seconds: float) -> None:
        """Wait that long; :class:`ServerEnded` as soon as the server has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise ServerEnded(self._process.wait(seconds))

    def wait(self) -> int:
        """Return the exit code once the server has ended."""
        return ServerEnded(self._process.wait()).code

    def until_listening(self) -> None:
        """Return once the server itself, and nobody else, accepts connections; :class:`ServerEnded` if it ends."""
        while not (accepts(self._node, self.port) and listens(self._process.pid, self.port)):
            self.pause(POLL_S)

    def stop(self) -> None:
        """Leave nothing of the server: SIGTERM, after :data:`END_S` SIGKILL for its whole session."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def command(job: Job, node: Node, port: int) -> list[str]:
    """Return the server's command, without anything secret. Root has labs only where there is nobody else (containers)."""
    # Not by -m, which imports from the directory that the server starts in: ~/random.py would break it.
    where = (f"--ServerApp.ip={node.address}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0")
    root = ["--ServerApp.allow_root=True"] if os.geteuid() == 0 else []
    return [job.python, str(job.directory / "jsc_lab.py"), *where, *NO_NEWS, *root]


def environment(job: Job, node: Node, port: int, inherited: dict[str, str]) -> dict[str, str]:
    """Return the server's environment, with the configuration that enables the extension and the project's kernels."""
    env = {**inherited, **job.env, **job.secrets}
    if job.kernels and os.path.isdir(job.kernels):  # noqa: PTH112  False also where it may not be looked at
        env["JUPYTER_PATH"] = os.pathsep.join(filter(None, [job.kernels, env.get("JUPYTER_PATH")]))
    path = urlsplit(env.get("JUPYTERHUB_SERVICE_URL", "")).path or env.get("JUPYTERHUB_SERVICE_PREFIX", "/")
    host = f"[{node.address}]" if ":" in node.address else node.address
    env["JUPYTERHUB_SERVICE_URL"] = f"http://{host}:{port}{path}"
    paths = [str(job.directory / "jupyter"), env.get("JUPYTER_CONFIG_PATH")]
    return {**env, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def free_port(node: Node) -> int:
    """Return a port of the node's address that was free a moment ago; the kernel chooses."""
    try:
        with _bound(node.address) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise Failed(f"{node.name} cannot listen on {node.address} ({error}): set JSC_NODE_ADDRESS.") from error


def accepts(node: Node, port: int) -> bool:
    """Tell whether something accepts connections there."""
    with contextlib.suppress(OSError), _bound(node.address) as probe:
        probe.settimeout(1)
        # A socket that the kernel gave this very port would connect to itself.
        return bool(probe.getsockname()[1] != port) and probe.connect_ex((node.address, port)) == 0
    return False


def listens(pid: int, port: int) -> bool:
    """Tell whether process *pid* itself listens on *port*: on a shared node somebody else may have been faster.

    True where the system does not tell (no Linux). Source: proc_pid_net(5), state 0A is LISTEN.
    """
    if not Path("/proc/net/tcp").exists():
        return True
    listening, opened = set(), set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path("/proc/net", table).read_text("ascii").splitlines()]
            listening |= {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    for entry in Path("/proc", str(pid), "fd").glob("*"):
        with contextlib.suppress(OSError):
            opened.add(os.readlink(entry))  # noqa: PTH115  what it names is no path
    return bool(listening & opened)


@contextlib.contextmanager
def _bound(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        yield probe


class Launcher:
    """One run of a lab."""

    def __init__(self, job: Job) -> None:
        self._job, self._hub = job, Hub(job)
        self._interrupts = Interrupts(job.runtime_s)
        self._server: Server | None = None
        self._preparation = prepare.Preparation(
            job.steps, set(job.env), job.secrets, self._hub.event, self._interrupts.allowed
        )

    def run(self) -> int:
        """Return the exit code once the lab has ended; nothing of it is left then."""
        try:
            with self._interrupts.allowed():
                return self._start().wait()
        except ServerEnded as ended:
            say(f"The server ended with code {ended.code} before the portal could use it.")
            return ended.code or 1
        except Ending as ending:
            if ending.wall_time:
                say("The time limit is near; ending the server.")
                self._hub.last_event("lab_ending", "The time limit is near; the lab ends now.")
            return ending.code
        finally:
            if self._server:
                self._server.stop()
            self._preparation.end()

    def _start(self) -> Server:
        env = {**os.environ, **self._job.environment, **self._job.env}
        waited = self._hub.event("lab_starting", 55, f"Starting the server on {node_name(env)}.")
        if waited > REQUEST_S:
            self._hub.event("lab_waiting", 55, f"Waited {waited:.0f} s for the portal to answer.")
        env = self._preparation.run(env)
        node = this_node(env)
        server = self._listening(node, env)
        self._hub.event("lab_listening", 75, f"The server listens on {node.name}.", server.pause)
        self._hub.started(node, server.port, server.pause)
        return server

    def _listening(self, node: Node, env: dict[str, str]) -> Server:
        """Return the server once it listens, on another port if somebody else took the first."""
        for left in reversed(range(PORTS)):
            with self._interrupts.allowed(False):
                self._server = server = Server(self._job, node, free_port(node), env)
            try:
                server.until_listening()
                return server
            except ServerEnded:
                if not left or not accepts(node, server.port):
                    raise
                say(f"Port {server.port} was taken by somebody else; trying another one.")
                server.stop()
        raise AssertionError("the loop ends by returning or raising")


def main() -> int:
    """Run the lab of this file's directory; return the exit code."""
    try:
        job = read_job(Path(__file__).resolve().parent)
        prepare.write_configuration(job.directory)
        return Launcher(job).run()
    except Failed as error:
        say(f"failed: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
