# SPDX-License-Identifier: BSD-3-Clause
"""The records: they outlive the process, and no two labs share a port."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from jupyter_jsc.errors import Unavailable
from jupyter_jsc.tunnelmgr.endpoints import Endpoint, Endpoints


def record(lab: str, port: int) -> Endpoint:
    return Endpoint(lab, "s1", "juwels", "jwc01", 8888, port, "jwl01")


def test_records_and_states_are_there_after_a_restart(tmp_path: Path) -> None:
    """The file is the truth."""
    first = Endpoints(tmp_path / "t.sqlite", 20000, 20009)
    first.put(record("a", first.free_port()))
    first.put(record("b", first.free_port()))
    first.remove("a")
    first.set_jump_host_state("jwl01", "draining")
    first.close()
    second = Endpoints(tmp_path / "t.sqlite", 20000, 20009)
    assert second.all() == [record("b", 20001)]
    assert second.jump_host_states() == {"jwl01": "draining"}
    second.close()


def test_ports_are_given_in_turn_and_never_twice(tmp_path: Path) -> None:
    """A late packet for an ended lab does not reach the next one; a full range is said."""
    endpoints = Endpoints(tmp_path / "t.sqlite", 20000, 20002)
    endpoints.put(record("a", endpoints.free_port()))
    endpoints.remove("a")
    assert endpoints.free_port() == 20001
    for lab, port in (("a", 20000), ("b", 20001), ("c", 20002)):
        endpoints.put(record(lab, port))
    with pytest.raises(Unavailable, match="in use"):
        endpoints.free_port()
    endpoints.close()


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    """Hosts and ports of labs are nobody else's business."""
    endpoints = Endpoints(tmp_path / "t.sqlite", 20000, 20002)
    assert (tmp_path / "t.sqlite").stat().st_mode & 0o077 == 0
    endpoints.close()


def test_a_file_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    """Records written before versions were kept have none."""
    path = tmp_path / "tunnels.sqlite"
    old = "lab_id TEXT PRIMARY KEY, start_id TEXT, system TEXT, host TEXT, port INTEGER, local_port INTEGER, jump_host TEXT"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE endpoints ({old})")
        database.execute("INSERT INTO endpoints VALUES ('lab', 'start', 'juwels', 'jwc01', 8888, 20000, 'jwlogin01')")
    for _ in range(2):
        endpoints = Endpoints(path, 20000, 20010)
        assert endpoints.all() == [Endpoint("lab", "start", "juwels", "jwc01", 8888, 20000, "jwlogin01", "")]
        endpoints.close()
