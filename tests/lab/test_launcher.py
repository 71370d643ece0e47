# SPDX-License-Identifier: BSD-3-Clause
"""The launcher as a process: with a hub that is late, angry or rude, with servers that die or do not want to.

Aspects: the order of what it posts, what it goes on with and what not, secrets, ports, the end of everything.
"""

import ast
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from jupyter_jsc import wire
from jupyter_jsc.lab import launcher, prepare, route
from jupyter_jsc.lab.prepare import CONFIGURATION
from tests.lab.conftest import ADDRESS, BASE, DROP, TOKEN, FakeHub, JobProcess, alive, free_port, kept, write_job


async def running(hub: FakeHub, job: JobProcess) -> None:
    """The launcher has told the hub where its server listens."""
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "record.json").exists)


@pytest.mark.parametrize(
    ("module", "beside"),
    [(launcher, {"prepare", "route", "jupyter_jsc"}), (route, {"prepare", "jupyter_jsc"}), (prepare, set())],
)
def test_syntax_is_that_of_old_pythons(module: ModuleType, beside: set[str]):
    """A site's Python 3.9 can read what runs before any software is loaded; only the standard library is imported."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert beside == imported - set(sys.stdlib_module_names)


async def test_start_posts_events_then_where_it_listens(hub: FakeHub, job: JobProcess):
    """The hub hears of the start, of the server, and then of the node's name and the server's port, in this order."""
    await job.launch()
    await running(hub, job)

    assert [kind for kind, _body in hub.posts] == ["events", "events", "started"]
    events = [wire.Event.model_validate(body) for kind, body in hub.posts if kind == "events"]
    assert [(event.code, event.progress, event.text) for event in events] == [
        ("lab_starting", 55, "Starting the server on jwc01."),
        ("lab_listening", 75, "The server listens on jwc01."),
    ]
    started = wire.LabStarted.model_validate(hub.started[0])
    assert ("jwc01", f"--ServerApp.port={started.port}") == (started.host, job.record["argv"][2])
    assert {f"token {TOKEN}"} == hub.tokens


async def test_server_is_told_where_to_listen_and_how_to_reach_the_hub(hub: FakeHub, job: JobProcess):
    """The server binds to the node's own address only, below the lab's path, starts at home, with the extension."""
    await job.launch()
    await running(hub, job)
    env, port = job.record["env"], hub.started[0]["port"]

    assert f"http://{ADDRESS}:{port}{BASE}" == env["JUPYTERHUB_SERVICE_URL"]
    assert {f"--ServerApp.ip={ADDRESS}", "--ServerApp.port_retries=0", "--LabApp.news_url=None"} <= set(
        job.record["argv"]
    )
    assert job.env["HOME"] == job.record["cwd"]
    assert env["PYTHONPATH"] == job.env["PYTHONPATH"]
    written = {name: json.loads(Path(env["JUPYTER_CONFIG_PATH"], name).read_text("utf-8")) for name in CONFIGURATION}
    assert written == CONFIGURATION


async def test_secrets_are_only_in_the_servers_environment(hub: FakeHub, job: JobProcess):
    """The file of secrets is gone, the server has them, no process shows them in its arguments or output."""
    await job.launch()
    await running(hub, job)

    assert not (job.directory / "secrets.json").exists()
    assert job.record["env"]["JUPYTERHUB_API_TOKEN"] == TOKEN
    for pid in (job.pid, job.record["pid"]):
        assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    await job.terminate()
    left = [path for path in job.directory.rglob("*") if path.is_file() and path.name != "record.json"]
    assert [path for path in left if TOKEN.encode() in path.read_bytes()] == []


async def test_sigterm_ends_server_and_launcher(hub: FakeHub, job: JobProcess):
    """SIGTERM leaves no process, and the hub hears nothing more."""
    await job.launch()
    await running(hub, job)
    said = len(hub.posts)

    assert await job.terminate() == 128 + signal.SIGTERM
    assert (False, said) == (alive(job.record["pid"]), len(hub.posts))


async def test_server_that_ignores_sigterm_is_killed_with_its_children(hub: FakeHub, job: JobProcess):
    """A server that does not want to end is killed, and so is what it has started in its session."""
    quick = "import launcher, sys; launcher.END_S = 0.2; sys.exit(launcher.main())"
    await job.launch("-c", quick, FAKE_MODE="stubborn")
    await running(hub, job)

    assert await job.terminate() == 128 + signal.SIGTERM
    pids = [job.record["pid"], *job.record["children"]]
    await job.until(lambda: not any(alive(pid) for pid in pids))


async def test_killed_launcher_takes_its_server_along(hub: FakeHub, job: JobProcess):
    """On a login node nothing else would end a server whose launcher was killed."""
    await job.launch()
    await running(hub, job)
    os.kill(job.pid, signal.SIGKILL)

    assert await job.ended() == -signal.SIGKILL
    await job.until(lambda: not alive(job.record["pid"]))


async def test_wall_time_ends_the_lab_before_the_batch_system_does(hub: FakeHub, job: JobProcess):
    """Before its time is over the lab says so and ends by itself, with success."""
    write_job(job.directory, hub.url, runtime_s=4)
    await job.launch()
    await running(hub, job)

    assert await job.ended() == 0
    assert (hub.codes[-1], alive(job.record["pid"])) == ("lab_ending", False)


async def test_time_limit_also_ends_the_waiting_for_the_hub(tmp_path: Path, job: JobProcess):
    """A hub that never comes does not hold the node longer than the time limit."""
    write_job(job.directory, f"http://127.0.0.1:{free_port()}", runtime_s=1)
    await job.launch()

    assert await job.ended() == 0
    assert not (job.directory / "record.json").exists()


async def test_sigterm_while_waiting_for_the_hub(job: JobProcess):
    """A start that is cancelled while the hub is away ends at once, without a server."""
    write_job(job.directory, f"http://127.0.0.1:{free_port()}")
    await job.launch()
    await job.until(lambda: "does not answer yet" in job.stderr)

    assert await job.terminate() == 128 + signal.SIGTERM
    assert not (job.directory / "record.json").exists()


async def test_late_hub_is_waited_for(job: JobProcess):
    """A hub that comes later hears everything."""
    port = free_port()
    write_job(job.directory, f"http://127.0.0.1:{port}")
    await job.launch()
    await job.until(lambda: "does not answer yet" in job.stderr)
    hub = FakeHub()
    async with hub.listening(port):
        await running(hub, job)
        await job.terminate()

    assert hub.codes == ["lab_starting", "lab_listening"]


async def test_long_wait_is_an_event_of_its_own(hub: FakeHub, job: JobProcess):
    """A user sees afterwards that the lab waited for the portal, and how long."""
    hub.script["events"] = [503]
    await job.launch("-c", "import launcher, sys; launcher.REQUEST_S = 0.05; sys.exit(launcher.main())")
    await hub.until(lambda: "lab_waiting" in hub.codes)

    assert hub.codes[:3] == ["lab_starting", "lab_starting", "lab_waiting"]


@pytest.mark.parametrize("answers", [[500, 502, 503], [DROP, DROP], [408, 429], [302]])
@pytest.mark.parametrize("kind", ["events", "started"])
async def test_passing_trouble_is_tried_again(hub: FakeHub, job: JobProcess, kind: str, answers: list[int]):
    """Errors of the server, cut connections, time-outs and redirects of a proxy are no reason to give up."""
    hub.script[kind] = list(answers)
    await job.launch()
    first = "lab_starting" if kind == "events" else None
    needed = len(answers) + 1
    await hub.until(lambda: len(hub.started) >= (1 if first else needed))
    await running(hub, job)

    assert needed == (hub.codes.count("lab_starting") if first else len(hub.started))
    assert "elsewhere" not in {said for said, _body in hub.posts}


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422])
async def test_refused_start_ends_the_server(hub: FakeHub, job: JobProcess, status: int):
    """A hub that does not want this start any more gets rid of it: no server is left, stderr says why."""
    hub.script["started"] = [status]
    await job.launch()

    assert await job.ended() == 1
    assert f"The portal refuses this lab (HTTP status {status})" in job.stderr
    assert hub.codes == ["lab_starting", "lab_listening"]
    assert (len(hub.started), alive(job.record["pid"])) == (1, False)


async def test_refused_event_does_not_stop_the_start(hub: FakeHub, job: JobProcess):
    """Events are news; whether the lab may run is said when it reports where it listens."""
    hub.script["events"] = [403, 422]
    await job.launch()
    await running(hub, job)

    assert hub.codes == ["lab_starting", "lab_listening"]
    assert "event lab_starting: The portal refuses" in job.stderr


async def test_server_that_dies_at_once(hub: FakeHub, job: JobProcess):
    """The job ends with the server's code and last words; the hub hears of no port."""
    await job.launch(FAKE_MODE="dies")

    assert await job.ended() == 7
    assert "the last words\n" in job.stderr
    assert "server ended with code 7" in job.stderr
    assert hub.started == []


