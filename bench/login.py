# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bench.login <folder> <port>``: an SSH server that forwards, where the machine has no sshd."""

import asyncio
import sys
from pathlib import Path

import asyncssh


class _Forwarder(asyncssh.SSHServer):
    def connection_requested(self, dest_host: str, *_where: object) -> bool:
        return dest_host == "127.0.0.1"


async def main(folder: Path, port: int) -> None:
    keys = [str(folder / "host_key")]
    listener = await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=_Forwarder,
        server_host_keys=keys,
        authorized_client_keys=str(folder / "key.pub"),
    )
    async with listener:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
