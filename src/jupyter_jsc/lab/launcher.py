# SPDX-License-Identifier: BSD-3-Clause
"""Starts the lab's server on the node and tells the hub where it listens. Standard library only.

Travels with the job (``sites/shipment``) and is run there by ``start.sh``, by whatever bare Python 3.9 or newer the
system names, in the job's directory. In a cluster that is a mounted Secret: it is read-only, goes with the lab, and its
files are links. What is written goes elsewhere then, and the secrets stay. ::

    lab.json      lab_id, start_id, events_url, started_url, hub_urls, env, environment, runtime_s, python, kernels, steps
    secrets.json  secret environment, read and deleted first of all
    route.py      finds the hub and speaks to it
    prepare.py    runs the steps that come before the server
    jsc_lab.py    runs the server in the option's Python, and is its extension

Order: the way to the hub, steps and server, each with an event, ``LabStarted`` (the hub opens the tunnel); then the server's end, SIGTERM
or the wall time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING or __package__:
    from jupyter_jsc.lab import prepare
    from jupyter_jsc.lab.prepare import Failed, say
    from jupyter_jsc.lab.route import REQUEST_S, Hub
else:  # in a job: the files beside this one
    import prepare
    from prepare import Failed, say
    from route import REQUEST_S, Hub

POLL_S = 0.02  # how often the server's port is looked at; half of it is what that adds to a start
NO_NEWS = ("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
END_S = 20.0  # how long the server may take to end, if JSC_END_S does not say; batch systems kill 30 s after SIGTERM
MARGIN_S = 30.0  # how long before the wall time the lab is ended: END_S and one request
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
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
    """Ways to the hub beside its usual address, in the order to try."""
    kernels: str = ""
    """Folder of the project's own kernels, used if it is there."""
    steps: tuple[prepare.Step, ...] = ()
    configuration: Path = Path()
    """Folder of the server's configuration."""


def read_job(directory: Path) -> Job:
    """Return the job of *directory*; its file of secrets is gone afterwards, unless it may not be deleted."""
    path = directory / "secrets.json"
    try:
        text = path.read_text("utf-8")
        path.unlink()
    except FileNotFoundError:
        raise Failed("secrets.json is not there: this job has run before, start the lab again.") from None
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise
        text = path.read_text("utf-8")
    secrets = json.loads(text)
    tree = json.loads((directory / "lab.json").read_text("utf-8"))
    steps = [prepare.Step(**{**step, "script": tuple(step["script"])}) for step in tree.pop("steps")]
    del tree["lab_id"], tree["start_id"]  # for people who look into the directory
    ways = tuple(tree.pop("hub_urls", ()))
    return Job(directory, secrets=secrets, steps=tuple(steps), hub_urls=ways, **tree)


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


class Interrupts:
    """Turns SIGTERM, SIGINT and the wall time into one :class:`Ending`, raised at most once and only where allowed."""

    def __init__(self, runtime_s: float | None) -> None:
        self._allowed = False
        self._ending: Ending | None = None
        for number in _ENDING:
            signal.signal(number, self._arrived)
        if runtime_s is not None:
            signal.setitimer(signal.ITIMER_REAL, max(runtime_s - MARGIN_S, runtime_s / 2, 0.001))

    def _arrived(self, number: int, _frame: object) -> None:
        if self._ending is None:
            self._ending = Ending(number)
            if self._allowed:
                raise self._ending

    def end(self) -> None:
        """Let no signal change the exit code any more: Python, as it ends, gives them back their deadly meaning."""
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)

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
        self._end_s = number_of(env, "JSC_END_S", range(1, 3601)) or END_S
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
        """Leave nothing of the server: SIGTERM, after the time that it has SIGKILL for its whole session."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._end_s)
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
    paths = [str(job.configuration), env.get("JUPYTER_CONFIG_PATH")]
    return {**env, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def number_of(env: dict[str, str], name: str, allowed: range) -> int | None:
    """Return the number that a variable has; None if it is not set."""
    text = env.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) in allowed):
        raise Failed(f"{name} is {text!r:.50}: it must be a number from {allowed[0]} to {allowed[-1]}.")
    return int(text) if text else None


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
        self._job = job
        self._hub = Hub(job.secrets.get("JUPYTERHUB_API_TOKEN", ""), job.events_url, job.started_url)
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
            self._interrupts.end()

    def _start(self) -> Server:
        began = time.monotonic()
        self._job = replace(self._job, env=self._hub.find(self._job.hub_urls, self._job.env))
        env = {**os.environ, **self._job.environment, **self._job.env}
        self._hub.event("lab_starting", 55, f"Starting the server on {node_name(env)}.")
        waited = time.monotonic() - began
        if waited > REQUEST_S:
            self._hub.event("lab_waiting", 55, f"Waited {waited:.0f} s for the portal to answer.")
        env = self._preparation.run(env)
        node = this_node(env)
        server = self._listening(node, env)
        self._hub.event("lab_listening", 75, f"The server listens on {node.name}.", server.pause)
        self._hub.started(node.name, server.port, server.pause)
        return server

    def _listening(self, node: Node, env: dict[str, str]) -> Server:
        """Return the server once it listens, on another port if somebody else took the first and it may be any."""
        fixed = number_of(env, "JSC_NODE_PORT", range(1024, 65536))
        for left in reversed(range(1 if fixed else PORTS)):
            with self._interrupts.allowed(False):
                self._server = server = Server(self._job, node, fixed or free_port(node), env)
            try:
                server.until_listening()
                return server
            except ServerEnded:
                if not left or not accepts(node, server.port):
                    if fixed and accepts(node, fixed):
                        say(f"Port {fixed} (JSC_NODE_PORT) is taken by somebody else.")
                    raise
                say(f"Port {server.port} was taken by somebody else; trying another one.")
                server.stop()
        raise AssertionError("the loop ends by returning or raising")


def first_process(run: Callable[[], int]) -> int:
    """Do *run* in a child and return its exit code, as the first process of a container should.

    That one gets the orphans of all others, which stay as zombies unless it waits for them; SIGTERM does nothing to it
    unless it listens. When it ends, the kernel ends all others.
    """
    passed_on = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    child = os.fork()
    if child:
        for number in passed_on:
            signal.signal(number, lambda number, _frame: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    if not child:
        return run()
    while True:
        ended, status = os.wait()
        if ended == child:
            return ServerEnded(os.waitstatus_to_exitcode(status)).code


def main() -> int:
    """Run the lab of this file's directory; return the exit code."""
    try:
        # Not resolved: the files of a mounted Secret are links into a folder that is replaced when the Secret changes.
        job = read_job(Path(__file__).absolute().parent)
        with prepare.configuration(job.directory) as folder:
            return Launcher(replace(job, configuration=folder)).run()
    except Failed as error:
        say(f"failed: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(first_process(main) if os.getpid() == 1 else main())