async def test_server_that_ends_later(hub: FakeHub, job: JobProcess):
    """The job ends when the server ends, with its code."""
    await job.launch(FAKE_MODE="brief")
    await running(hub, job)
    (job.directory / "leave").touch()

    assert await job.ended() == 3


async def test_server_that_ends_while_the_hub_is_away(hub: FakeHub, job: JobProcess):
    """Waiting for the hub does not hide that the server is gone."""
    hub.script["started"] = [503] * 1000
    await job.launch(FAKE_MODE="brief")
    await running(hub, job)
    (job.directory / "leave").touch()

    assert await job.ended() == 3


async def test_port_that_somebody_else_takes(hub: FakeHub, job: JobProcess):
    """Who takes the port between choice and bind is neither reported to the hub nor a reason to fail."""
    await job.launch(FAKE_MODE="robbed")
    try:
        await running(hub, job)
        _thief, taken = json.loads((job.directory / "thief").read_text("ascii"))

        assert f"Port {taken} was taken by somebody else" in job.stderr
        assert [body["port"] != taken for body in hub.started] == [True]
    finally:
        thief, _port = json.loads((job.directory / "thief").read_text("ascii"))
        os.kill(thief, signal.SIGKILL)


async def test_address_that_is_not_this_nodes(job: JobProcess):
    """A wrong address of a site's prologue ends the job with a line that names it and the remedy."""
    await job.launch(JSC_NODE_ADDRESS="192.0.2.1")

    assert await job.ended() == 1
    assert "jwc01 cannot listen on 192.0.2.1" in job.stderr
    assert "JSC_NODE_ADDRESS" in job.stderr


