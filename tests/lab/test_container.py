# SPDX-License-Identifier: BSD-3-Clause
"""The launcher as a cluster runs it: a read-only directory of links, a port that is given, the first process of all.

Directories and process numbers are real: mount and process namespaces, as in a container.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_jsc.lab import launcher
from tests.lab.conftest import ADDRESS, BASE, TOKEN, FakeHub, JobProcess, alive, free_port, kept, write_job

_MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'


def _namespaces() -> bool:
    command = ["unshare", "-rm", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(not _namespaces(), reason="needs user, mount and process namespaces")


@pytest.fixture
def mounted(job: JobProcess, tmp_path: Path) -> JobProcess:
    """The job, its files links as in a mounted Secret; the server's record and temporary files are elsewhere."""
    as_secret(job.directory)
    for name in ("record", "tmp"):
        (tmp_path / name).mkdir()
    job.env |= {"FAKE_RECORD": str(tmp_path / "record"), "TMPDIR": str(tmp_path / "tmp")}
    return job


def as_secret(directory: Path) -> None:
    """Make of a job's directory what the kubelet makes of a Secret."""
    data = directory / "..2026_01_01"
    data.mkdir()
    (directory / "..data").symlink_to(data.name)
    for file in [path for path in directory.iterdir() if path.is_file() and not path.is_symlink()]:
        file.rename(data / file.name)
        file.symlink_to(f"..data/{file.name}")


async def launched(job: JobProcess, *command: str) -> None:
    """The launcher runs in its directory, which is mounted read-only."""
    unshare = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        _MOUNTED,
        str(job.directory),
        sys.executable,
        *(command or ("launcher.py",)),
    ]
    await job.launch("-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", *unshare)


def record(job: JobProcess) -> dict[str, Any]:
    return dict(json.loads(Path(job.env["FAKE_RECORD"], "record.json").read_text("utf-8")))


@needs_namespaces
async def test_read_only_directory(hub: FakeHub, mounted: JobProcess):
    """The lab runs; its secrets stay where they are; what had to be written is gone afterwards."""
    await launched(mounted)
    await hub.until(lambda: hub.started)
    await mounted.until(Path(mounted.env["FAKE_RECORD"], "record.json").exists)
    folder = Path(record(mounted)["env"]["JUPYTER_CONFIG_PATH"])

    assert folder.is_relative_to(mounted.env["TMPDIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "jupyter_server_config.d" / "jsc_lab.json").is_file()
    assert record(mounted)["argv"][0] == str(mounted.directory / "jsc_lab.py")
    assert await mounted.terminate() == 128 + signal.SIGTERM
    assert (mounted.directory / "secrets.json").is_file()
    assert list(Path(mounted.env["TMPDIR"]).iterdir()) == []


@needs_namespaces
async def test_a_restarted_container_runs_again(hub: FakeHub, mounted: JobProcess):
    """The secrets are there the second time too."""
    for times in (1, 2):
        await launched(mounted)
        await hub.until(lambda times=times: len(hub.started) == times)
        assert await mounted.terminate() == 128 + signal.SIGTERM


@needs_namespaces
async def test_no_place_for_the_configuration(mounted: JobProcess):
    """Neither the directory nor a temporary one can be written: the lab says so and ends."""
    await launched(
        mounted,
        "-c",
        "import tempfile; tempfile.tempdir = '/proc/none'; import launcher; raise SystemExit(launcher.main())",
    )

    assert await mounted.ended() == 1
    assert "no place for the server's configuration" in mounted.stderr


@needs_namespaces
async def test_real_server_in_a_read_only_directory(hub: FakeHub, tmp_path: Path):
    """The extension is found through the links, and the server serves."""
    home, tmp = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    tmp.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp)}
    env |= {"JSC_NODE_NAME": "jwc01", "JSC_NODE_ADDRESS": ADDRESS, "JSC_NODE_PORT": str(free_port())}
    job = JobProcess(write_job(tmp_path / "job", hub.url), env)
    as_secret(job.directory)
    async with kept(job):
        await launched(job)
        await hub.until(lambda: hub.started)
        reader, writer = await asyncio.open_connection(ADDRESS, int(env["JSC_NODE_PORT"]))
        writer.write(f"GET {BASE}api HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()

        assert answer[:12] == b"HTTP/1.1 200"
        assert "jsc_lab | extension was successfully loaded" in job.stderr
        assert await job.terminate() == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [13, 1])
