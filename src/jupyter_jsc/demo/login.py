# SPDX-License-Identifier: BSD-3-Clause
"""A jump host of the demo: an SSH server that forwards to the system's labs, and listens for their way back to the hub.

Like a centre's sshd with the key line ``restrict,port-forwarding,command="cat"``: the one session is an echo; and with
``GatewayPorts clientspecified`` and ``PermitListen`` where there is a way back.
Run by :mod:`.world`; a demo and test peer only, centres run sshd.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Self

import asyncssh

USER = "ljupyter"


def generate_key() -> tuple[bytes, str]:
    """Return a new Ed25519 key: the private part in OpenSSH's format, and the public line."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return key.export_private_key(), " ".join(key.export_public_key().decode("ascii").split()[:2])


Resolve = Callable[[str, int], str | None]
"""Takes the host and port of a forward; returns the address that it leads to, None if it may not."""


def nodes(addresses: Mapping[str, str]) -> Resolve:
    """Return what lets forwards lead to these nodes by their names, above port 1023."""
    return lambda host, port: addresses.get(host) if port >= 1024 else None


class LoginNode:
    """An SSH server on *address*, for one key of one user. An async context manager; ``port`` tells where.

    A client may have it listen at *listen*, and nowhere else.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        host_key: bytes,
        authorized_key: str,
        resolve: Resolve,
        listen: tuple[str, int] | None = None,
    ) -> None:
        self._address = address
        self._host_key = asyncssh.import_private_key(host_key)
        self._authorized_key = asyncssh.import_public_key(authorized_key)
        self._resolve = resolve
        self._listen = listen
        self._server: asyncssh.SSHAcceptor | None = None
        self.port = port
        self._open: set[asyncssh.SSHServerConnection] = set()
        self.connections = 0
        """How many connections were authenticated so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncssh.create_server(
            lambda: _Server(self),
            self._address,
            self.port,
            server_host_keys=[self._host_key],
            process_factory=_echo,
            encoding=None,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_scp=False,
            tcp_keepalive=True,
        )
        self.port = self._server.get_port()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._server is not None:
            self._server.close()
            for connection in list(self._open):
                connection.abort()
            await self._server.wait_closed()

    def entered(self, connection: asyncssh.SSHServerConnection) -> None:
        """Note a connection, to cut it when the node goes down."""
        self._open.add(connection)

    def left(self, connection: asyncssh.SSHServerConnection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)

    def accepts(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Tell whether this user may log in with this key."""
        return username == USER and key.public_data == self._authorized_key.public_data

    def address_of(self, host: str, port: int) -> str:
        """Return where a forward to *host* leads; refuses what is no lab's place on this system."""
        address = self._resolve(host, port)
        if address is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not a node of this system")
        return address

    def may_listen(self, host: str, port: int) -> bool:
        """Tell whether a client may have this node listen there."""
        return (host, port) == self._listen


class _Server(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, node: LoginNode) -> None:
        self._node = node
        self._connection: Any = None

    def connection_made(self, conn: Any) -> None:
        self._connection = conn
        self._node.entered(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        _ = exc
        self._node.left(self._connection)

    def begin_auth(self, username: str) -> bool:
        _ = username
        return True

    def password_auth_supported(self) -> bool:
        return False

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._node.accepts(username, key)

    def auth_completed(self) -> None:
        self._node.connections += 1

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return self._node.may_listen(listen_host, listen_port)

    async def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        _ = orig_host, orig_port
        address = self._node.address_of(dest_host, dest_port)
        return await self._connection.forward_connection(address, dest_port)


async def _echo(process: Any) -> None:
    """Be ``cat``, whatever command was asked for: the account's forced command."""
    with contextlib.suppress(ConnectionError, asyncssh.Error):
        while data := await process.stdin.read(1024):
            process.stdout.write(data)
        process.exit(0)
