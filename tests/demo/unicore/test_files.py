# SPDX-License-Identifier: BSD-3-Clause
"""Storages and files: dispatch by Accept, ranges, who sees what."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

BYTES = {"Accept": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def storage(client: Any) -> AsyncIterator[str]:
    """The storage of a finished job of alice1 with some files."""
    imports = [
        {"To": "ten", "Data": "0123456789"},
        {"To": "sub/secret", "Data": "s", "Permissions": "rw-------"},
        {"To": "/absolute", "Data": ""},
    ]
    url = await client.submit(Imports=imports, Umask="077")
    await client.until_status(url, "SUCCESSFUL")
    yield url.replace("/jobs/", "/storages/") + "-uspace"


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-4", 206, b"6789"),
        ("bytes=-10", 206, b"0123456789"),
        ("bytes=-11", 416, None),
        ("bytes=100-200", 206, b""),
        ("bytes=x", 416, None),
        ("lines=1-2", 416, None),
        (None, 200, b"0123456789"),
    ],
)
async def test_ranges(client: Any, storage: str, wanted: str | None, status: int, body: bytes | None) -> None:
    """A tail longer than the file is 416 with JSON, a range beyond the end is empty; no Content-Range."""
    headers = BYTES | ({} if wanted is None else {"Range": wanted})
    answer = await client("GET", f"{storage}/files/ten", headers=headers)
    assert status == answer.status
    assert "Content-Range" not in answer.headers
    if body is None:
        assert 416 == answer.json["status"]
    else:
        assert body == answer.body


async def test_properties_and_listing(client: Any, storage: str) -> None:
    """JSON for those who ask for it, HTML for those who do not say; a directory has no bytes."""
    listing = await client.get(f"{storage}/files")
    assert ["/absolute", "/sub/", "/ten"] == sorted(listing["content"])
    assert (True, False, 10) == (
        listing["content"]["/sub/"]["isDirectory"],
        listing["content"]["/ten"]["isDirectory"],
        listing["content"]["/ten"]["size"],
    )
    assert "next" in listing["_links"]
    assert "rwx------" == listing["permissions"]
    assert "rw-r-----" == (await client.get(f"{storage}/files/ten"))["permissions"]
    assert "rw-------" == (await client.get(f"{storage}/files/sub/secret"))["permissions"]
    answer = await client("GET", f"{storage}/files/ten", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"].startswith("text/html")
    assert 406 == (await client("GET", f"{storage}/files/sub", headers=BYTES)).status
    missing = await client("GET", f"{storage}/files/nope", headers=BYTES)
    assert (404, b"") == (missing.status, missing.body)


async def test_write_rename_copy_remove(client: Any, storage: str) -> None:
    """Files come with their parents, change permissions, move and go; a missing one cannot be deleted."""
    binary = {"Content-Type": "application/octet-stream"}
    assert 204 == (await client("PUT", f"{storage}/files/new/file", data=b"1", headers=binary)).status
    permissions = await client("PUT", f"{storage}/files/new/file", data=b'{"permissions":"rwx------"}', headers=JSON)
    assert {"permissions": "OK"} == permissions.json
    assert "rwx------" == (await client.get(f"{storage}/files/new/file"))["permissions"]
    assert 201 == (await client("POST", f"{storage}/files/made", json={})).status
    for action, to in (("copy", "made/copy"), ("rename", "made/moved")):
        answer = await client("POST", f"{storage}/actions/{action}", json={"from": "new/file", "to": to})
        assert 204 == answer.status
    assert ["/made/copy", "/made/moved"] == sorted((await client.get(f"{storage}/files/made"))["content"])
    assert 400 == (await client("POST", f"{storage}/actions/copy", json={"from": "x"})).status
    assert 404 == (await client("POST", f"{storage}/actions/fly", json={})).status
    assert 204 == (await client("DELETE", f"{storage}/files/made")).status
    assert "Cannot delete" in (await client("DELETE", f"{storage}/files/made")).json["errorMessage"]


async def test_nothing_outside(client: Any, storage: str) -> None:
    """No path and no link leads out of the directory."""
    job = client.site.engine.jobs[storage.rpartition("/")[2].removesuffix("-uspace")]
    (job.directory / "link").symlink_to("/etc")
    for name in ("%2e%2e/%2e%2e/server.pem", "link/passwd"):
        assert 404 == (await client("GET", f"{storage}/files/{name}", headers=BYTES)).status


async def test_who_sees_what(client: Any, storage: str) -> None:
    """The storage asks for the owner; the files ask for the account only."""
    bob, carol, nora = (client.as_(f"tok-{name}") for name in ("bob", "carol", "nora"))
    assert [403] * 3 == [(await who("GET", storage)).status for who in (bob, carol, nora)]
    assert {} == (await bob.get(f"{storage}/files"))["content"]
    assert 404 == (await bob("GET", f"{storage}/files/ten", headers=BYTES)).status
    assert 500 == (await bob("PUT", f"{storage}/files/x", data=b"")).status
    assert b"0123456789" == (await carol("GET", f"{storage}/files/ten", headers=BYTES)).body
    answer = await nora("GET", f"{storage}/files/ten", headers=BYTES)
    assert "Required UNIX user ID is null" in answer.json["errorMessage"]


async def test_storage_list_and_tsi(client: Any, storage: str) -> None:
    """Job directories are listed with filter=all; without a TSI files cannot be had, the storage can."""
    assert [] == (await client.get("/storages"))["storages"]
    assert [storage] == (await client.get("/storages?filter=all"))["storages"]
    client.site.faults.tsi_down = True
    assert "READY" == (await client.get(f"{storage}?fields=resourceStatus"))["resourceStatus"]
    assert "Error communicating to the TSI" == (await client("GET", f"{storage}/files")).json["errorMessage"]
    assert [404, 404] == [(await client("GET", f"/storages/{name}")).status for name in ("nope-uspace", "nope")]