async def test_node_name_without_address(job: JobProcess):
    """A name that does not resolve ends the job with a line that says what to set."""
    await job.launch(JSC_NODE_NAME="no-such-node.invalid", JSC_NODE_ADDRESS="")

    assert await job.ended() == 1
    assert "no-such-node.invalid" in job.stderr


async def test_python_without_jupyterhub(hub: FakeHub, tmp_path: Path, job: JobProcess):
    """A server's Python that lacks what it needs ends the job with a line that says what to install."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n', "utf-8")
    bare.chmod(0o755)
    write_job(job.directory, hub.url, python=str(bare))
    await job.launch()

    assert await job.ended() == 1
    assert "lacks jupyterhub and jupyterlab" in job.stderr
    assert "pip install jupyterhub" in job.stderr
    assert (hub.codes, hub.started) == (["lab_starting"], [])


async def test_python_that_is_not_there(hub: FakeHub, job: JobProcess):
    """A server's Python that does not exist ends the job with a line that names it."""
    write_job(job.directory, hub.url, python="/opt/nowhere/bin/python")
    await job.launch()

    assert await job.ended() == 1
    assert "jupyter-jsc: failed: The server's Python, /opt/nowhere/bin/python, cannot be run" in job.stderr


async def test_launcher_needs_nothing_but_the_standard_library(hub: FakeHub, job: JobProcess):
    """A bare interpreter starts the server of another one."""
    bare = "import sys; sys.path.insert(0, '.'); import launcher; sys.exit(launcher.main())"
    await job.launch("-I", "-S", "-c", bare)
    await running(hub, job)

    assert await job.terminate() == 128 + signal.SIGTERM


