# SPDX-License-Identifier: BSD-3-Clause
"""The routes of jobs: list, tags, fields, submission, change, details."""

from typing import Any

import pytest


async def test_list_pages_newest_first(client: Any) -> None:
    """Newest first; the links of a page exist where there is more, and lose the tags."""
    urls = [await client.submit(Tags=["t"]) for _ in range(3)][::-1]
    assert urls == (await client.get("/jobs"))["jobs"]
    page = await client.get("/jobs?offset=1&num=1&tags=t")
    assert urls[1:2] == page["jobs"]
    assert {"self", "next", "previous"} == page["_links"].keys()
    assert "tags" not in page["_links"]["next"]["href"]
    nothing = await client.get("/jobs?num=0")
    assert (nothing["jobs"], "next" in nothing["_links"]) == ([], True)
    assert [(await client("GET", f"/jobs?{query}")).status for query in ("num=-1", "offset=x")] == [500, 404]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("lab-1", {0, 1}),
        ("lab-1,s1", {0}),
        ("LAB-1", set()),
        ("lab", set()),
        ("lab_1", {0, 1, 2}),
        ("a:b@c=d/e.f", {2}),
        ("a%2520b", set()),
        ("a+b", set()),
        ("", {0, 1, 2, 3}),
    ],
)
async def test_tags(client: Any, query: str, found: set[int]) -> None:
    """All tags must be there, whole and in the same case; ``_`` is a wildcard; a blank is never found."""
    tags: list[Any] = [["lab-1", "s1"], ["lab-1", "s2"], ["labx1", "a:b@c=d/e.f", "a b", "a+b"], "lab-1"]
    urls = [await client.submit(Tags=each) for each in tags]
    answer = await client.get(f"/jobs?tags={query}")
    assert {urls[place] for place in found} == set(answer["jobs"])


async def test_tags_are_decoded_twice(client: Any) -> None:
    """A percent sign in a query is an error of the server."""
    assert (await client("GET", "/jobs?tags=a%25")).status == 500


async def test_fields(client: Any) -> None:
    """``fields`` takes names, or leaves them out with ``!``."""
    url = await client.submit(Tags=["x"])
    assert {"status", "tags"} == (await client.get(f"{url}?fields=status,tags,nothing")).keys()
    without = await client.get(f"{url}?fields=!log,!submissionPreferences")
    assert {"log", "submissionPreferences"} == (await client.get(url)).keys() - without.keys()


async def test_full_job_shows_the_token(client: Any) -> None:
    """The submitter's bearer token is in every full job, also for whom the access list names."""
    url = await client.submit(Executable="sleep 600")
    assert (await client("PUT", url, json={"acl": ["read:DN:UID=bob@example.org"]})).json == {"acl": "OK"}
    shown = (await client.as_("tok-bob").get(url))["submissionPreferences"]
    assert shown == {"UC_OAUTH_BEARER_TOKEN": ["tok-alice"]}
    assert (await client.as_("tok-bob")("DELETE", url)).status == 403


@pytest.mark.parametrize("body", [b"", b"[1,2]", b'{"a" 1}', b"\xff"])
async def test_submit_nonsense(client: Any, body: bytes) -> None:
    """What is no JSON object is a 500 with an errorMessage."""
    answer = await client("POST", "/jobs", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["status"]) == (500, 500)
    assert "Could not submit job" in answer.json["errorMessage"]


async def test_submit_other_content(client: Any) -> None:
    """Another content type is 415, empty."""
    answer = await client("POST", "/jobs", data="{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.body) == (415, b"")


async def test_change(client: Any) -> None:
    """PUT answers 200 with a result for each key, errors inside."""
    url = await client.submit(Tags=["old"])
    answer = await client("PUT", url, json={"tags": ["new"], "terminationTime": "x", "foo": 1})
    assert answer.json["tags"] == "OK"
    assert answer.json["terminationTime"].startswith("Error setting property")
    assert answer.json["foo"] == "Property not found or cannot be modified!"
    assert (await client.get(url))["tags"] == ["new"]
    assert (await client("PUT", url, json={"tags": "no list"})).json == {"tags": "OK"}
    assert (await client.get(url))["tags"] == ["new"]
    assert ((bad := await client("PUT", url, data=b"{")).status, bad.body) == (500, b"")


async def test_submitted_has_no_inline_data(client: Any) -> None:
    """The stored description keeps the environment and loses inline data."""
    url = await client.submit(
        Environment={"A": "b"}, Imports=[{"To": "s", "Data": "secret", "Permissions": "rw-------"}]
    )
    stored = await client.get(f"{url}/submitted")
    assert stored["Environment"] == {"A": "b"}
    assert stored["Imports"] == [{"From": "inline://dummy", "To": "s", "Data": "n/a", "Permissions": "rw-------"}]


async def test_details_of_a_batch_job(client: Any) -> None:
    """Allocation, times and reason as Slurm says them."""
    url = await client.submit(Executable="sleep 600", Resources={"Nodes": 2, "Runtime": 90}, Project="proj1")
    await client.until_status(url, "RUNNING")
    names = ("JobState", "Reason", "NodeList", "BatchHost", "TimeLimit", "Partition", "Account")
    found = await client.get(f"{url}/details?fields={','.join(names)}")
    assert [found[name] for name in names] == ["RUNNING", "None", "dc[01-02]", "dc01", "00:01:30", "batch", "proj1"]
    other = await client.submit(Executable="date", Resources={"Nodes": 2})
    waiting = await client.until(f"{other}/details", lambda found: found.get("Reason") == "Resources")
    assert (waiting["JobState"], waiting["NodeList"], waiting["StartTime"]) == ("PENDING", "", "Unknown")
    assert "BatchHost" not in waiting


async def test_details_elsewhere(client: Any) -> None:
    """A login-node job has none; Slurm forgets; a controller or TSI that is down gives 500."""
    login = await client.submit(Executable="date", **{"Job type": "ON_LOGIN_NODE"})
    await client.until_status(login, "SUCCESSFUL")
    assert await client.get(f"{login}/details") == {"rawDetailsData": "N/A"}
    url = await client.submit(Executable="date")
    await client.until_status(url, "SUCCESSFUL")
    assert (await client.get(f"{url}/details"))["JobState"] == "COMPLETED"
    for fault, text in (
        ("tsi_down", "Error communicating to the TSI"),
        ("controller_down", "Unable to contact slurm controller"),
        ("forget_jobs", "Invalid job id specified"),
    ):
        setattr(client.site.faults, fault, True)
        answer = await client("GET", f"{url}/details")
        assert answer.status == 500
        assert text in answer.json["errorMessage"]
        setattr(client.site.faults, fault, False)


async def test_unknown_things(client: Any) -> None:
    """Unknown jobs, actions and paths are 404, empty, without a content type."""
    url = await client.submit()
    calls = [
        ("GET", "/jobs/nope"),
        ("POST", f"{url}/actions/fly"),
        ("GET", f"{url}/what"),
        ("PATCH", url),
        ("GET", "/x/y"),
    ]
    for method, path in calls:
        answer = await client(method, path)
        assert (answer.status, answer.body, answer.headers.get("Content-Type")) == (404, b"", None), path
