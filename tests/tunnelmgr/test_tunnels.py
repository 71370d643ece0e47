# SPDX-License-Identifier: BSD-3-Clause
"""Tunnels against two SSH login nodes.

Aspects: open and close, repeated and parallel; targets that are refused; restart of TunnelMgr; loss of a master and
of a login node; a changed host key; drained and closed jump hosts; local ports.
"""

import asyncio
import contextlib
import os
import signal
import socket

import pytest

from jupyter_jsc import names
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.settings import TunnelMgrSettings
from jupyter_jsc.demo.login import LoginNode, generate_key
from jupyter_jsc.errors import HostKeyChanged, InvalidRequest, NotFound, TargetRefused, Unavailable
from jupyter_jsc.tunnelmgr import masters, mux
from jupyter_jsc.tunnelmgr.tunnels import Tunnels
from jupyter_jsc.wire import JumpHostState, OpenTunnel
from tests.config.published import Published
from tests.tunnelmgr.conftest import NODES, configuration, echoed, lab, running, wanted


async def test_bytes_pass_through_a_tunnel_until_it_is_closed(tunnels: Tunnels, answering: int) -> None:
    """Open leads to the lab's port; close ends it and forgets it."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    assert await echoed(tunnel.endpoint_port) == b"hello"
    await tunnels.close(lab(), tunnel.start_id)
    with pytest.raises(OSError):
        await echoed(tunnel.endpoint_port)
    with pytest.raises(NotFound):
        tunnels.get(lab())


async def test_the_same_request_again_gives_the_same_answer(tunnels: Tunnels, answering: int) -> None:
    """The hub may repeat what it did not hear the answer of."""
    request = wanted(answering)
    assert await tunnels.open(lab(), request) == await tunnels.open(lab(), request)


async def test_a_hundred_labs_at_once(tunnels: Tunnels, answering: int) -> None:
    """Parallel requests get one port each, all working, on few connections."""
    opened = await asyncio.gather(*(tunnels.open(lab(f"l{n}"), wanted(answering)) for n in range(100)))
    assert len({tunnel.endpoint_port for tunnel in opened}) == 100
    assert await asyncio.gather(*(echoed(tunnel.endpoint_port) for tunnel in opened[::10])) == [b"hello"] * 10


async def test_another_starts_tunnel_is_not_closed(tunnels: Tunnels, answering: int) -> None:
    """A late clean-up of an old start leaves the new one alone."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    await tunnels.close(lab(), names.new_start_id())
    assert await echoed(tunnel.endpoint_port) == b"hello"


async def test_a_new_start_replaces_the_target(tunnels: Tunnels, answering: int) -> None:
    """The lab's next start is reached where it listens."""
    await tunnels.open(lab(), wanted(9999))
    tunnel = await tunnels.open(lab(), wanted(answering))
    assert await echoed(tunnel.endpoint_port) == b"hello"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "fe80::1",
        "169.254.169.254",
        "0.0.0.0",
        "evil.example.org",
        "jwc01.evil.org",
        "jrc01",
        "10.0.0.1",
    ],
)
async def test_a_target_outside_the_system_is_refused(
    tunnels: Tunnels, login_nodes: dict[str, LoginNode], host: str
) -> None:
    """No connection is made anywhere for a host that the configuration does not allow."""
    with pytest.raises(TargetRefused):
        await tunnels.open(lab(), wanted(8888, host))
    assert tunnels.all() == []
    assert [node.connections for node in login_nodes.values()] == [0, 0]


async def test_an_unknown_system_is_named(tunnels: Tunnels) -> None:
    """The caller reads which systems there are."""
    with pytest.raises(InvalidRequest, match=r"juqueen.*juwels"):
        await tunnels.open(lab(), OpenTunnel(start_id=names.new_start_id(), system="juqueen", host="jwc01", port=8888))