@pytest.mark.parametrize("there", [True, False])
async def test_kernels_of_the_project(hub: FakeHub, tmp_path: Path, job: JobProcess, there: bool):
    """The project's folder comes first in the search path for kernels, if it is there."""
    folder = tmp_path / "project"
    if there:
        folder.mkdir()
    write_job(job.directory, hub.url, kernels=str(folder), environment={"JUPYTER_PATH": "/p/software/jupyter"})
    await job.launch()
    await running(hub, job)

    expected = f"{folder}:/p/software/jupyter" if there else "/p/software/jupyter"
    assert expected == job.record["env"]["JUPYTER_PATH"]


async def test_job_that_runs_a_second_time(hub: FakeHub, job: JobProcess):
    """A job that the batch system queues again has no secrets any more: it ends and says so."""
    (job.directory / "secrets.json").unlink()
    await job.launch()

    assert await job.ended() == 1
    assert "has run before" in job.stderr
    assert hub.posts == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_in_a_row_are_one_end(hub: FakeHub, job: JobProcess, number: int):
    """A second signal while the server ends changes nothing."""
    await job.launch()
    await running(hub, job)
    for _ in range(3):
        os.kill(job.pid, number)

    assert 128 + number == await job.ended()
    await job.until(lambda: not alive(job.record["pid"]))


@pytest.mark.parametrize("attempt", [0, 1, 5, 1000])
def test_pauses_grow_to_a_limit(attempt: int):
    """Pauses between attempts are never zero and never longer than half a minute."""
    pause = route.back_off(attempt)

    assert min(30, 0.25 * 2.0 ** min(attempt, 20)) / 2 <= pause <= route.PAUSE_S


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:1/user/a/b/"}, "http://10.0.0.7:40000/user/a/b/"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/a/b/"}, "http://10.0.0.7:40000/user/a/b/"),
        ({}, "http://10.0.0.7:40000/"),
    ],
)
def test_service_url_keeps_the_path(env: dict[str, str], expected: str):
    """The path of the lab stays, wherever it is given; host and port are the node's."""
    job = launcher.Job(Path("/job"), "", "", env, None, {})
    made = launcher.environment(job, launcher.Node("n", "10.0.0.7"), 40000, {})

    assert expected == made["JUPYTERHUB_SERVICE_URL"]


def test_service_url_of_ipv6():
    """An address of IPv6 stands in brackets."""
    job = launcher.Job(Path("/job"), "", "", {}, None, {})

    assert (
        launcher.environment(job, launcher.Node("n", "fd00::7"), 1, {})["JUPYTERHUB_SERVICE_URL"]
        == "http://[fd00::7]:1/"
    )


def test_job_does_not_show_its_secrets(tmp_path: Path):
    """The secrets of a job are not in its representation."""
    read = launcher.read_job(write_job(tmp_path / "job", "http://hub"))

    assert (read.secrets["JUPYTERHUB_API_TOKEN"], TOKEN in repr(read)) == (TOKEN, False)


async def test_foreign_listener_is_not_ours():
    """A port that another process listens on is not taken for the server's."""
    listener = await asyncio.start_server(lambda _reader, writer: writer.close(), ADDRESS, 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]

        assert launcher.accepts(launcher.Node("n", ADDRESS), port)
        assert (launcher.listens(os.getpid(), port), launcher.listens(1, port)) == (True, False)


async def test_real_server(hub: FakeHub, tmp_path: Path):
    """The real single-user server starts below the lab's path, whatever lies at home, and ends without a trace."""
    for module in ("random", "jupyterhub", "jupyter_server", "tornado"):
        (tmp_path / f"{module}.py").write_text("raise RuntimeError('a file of the user')", "utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JSC_NODE_NAME": "jwc01", "JSC_NODE_ADDRESS": ADDRESS}
    job = JobProcess(write_job(tmp_path / "job", hub.url), env)
    async with kept(job):
        await job.launch()
        await hub.until(lambda: hub.started)
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text("ascii").split()
        reader, writer = await asyncio.open_connection(ADDRESS, hub.started[0]["port"])
        writer.write(f"GET {BASE}api HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()

        assert answer[:12] == b"HTTP/1.1 200"
        assert b"X-Jupyterhub-Version" in answer
        assert len(children) == 1
        assert await job.terminate() == 128 + signal.SIGTERM
        assert not alive(int(children[0]))
