# SPDX-License-Identifier: BSD-3-Clause
"""The records of endpoints: which lab is reached by which local port; and of ways back. One SQLite file.

A record outlives TunnelMgr and its masters, so a tunnel that is made again has the same endpoint. Called by
:mod:`.tunnels`; each call is one short transaction.
"""

import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path

from jupyter_jsc.errors import Unavailable
from jupyter_jsc.tunnelmgr.mux import REMOTE, Forward

_SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (
    lab_id TEXT PRIMARY KEY,
    start_id TEXT NOT NULL,
    system TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    local_port INTEGER NOT NULL UNIQUE,
    jump_host TEXT NOT NULL,
    configuration TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS jump_hosts (name TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ways_back (
    jump_host TEXT PRIMARY KEY,
    listen_host TEXT NOT NULL,
    listen_port INTEGER NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL
);
"""
_LATER = {"configuration": "TEXT NOT NULL DEFAULT ''"}
"""Columns that a file of an earlier release may lack."""
_COLUMNS = "lab_id, start_id, system, host, port, local_port, jump_host, configuration"


@dataclass(frozen=True)
class Endpoint:
    """One record: the lab's start, where it listens, the local port, and the jump host that leads there.

    ``configuration`` is the version that knew the jump host when the tunnel was placed there.
    """

    lab_id: str
    start_id: str
    system: str
    host: str
    port: int
    local_port: int
    jump_host: str
    configuration: str = ""


class Endpoints:
    """All records, in memory and on disk. Writes take well below a millisecond (WAL, no fsync per commit)."""

    def __init__(self, path: Path, first_port: int, last_port: int) -> None:
        self._ports = range(first_port, last_port + 1)
        self._database = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        present = {row[1] for row in self._database.execute("PRAGMA table_info(endpoints)")}
        for column, kind in _LATER.items():
            if column not in present:
                self._database.execute(f"ALTER TABLE endpoints ADD COLUMN {column} {kind}")
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM endpoints")  # noqa: S608  a constant
        self._by_lab = {row[0]: Endpoint(*row) for row in rows}
        self._next = 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def all(self) -> list[Endpoint]:
        """Return every record."""
        return list(self._by_lab.values())

    def get(self, lab_id: str) -> Endpoint | None:
        """Return the lab's record, if there is one."""
        return self._by_lab.get(lab_id)

    def free_port(self, refused: frozenset[int] | set[int] = frozenset()) -> int:
        """Return a port of the range that no record holds and that is not in *refused*.

        Ports are taken in turn, so that a late packet for an ended lab does not reach the next one.
        """
        used = {record.local_port for record in self._by_lab.values()} | refused
        for _ in self._ports:
            port = self._ports[self._next % len(self._ports)]
            self._next += 1
            if port not in used:
                return port
        raise Unavailable("All local ports for tunnels are in use.", ports=len(self._ports))

    def put(self, record: Endpoint) -> None:
        """Write the lab's record, in place of any before."""
        self._database.execute(
            f"INSERT OR REPLACE INTO endpoints ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  a constant
            astuple(record),
        )
        self._by_lab[record.lab_id] = record

    def jump_host_states(self) -> dict[str, str]:
        """Return the states that operators set, by name of the jump host."""
        return dict(self._database.execute("SELECT name, state FROM jump_hosts"))

    def set_jump_host_state(self, name: str, state: str) -> None:
        """Write the state of a jump host; it stays over restarts."""
        self._database.execute("INSERT OR REPLACE INTO jump_hosts VALUES (?, ?)", (name, state))

    def ways_back(self) -> dict[str, Forward]:
        """Return the remote forwards that masters were last asked for, by name of the jump host."""
        rows = self._database.execute("SELECT jump_host, listen_host, listen_port, host, port FROM ways_back")
        return {row[0]: Forward(row[1], row[2], row[3], row[4], REMOTE) for row in rows}

    def set_way_back(self, name: str, forward: Forward | None) -> None:
        """Write what a jump host's master is asked for; None: it has no remote forward of ours any more."""
        self._database.execute("DELETE FROM ways_back WHERE jump_host = ?", (name,))
        if forward is not None:
            row = (name, forward.listen_host, forward.listen_port, forward.host, forward.port)
            self._database.execute("INSERT INTO ways_back VALUES (?, ?, ?, ?, ?)", row)

    def remove(self, lab_id: str) -> None:
        """Delete the lab's record, if there is one."""
        self._database.execute("DELETE FROM endpoints WHERE lab_id = ?", (lab_id,))
        self._by_lab.pop(lab_id, None)