async def test_a_restart_keeps_masters_and_open_streams(
    made: Current, settings: TunnelMgrSettings, answering: int
) -> None:
    """TunnelMgr's restart is not seen by a notebook: same master, same stream, same endpoint."""
    try:
        async with running(made, settings) as tunnels:
            tunnel = await tunnels.open(lab(), wanted(answering))
            before = await pid(settings, tunnel.jump_host)
            reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.endpoint_port)
            writer.write(b"one")
            assert await reader.readexactly(3) == b"one"
        async with running(made, settings) as tunnels:
            writer.write(b"two")
            assert await reader.readexactly(3) == b"two"
            writer.close()
            await connected(tunnels, tunnel.jump_host)
            assert tunnels.get(lab()).endpoint_port == tunnel.endpoint_port
            assert await pid(settings, tunnel.jump_host) == before
    finally:
        await masters.terminate_all(settings.runtime_dir)


async def test_a_connection_has_the_fast_cipher_and_one_session(
    tunnels: Tunnels, login_nodes: dict[str, LoginNode], answering: int
) -> None:
    """AES with hardware's help; the session is the heartbeat, and keeps sshd from holding back small packets."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    again = await tunnels.open(lab("b"), wanted(answering))
    assert again.jump_host in login_nodes
    [connection] = login_nodes[str(tunnel.jump_host)]._open
    ciphers = {connection.get_extra_info(name) for name in ("send_cipher", "recv_cipher")}
    assert ciphers == {"aes128-gcm@openssh.com"}
    assert [info.heartbeat_age_s is not None for info in tunnels.jump_hosts() if info.connected] == [True]


async def test_a_master_that_hangs_is_replaced(
    tunnels: Tunnels, settings: TunnelMgrSettings, monkeypatch: pytest.MonkeyPatch, answering: int
) -> None:
    """A connection without a heartbeat is none, although its process lives: tunnels come back with their endpoint."""
    monkeypatch.setattr(mux, "REQUEST_S", 0.3)
    monkeypatch.setattr(masters, "_BEAT_EVERY_S", 0.05)
    tunnel = await tunnels.open(lab(), wanted(answering))
    hung = await pid(settings, tunnel.jump_host)
    os.kill(hung, signal.SIGSTOP)
    try:
        assert await eventually_echoed(tunnel.endpoint_port) == b"hello"
        assert tunnels.get(lab()).endpoint_port == tunnel.endpoint_port
        assert await pid(settings, tunnels.get(lab()).jump_host) != hung
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(hung, signal.SIGKILL)


async def test_a_master_that_hangs_is_not_adopted(
    made: Current, settings: TunnelMgrSettings, monkeypatch: pytest.MonkeyPatch, answering: int
) -> None:
    """Nor does it keep a new TunnelMgr from the ports of its tunnels."""
    monkeypatch.setattr(mux, "REQUEST_S", 0.3)
    try:
        async with running(made, settings) as tunnels:
            tunnel = await tunnels.open(lab(), wanted(answering))
            hung = await pid(settings, tunnel.jump_host)
        os.kill(hung, signal.SIGSTOP)
        async with running(made, settings) as tunnels:
            assert await eventually_echoed(tunnel.endpoint_port) == b"hello"
            assert await pid(settings, tunnels.get(lab()).jump_host) != hung
    finally:
        await masters.terminate_all(settings.runtime_dir)
        with contextlib.suppress(ProcessLookupError):
            os.kill(hung, signal.SIGKILL)


async def test_a_killed_master_comes_back_with_the_same_endpoint(
    tunnels: Tunnels, settings: TunnelMgrSettings, answering: int
) -> None:
    """The death of an SSH process changes nothing above TunnelMgr."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    os.kill(await pid(settings, tunnel.jump_host), signal.SIGKILL)
    assert await eventually_echoed(tunnel.endpoint_port) == b"hello"
    assert tunnels.get(lab()).endpoint_port == tunnel.endpoint_port


