# SPDX-License-Identifier: BSD-3-Clause
"""The SSH service's own settings in a real sshd: without root, in a network namespace of its own.

Aspects: forwards to labs and to nothing else, ways back at a hub's own port only, no command, no terminal, no password.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.charts.helm import CHART, HELM, one, rendered

SSHD = Path("/usr/sbin/sshd")
TOOLS = [name for name in ("unshare", "nsenter", "setpriv", "ip", "mount") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    HELM is None or not SSHD.exists() or os.geteuid() != 0 or bool(TOOLS),
    reason="needs helm, sshd (Debian's package openssh-server) and root, for namespaces",
)
TWO_HUBS = CHART / "ci/two-hubs.yaml"
OWN, OTHER = "jsc", "JSC_test.2"
"""Hubs with the ports 8081 and 8082."""


@dataclass
class Pod:
    """A process that holds network and mounts, in which sshd runs as uid 1000; and the clients of two hubs."""

    holder: int
    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """Return *arguments* as run beside sshd."""
        return ["nsenter", f"--target={self.holder}", "--net", "--mount", *arguments]

    def ssh(self, hub: str, *arguments: str) -> list[str]:
        """Return the client of a hub's TunnelMgr."""
        options = ("BatchMode=yes", "StrictHostKeyChecking=yes", "ExitOnForwardFailure=yes", "ConnectTimeout=20")
        files = (f"UserKnownHostsFile={self.folder}/known_hosts", f"IdentityFile={self.folder}/{hub}")
        flags = [part for option in (*options, *files, "IdentitiesOnly=yes") for part in ("-o", option)]
        return self.command("ssh", "-F", "none", *flags, "-p", "2222", *arguments, "ljupyter@127.0.0.1")

    def run(self, command: list[str], said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=60)

    def fetch(self, port: int) -> bytes:
        """Return what answers at a port of the pod."""
        program = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/', timeout=20).status, end='')"
        return subprocess.run(self.command("python3", "-c", program), capture_output=True, check=False).stdout


@pytest.fixture(scope="module")
def pod() -> Iterator[Pod]:
    # Not below pytest's own folder, which belongs to root alone.
    folder = Path(tempfile.mkdtemp(prefix="jsc-sshd-"))
    running: list[subprocess.Popen[bytes]] = []
    try:
        _write(folder)
        setup = (
            f"ip link set lo up && mount --bind {folder}/passwd /etc/passwd && touch {folder}/up && exec sleep infinity"
        )
        running.append(subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", setup]))
        _until((folder / "up").exists)
        made = Pod(running[0].pid, folder)
        unprivileged = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--no-new-privs")
        sshd = (
            *unprivileged,
            "--inh-caps=-all",
            "--bounding-set=-all",
            str(SSHD),
            "-D",
            "-e",
            "-f",
            f"{folder}/sshd_config",
        )
        running.append(subprocess.Popen(made.command(*sshd), stderr=(folder / "log").open("wb")))
        for port in (8443, 9000):
            server = (
                "python3",
                "-m",
                "http.server",
                str(port),
                "--bind",
                "127.0.0.1",
                "--directory",
                str(folder / "www"),
            )
            running.append(
                subprocess.Popen(made.command(*server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            _until(lambda port=port: made.fetch(port) == b"200")
        _until(lambda: b"Server listening" in (folder / "log").read_bytes())
        yield made
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _write(folder: Path) -> None:
    """Lay out what the pod's volumes hold, with keys of our own, readable by uid 1000 alone."""
    for name in ("ssh_host_ed25519_key", OWN, OTHER, "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = {
        name: " ".join((folder / f"{name}.pub").read_text().split()[:2])
        for name in ("ssh_host_ed25519_key", OWN, OTHER)
    }
    escaped = {name: name.replace(".", "\\.") for name in (OWN, OTHER)}
    objects = rendered(TWO_HUBS, *(f"hubs.{escaped[name]}.sshKeys[0]={public[name]}" for name in (OWN, OTHER)))
    (folder / "authorized_keys").write_text(one(objects, "Secret", "ssh-authorized")["stringData"]["authorized_keys"])
    config = one(objects, "ConfigMap", "ssh")["data"]["sshd_config"]
    for mounted in ("/run/secrets/ssh/", "/run/secrets/authorized/"):
        config = config.replace(mounted, f"{folder}/")
    (folder / "sshd_config").write_text(config)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:2222 {public['ssh_host_ed25519_key']}\n")
    (folder / "www").mkdir()
    lines = [line for line in Path("/etc/passwd").read_text().splitlines() if ":1000:" not in line]
    (folder / "passwd").write_text("\n".join([*lines, "ljupyter:x:1000:1000::/tmp:/bin/sh"]) + "\n")
    for path in (folder, folder / "ssh_host_ed25519_key"):
        os.chown(path, 1000, 1000)


def _until(condition: object) -> None:
    ends = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_forward_leads_to_labs_only(pod: Pod) -> None:
    """To port 8443 and to no other; not even to the ways back of hubs."""
    request = "GET / HTTP/1.0\r\n\r\n"
    assert pod.run(pod.ssh(OWN, "-W", "127.0.0.1:8443"), request).stdout.startswith("HTTP/1.0 200")
    for port in (9000, 8081, 2222):
        refused = pod.run(pod.ssh(OWN, "-W", f"127.0.0.1:{port}"), request)
        assert (refused.stdout, "administratively prohibited" in refused.stderr) == ("", True)


@pytest.mark.parametrize(("hub", "port"), [(OWN, 8081), (OTHER, 8082)])
def test_way_back_leads_to_the_hub(pod: Pod, hub: str, port: int) -> None:
    """What connects to the hub's port in the cluster reaches what TunnelMgr names, while the connection lives."""
    client = subprocess.Popen(pod.ssh(hub, "-R", f"0.0.0.0:{port}:127.0.0.1:9000"), stdin=subprocess.PIPE)
    try:
        _until(lambda: pod.fetch(port) == b"200")
    finally:
        assert client.stdin
        client.stdin.close()
        client.wait(60)
    _until(lambda: pod.fetch(port) == b"")


@pytest.mark.parametrize(
    ("hub", "listen"),
    [(OWN, "0.0.0.0:8082"), (OTHER, "0.0.0.0:8081"), (OWN, "0.0.0.0:8443"), (OWN, "127.0.0.1:0"), (OWN, "0.0.0.0:0")],
)
def test_no_hub_listens_elsewhere(pod: Pod, hub: str, listen: str) -> None:
    """Not at another hub's port, and at no port of its own choice."""
    done = pod.run(pod.ssh(hub, "-R", f"{listen}:127.0.0.1:9000"))
    assert done.returncode != 0
    assert "remote port forwarding failed" in done.stderr


def test_nothing_is_run(pod: Pod) -> None:
    """Whatever is asked for, `cat` answers, without a terminal."""
    assert "PTY allocation request failed" in pod.run(pod.ssh(OWN, "-tt"), "id\n").stderr
    assert pod.run([*pod.ssh(OWN), "id; echo owned"], "x").stdout == "x"
    assert pod.run([*pod.ssh(OWN, "-s"), "sftp"], "x").returncode != 0


def test_strangers_stay_outside(pod: Pod) -> None:
    """No other key, no other account."""
    done = pod.run(pod.ssh("stranger", "-N"))
    assert "Permission denied (publickey)" in done.stderr
    root = [part.replace("ljupyter@", "root@") for part in pod.ssh(OWN, "-N")]
    assert "Permission denied (publickey)" in pod.run(root).stderr
