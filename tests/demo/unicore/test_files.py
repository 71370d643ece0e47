# SPDX-License-Identifier: BSD-3-Clause
"""Storages and files: dispatch by Accept, ranges, who sees what."""

from typing import Any

import pytest

BYTES = {"Accept": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def storage(client: Any) -> str:
    """The storage of a finished job of alice1 with some files."""
    imports = [
        {"To": "ten", "Data": "0123456789"},
        {"To": "sub/secret", "Data": "s", "Permissions": "rw-------"},
        {"To": "/absolute", "Data": ""},
    ]
    url = await client.submit(Imports=imports, Umask="077")
    await client.until_status(url, "SUCCESSFUL")
    return url.replace("/jobs/", "/storages/") + "-uspace"


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
        assert answer.json["status"] == 416
    else:
        assert body == answer.body


async def test_properties_and_listing(client: Any, storage: str) -> None:
    """JSON for those who ask for it, HTML for those who do not say; a directory has no bytes."""
    listing = await client.get(f"{storage}/files")
    assert sorted(listing["content"]) == ["/absolute", "/sub/", "/ten"]
    assert (
        listing["content"]["/sub/"]["isDirectory"],
        listing["content"]["/ten"]["isDirectory"],
        listing["content"]["/ten"]["size"],
    ) == (True, False, 10)
    assert "next" in listing["_links"]
    assert listing["permissions"] == "rwx------"
    assert (await client.get(f"{storage}/files/ten"))["permissions"] == "rw-r-----"
    assert (await client.get(f"{storage}/files/sub/secret"))["permissions"] == "rw-------"
    answer = await client("GET", f"{storage}/files/ten", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"].startswith("text/html")
    assert (await client("GET", f"{storage}/files/sub", headers=BYTES)).status == 406
    missing = await client("GET", f"{storage}/files/nope", headers=BYTES)
    assert (missing.status, missing.body) == (404, b"")


async def test_write_rename_copy_remove(client: Any, storage: str) -> None:
    """Files come with their parents, change permissions, move and go; a missing one cannot be deleted."""
    binary = {"Content-Type": "application/octet-stream"}
    assert (await client("PUT", f"{storage}/files/new/file", data=b"1", headers=binary)).status == 204
    permissions = await client("PUT", f"{storage}/files/new/file", data=b'{"permissions":"rwx------"}', headers=JSON)
    assert permissions.json == {"permissions": "OK"}
    assert (await client.get(f"{storage}/files/new/file"))["permissions"] == "rwx------"
    assert (await client("POST", f"{storage}/files/made", json={})).status == 201
    for action, to in (("copy", "made/copy"), ("rename", "made/moved")):
        answer = await client("POST", f"{storage}/actions/{action}", json={"from": "new/file", "to": to})
        assert answer.status == 204
    assert sorted((await client.get(f"{storage}/files/made"))["content"]) == ["/made/copy", "/made/moved"]
    assert (await client("POST", f"{storage}/actions/copy", json={"from": "x"})).status == 400
    assert (await client("POST", f"{storage}/actions/fly", json={})).status == 404
    assert (await client("DELETE", f"{storage}/files/made")).status == 204
    assert "Cannot delete" in (await client("DELETE", f"{storage}/files/made")).json["errorMessage"]


async def test_nothing_outside(client: Any, storage: str) -> None:
    """No path and no link leads out of the directory."""
    job = client.site.engine.jobs[storage.rpartition("/")[2].removesuffix("-uspace")]
    (job.directory / "link").symlink_to("/etc")
    for name in ("%2e%2e/%2e%2e/server.pem", "link/passwd"):
        assert (await client("GET", f"{storage}/files/{name}", headers=BYTES)).status == 404


async def test_who_sees_what(client: Any, storage: str) -> None:
    """The storage asks for the owner; the files ask for the account only."""
    bob, carol, nora = (client.as_(f"tok-{name}") for name in ("bob", "carol", "nora"))
    assert [(await who("GET", storage)).status for who in (bob, carol, nora)] == [403] * 3
    assert (await bob.get(f"{storage}/files"))["content"] == {}
    assert (await bob("GET", f"{storage}/files/ten", headers=BYTES)).status == 404
    assert (await bob("PUT", f"{storage}/files/x", data=b"")).status == 500
    assert (await carol("GET", f"{storage}/files/ten", headers=BYTES)).body == b"0123456789"
    answer = await nora("GET", f"{storage}/files/ten", headers=BYTES)
    assert "Required UNIX user ID is null" in answer.json["errorMessage"]


async def test_storage_list_and_tsi(client: Any, storage: str) -> None:
    """Job directories are listed with filter=all; without a TSI files cannot be had, the storage can."""
    assert (await client.get("/storages"))["storages"] == []
    assert [storage] == (await client.get("/storages?filter=all"))["storages"]
    client.site.faults.tsi_down = True
    assert (await client.get(f"{storage}?fields=resourceStatus"))["resourceStatus"] == "READY"
    assert (await client("GET", f"{storage}/files")).json["errorMessage"] == "Error communicating to the TSI"
    assert [(await client("GET", f"/storages/{name}")).status for name in ("nope-uspace", "nope")] == [404, 404]
