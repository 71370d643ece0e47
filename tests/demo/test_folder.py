# SPDX-License-Identifier: BSD-3-Clause
"""The demo's folder: what is written is valid, private and stays; ports are free or kept."""

import socket
import subprocess
from pathlib import Path

import pytest

from jupyter_jsc.config import load, settings
from jupyter_jsc.config.mistakes import ConfigurationRefused
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.demo import centre, worktree, world
from jupyter_jsc.demo import folder as demo_folder
from jupyter_jsc.errors import Conflict
from tests.ring.centre import without_system


async def prepare(path: Path, port: int = 0) -> demo_folder.Folder:
    return await demo_folder.prepare(path, port=port, queue_delay_s=1.0, token_s=300, python="/usr/bin/python3")


async def test_every_file_is_accepted_by_the_process_that_reads_it(tmp_path: Path) -> None:
    """The demo's own configuration passes the same checks as a centre's."""
    folder = await prepare(tmp_path)
    configuration = in_force(folder)
    assert set(configuration.systems) == {"juwels", "jupiter", "jureca", "jusuf", "deep", "hdf-cloud"}
    assert configuration.hub == "demo"
    load.load_file(settings.ManagerSettings, folder.file("unicoremgr.yaml"))
    load.load_file(settings.K8sMgrSettings, folder.file("k8smgr.yaml"))
    load.load_file(settings.TunnelMgrSettings, folder.file("tunnelmgr.yaml"))
    assert folder.file("kubeconfig").stat().st_mode & 0o777 == 0o600
    load.load_file(settings.HubSettings, folder.file("hub.yaml"))
    load.load_file(settings.DashboardSettings, folder.file("dashboard.yaml"))
    load.load_file(world.WorldSettings, folder.file("world.yaml"))


def in_force(folder: demo_folder.Folder) -> Configuration:
    return load.load((folder.published / "current").resolve())


def git(folder: demo_folder.Folder, *arguments: str) -> str:
    identity = ("-c", "user.name=A User", "-c", "user.email=user@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder.repository, capture_output=True, text=True, check=True).stdout.strip()


async def test_every_login_node_is_reached_where_it_listens(tmp_path: Path) -> None:
    """Ports and host keys of the configuration are those that the world uses."""
    folder = await prepare(tmp_path)
    systems = in_force(folder).systems
    for site in centre.sites(in_force(folder)).values():
        assert systems[site.key].unicore.url.port == folder.ports[site.key]
        for node in site.login_nodes:
            host = systems[site.key].jump_hosts[node.name]
            assert (host.host, host.port) == (node.address, folder.ports[f"{site.key}-{node.name}"])
            assert host.host_key == folder.file(f"keys/{node.name}.pub").read_text("ascii").strip()


async def test_a_second_start_adds_no_commit_and_keeps_the_users(tmp_path: Path) -> None:
    """What a user has committed is in force at the next start, beside the demo's two commits."""
    folder = await prepare(tmp_path)
    git(folder, "rm", "--quiet", "announcements.yaml")
    git(folder, "commit", "--quiet", "--message", "Say nothing")
    await prepare(tmp_path)
    assert git(folder, "rev-list", "--count", "HEAD") == "3"
    assert in_force(folder).announcements == {}


async def test_a_system_that_the_user_has_removed_stays_away(tmp_path: Path) -> None:
    """New addresses are written for the systems that are left."""
    folder = await prepare(tmp_path)
    without_system(folder.repository, "deep")
    git(folder, "commit", "--quiet", "--all", "--message", "Without DEEP")
    (tmp_path / "ports.json").unlink()
    again = await prepare(tmp_path)
    assert "deep" not in in_force(again).systems
    assert "deep" not in again.ports
    assert in_force(again).systems["juwels"].unicore.url.port == again.ports["juwels"]


async def test_a_bad_commit_does_not_keep_the_demo_from_starting(tmp_path: Path) -> None:
    """The last good version is in force then, unless the demo needs a commit of its own on top of the bad one."""
    folder = await prepare(tmp_path)
    (folder.repository / "portal.yaml").write_text("support: [\n", "utf-8")
    git(folder, "commit", "--quiet", "--all", "--message", "Too early in the morning")
    assert in_force(await prepare(tmp_path)).support
    (tmp_path / "ports.json").unlink()
    with pytest.raises(ConfigurationRefused, match=r"portal\.yaml"):
        await prepare(tmp_path)


async def test_without_any_good_version_the_demo_says_what_is_wrong(tmp_path: Path) -> None:
    """A first commit that cannot be used is refused with every mistake."""
    own = tmp_path / demo_folder.REPOSITORY
    worktree.ensure(own)
    worktree.commit_addresses(own, worktree.addresses(own) | {"hub": "/"})
    with pytest.raises(ConfigurationRefused, match=r"addresses\.yaml"):
        await prepare(tmp_path)


async def test_a_second_start_keeps_ports_and_keys(tmp_path: Path) -> None:
    """Bookmarks, cookies and encrypted state of the last run go on working."""
    first, second = await prepare(tmp_path), await prepare(tmp_path)
    assert second.ports == first.ports
    assert second.environment == first.environment


async def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    """Another program on a port of the last run does not stop the demo."""
    first = await prepare(tmp_path)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first.ports["hub"]))
        stranger.listen()
        second = await prepare(tmp_path)
    assert second.ports["hub"] != first.ports["hub"]
    assert second.ports["portal"] == first.ports["portal"]


async def test_a_wanted_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """A port that the user asked for is not replaced silently."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {taken} is taken"):
            await prepare(tmp_path, taken)


async def test_secrets_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    """No other user of the machine reads keys, tokens or settings."""
    folder = await prepare(tmp_path)
    open_files = [path for path in folder.file("keys").iterdir() if path.stat().st_mode & 0o077]
    assert open_files == []


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two demos in one folder would share a database."""
    with demo_folder.locked(tmp_path), pytest.raises(Conflict, match="Another demo runs"), demo_folder.locked(tmp_path):
        pass
