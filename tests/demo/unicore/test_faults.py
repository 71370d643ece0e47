# SPDX-License-Identifier: BSD-3-Clause
"""Each switch spoils exactly what it says, until it is set back."""

import json
from typing import Any

import aiohttp
import pytest


@pytest.mark.parametrize(
    ("switch", "value", "status", "kind"),
    [
        ("answer_status", 500, 500, "application/json"),
        ("answer_status", 503, 503, "application/json"),
        ("answer_status", 404, 404, None),
        ("html", True, 200, "text/html"),
        ("refuse_all_403", True, 403, None),
        ("starting", True, 404, "text/html"),
        ("gateway_down", True, 503, "application/json"),
    ],
)
async def test_switch(client: Any, switch: str, value: Any, status: int, kind: str | None) -> None:
    """The answer has that status and kind, and is right again afterwards."""
    setattr(client.site.faults, switch, value)
    answer = await client("GET")
    assert status == answer.status
    assert kind == (answer.headers.get("Content-Type") or "").partition(";")[0] or kind is None
    if kind is None:
        assert (answer.body, answer.headers.get("Content-Type")) == (b"", None)
    setattr(client.site.faults, switch, False if value is True else None)
    assert "client" in await client.get("")


async def test_gateway_speaks_otherwise(client: Any) -> None:
    """The gateway's error has ``message`` and a textual status."""
    client.site.faults.gateway_down = True
    assert {"message", "url", "status"} == (await client("GET")).json.keys()


async def test_cut_json(client: Any) -> None:
    """JSON ends in the middle; files are whole."""
    client.site.faults.cut_json = True
    answer = await client("GET")
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json
    assert (await client("GET", "/certificate")).text.endswith("-----END CERTIFICATE-----\n")


async def test_lost_answer(client: Any) -> None:
    """The job exists, its submitter saw no whole answer; the tag finds it."""
    client.site.faults.lose_submit_answer = True
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.submit(Executable="date", Tags=["mine"])
    assert len((await client.get("/jobs?tags=mine"))["jobs"]) == 1


async def test_delay(client: Any) -> None:
    """A slow server meets the caller's limit."""
    client.site.faults.delay_s = 60.0
    with pytest.raises(TimeoutError):
        await client("GET", timeout=aiohttp.ClientTimeout(total=0.05))


async def test_unmapped(client: Any) -> None:
    """Everybody is anonymous with 200, and can submit nothing."""
    client.site.faults.unmapped = True
    assert (await client.get(""))["client"]["role"]["selected"] == "anonymous"
    assert (await client("POST", "/jobs", json={})).status == 403


async def test_start_takes_a_while(make_site: Any) -> None:
    """For some time after a start every URL is 404 with HTML, unlike a job that is not there."""
    async with make_site(startup_404_s=0.2) as client:
        answer = await client("GET", "/jobs/abc")
        assert (answer.status, answer.body) == (404, b"<html><body>No service was found.</body></html>")
        while (await client("GET")).status == 404:
            pass
        assert (await client("GET", "/jobs/abc")).body == b""
