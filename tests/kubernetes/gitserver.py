# SPDX-License-Identifier: BSD-3-Clause
"""The portal's configuration over ssh, by a real sshd that lets one key read one repository."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
_SETTINGS = """\
ListenAddress {address}
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
PermitRootLogin prohibit-password
"""


@dataclass(frozen=True)
class GitServer:
    """Where a repository is, and what one needs to read it."""

    url: str
    key: str
    known_hosts: str


@contextlib.contextmanager
def serving(repository: Path, folder: Path, address: str) -> Iterator[GitServer]:
    """A server of *repository* at *address*, with keys made in *folder*."""
    folder.mkdir()
    for name in ("host", "reader"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    command = f"git -c safe.directory='*' upload-pack '{repository}/.git'"
    reader = (folder / "reader.pub").read_text("ascii")
    (folder / "authorized_keys").write_text(f'restrict,command="{command}" {reader}', "ascii")
    port = _free_port(address)
    (folder / "sshd_config").write_text(_SETTINGS.format(address=address, port=port, folder=folder), "ascii")
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(
        [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")],
        stdin=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
    )
    try:
        _listening(address, port)
        host = " ".join((folder / "host.pub").read_text("ascii").split()[:2])
        yield GitServer(
            f"ssh://{getpass.getuser()}@{address}:{port}{repository}",
            (folder / "reader").read_text("ascii"),
            f"[{address}]:{port} {host}\n",
        )
    finally:
        server.terminate()
        server.wait()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _listening(address: str, port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("sshd does not listen")