def test_other_trouble_with_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    """A file that may be read and not deleted, as an account's or a mount's rights have it, is no obstacle."""

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)

    assert launcher.read_job(write_job(tmp_path / "job", "http://hub")).secrets["JUPYTERHUB_API_TOKEN"] == TOKEN


async def test_port_that_is_given(hub: FakeHub, job: JobProcess):
    """The server listens there, says so, and has its address in its environment."""
    port = free_port()
    await job.launch(JSC_NODE_PORT=str(port))
    await hub.until(lambda: hub.started)

    assert [body["port"] for body in hub.started] == [port]
    await job.until((job.directory / "record.json").exists)
    assert job.record["env"]["JUPYTERHUB_SERVICE_URL"] == f"http://{ADDRESS}:{port}{BASE}"


async def test_given_port_that_somebody_else_has(hub: FakeHub, job: JobProcess):
    """No other is tried, as nobody would look there; the lab ends and names the port."""
    port = free_port()
    await job.launch(JSC_NODE_PORT=str(port), FAKE_MODE="robbed")
    try:
        assert await job.ended() == 1
        assert f"Port {port} (JSC_NODE_PORT) is taken by somebody else." in job.stderr
        assert hub.started == []
    finally:
        thief, _port = json.loads((job.directory / "thief").read_text("ascii"))
        os.kill(thief, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "value"),
    [("JSC_NODE_PORT", value) for value in ("0", "80", "65536", "-1", "x", "8443 ", "\u0663" * 4, "1" * 5000)]
    + [("JSC_END_S", value) for value in ("0", "3601", "1.5", "soon")],
)
async def test_numbers_that_are_none(hub: FakeHub, job: JobProcess, name: str, value: str):
    """A mistake in a manifest is named with what is allowed, and the lab ends without a server."""
    await job.launch(**{name: value})

    assert await job.ended() == 1
    assert f"{name} is '" in job.stderr
    assert "it must be a number from" in job.stderr
    assert hub.started == []


async def test_server_has_the_time_that_its_pod_has(hub: FakeHub, job: JobProcess):
    """A server that does not end is killed before the kubelet would kill the launcher, which has more to clear up."""
    await job.launch(FAKE_MODE="stubborn", JSC_END_S="1")
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "record.json").exists)

    assert await job.terminate() == 128 + signal.SIGTERM
    pids = [job.record["pid"], *job.record["children"]]
    await job.until(lambda: not any(alive(pid) for pid in pids))


async def first(job: JobProcess, **env: str) -> int:
    """Run the launcher as the first process of a process namespace; return its number outside."""
    unshare = ["unshare", "-r", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "launcher.py"]
    await job.launch("-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", *unshare, **env)
    await job.until(lambda: children(job.pid))
    return children(job.pid)[0]


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


@needs_namespaces
async def test_first_process_ends_with_sigterm(hub: FakeHub, job: JobProcess):
    """The kernel would keep SIGTERM from a first process that does not listen for it."""
    process = await first(job)
    await hub.until(lambda: hub.started)
    os.kill(process, signal.SIGTERM)

    assert await job.ended() == 128 + signal.SIGTERM
    assert not alive(process)


@needs_namespaces
@pytest.mark.parametrize(("mode", "code"), [("dies", 7), ("brief", 3)])
async def test_first_process_tells_how_the_server_ended(hub: FakeHub, job: JobProcess, mode: str, code: int):
    """The pod's exit code is that of the lab."""
    (job.directory / "leave").touch()
    await first(job, FAKE_MODE=mode)

    assert await job.ended() == code


@needs_namespaces
async def test_first_process_leaves_no_zombies(hub: FakeHub, job: JobProcess):
    """What users' programs leave behind is waited for, or the pod would run out of process numbers."""
    step = {"code": "hook.a.b", "label": "x", "required": True, "timeout_s": 60}
    orphans = 'for n in 1 2 3 4 5; do (sleep 0.3 & ); done; (touch "$FAKE_RECORD"/orphaned & )'
    write_job(job.directory, hub.url, steps=[{**step, "script": [orphans]}])
    process = await first(job)
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "orphaned").exists)
    await job.until(lambda: len(children(process)) == 1)

    os.kill(process, signal.SIGTERM)
    assert await job.ended() == 128 + signal.SIGTERM


@needs_namespaces
async def test_first_process_outlives_no_launcher(hub: FakeHub, job: JobProcess):
    """If the launcher is killed the container ends, and with it all that runs there."""
    process = await first(job)
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "record.json").exists)
    os.kill(children(process)[0], signal.SIGKILL)

    assert await job.ended() == 128 + signal.SIGKILL