async def test_a_lost_login_node_is_replaced_by_the_other(
    tunnels: Tunnels, login_nodes: dict[str, LoginNode], answering: int
) -> None:
    """Tunnels move to another jump host of the system and keep their endpoint."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    assert tunnel.jump_host
    await login_nodes[tunnel.jump_host].__aexit__()
    assert await eventually_echoed(tunnel.endpoint_port) == b"hello"
    assert tunnels.get(lab()).jump_host != tunnel.jump_host


async def test_a_changed_host_key_is_refused(
    login_nodes: dict[str, LoginNode], published: Published, settings: TunnelMgrSettings
) -> None:
    """A server with another key is never authenticated to, and the error says so."""
    wrong = dict.fromkeys(NODES, generate_key()[1])
    tree = configuration({name: node.port for name, node in login_nodes.items()}, wrong)
    async with running(Current(published.publish("v1", tree)), settings) as tunnels:
        with pytest.raises(HostKeyChanged, match="another host key"):
            await tunnels.open(lab(), wanted(8888))
    assert [node.connections for node in login_nodes.values()] == [0, 0]


async def test_without_any_login_node_it_is_unavailable(login_nodes: dict[str, LoginNode], tunnels: Tunnels) -> None:
    """Nothing is recorded for a tunnel that could not be made."""
    for node in login_nodes.values():
        await node.__aexit__()
    with pytest.raises(Unavailable):
        await tunnels.open(lab(), wanted(8888))
    assert tunnels.all() == []


async def test_a_draining_jump_host_gets_no_new_tunnel(tunnels: Tunnels, answering: int) -> None:
    """Operators empty a login node before maintenance; its tunnels stay."""
    first = await tunnels.open(lab("a"), wanted(answering))
    assert first.jump_host
    await tunnels.set_state(first.jump_host, JumpHostState.DRAINING)
    second = await tunnels.open(lab("b"), wanted(answering))
    assert second.jump_host != first.jump_host
    assert await echoed(first.endpoint_port) == b"hello"


async def test_a_closed_jump_hosts_tunnels_move(
    tunnels: Tunnels, settings: TunnelMgrSettings, made: Current, answering: int
) -> None:
    """Closed means no connection; the state is known after a restart too."""
    tunnel = await tunnels.open(lab(), wanted(answering))
    assert tunnel.jump_host
    info = await tunnels.set_state(tunnel.jump_host, JumpHostState.CLOSED)
    assert (info.connected, info.tunnels) == (False, 0)
    assert await echoed(tunnel.endpoint_port) == b"hello"
    async with running(made, settings.model_copy()) as again:
        states = {info.name: info.state for info in again.jump_hosts()}
    assert states[tunnel.jump_host] is JumpHostState.CLOSED


async def test_a_port_of_a_stranger_is_passed_over(
    tunnels: Tunnels, settings: TunnelMgrSettings, answering: int
) -> None:
    """Another program in the range costs one try, not the tunnel."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", settings.first_port))
        stranger.listen()
        tunnel = await tunnels.open(lab(), wanted(answering))
    assert tunnel.endpoint_port != settings.first_port
    assert await echoed(tunnel.endpoint_port) == b"hello"


async def test_terminate_leaves_no_master(made: Current, settings: TunnelMgrSettings, answering: int) -> None:
    """The end of the demo, or of a TunnelMgr that is not to come back, leaves no process."""
    async with running(made, settings) as tunnels:
        tunnel = await tunnels.open(lab(), wanted(answering))
    assert await echoed(tunnel.endpoint_port) == b"hello"
    await masters.terminate_all(settings.runtime_dir)
    with pytest.raises(OSError):
        await echoed(tunnel.endpoint_port)
    with pytest.raises(Unavailable):
        await pid(settings, tunnel.jump_host)


async def pid(settings: TunnelMgrSettings, name: str | None) -> int:
    """The process id of a jump host's master."""
    connection = await mux.connect(masters.socket_path(settings.runtime_dir, str(name)))
    try:
        return await connection.alive()
    finally:
        connection.close()


async def connected(tunnels: Tunnels, name: str | None) -> None:
    async with asyncio.timeout(10):
        while not [info for info in tunnels.jump_hosts() if info.name == name and info.connected]:
            await asyncio.sleep(0.02)


async def eventually_echoed(port: int) -> bytes:
    async with asyncio.timeout(30):
        while True:
            try:
                if answer := await echoed(port):
                    return answer
            except OSError:
                pass
            await asyncio.sleep(0.05)
