# SPDX-License-Identifier: BSD-3-Clause
"""The demo's folder: what is written is valid, private and stays; ports are free or kept."""

import socket
from pathlib import Path

import pytest

from jupyter_jsc.config import load, settings
from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.demo import world
from jupyter_jsc.errors import Conflict


def prepare(path: Path, port: int = 0) -> demo_folder.Folder:
    return demo_folder.prepare(path, port=port, queue_delay_s=1.0, token_s=300, python="/usr/bin/python3")


def test_every_file_is_accepted_by_the_process_that_reads_it(tmp_path: Path) -> None:
    """The demo's own configuration passes the same checks as a centre's."""
    folder = prepare(tmp_path)
    assert set(load.load(folder.file("configuration")).systems) == {"juwels", "jureca"}
    load.load_file(settings.ManagerSettings, folder.file("unicoremgr.yaml"))
    load.load_file(settings.TunnelMgrSettings, folder.file("tunnelmgr.yaml"))
    load.load_file(settings.HubSettings, folder.file("hub.yaml"))
    load.load_file(world.WorldSettings, folder.file("world.yaml"))


def test_a_second_start_keeps_ports_and_keys(tmp_path: Path) -> None:
    """Bookmarks, cookies and encrypted state of the last run go on working."""
    first, second = prepare(tmp_path), prepare(tmp_path)
    assert second.ports == first.ports
    assert second.environment == first.environment


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    """Another program on a port of the last run does not stop the demo."""
    first = prepare(tmp_path)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first.ports["hub"]))
        stranger.listen()
        second = prepare(tmp_path)
    assert second.ports["hub"] != first.ports["hub"]
    assert second.ports["portal"] == first.ports["portal"]


def test_a_wanted_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """A port that the user asked for is not replaced silently."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {taken} is taken"):
            prepare(tmp_path, taken)


def test_secrets_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    """No other user of the machine reads keys, tokens or settings."""
    folder = prepare(tmp_path)
    open_files = [path for path in folder.file("keys").iterdir() if path.stat().st_mode & 0o077]
    assert open_files == []


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two demos in one folder would share a database."""
    with demo_folder.locked(tmp_path), pytest.raises(Conflict, match="Another demo runs"), demo_folder.locked(tmp_path):
        pass
