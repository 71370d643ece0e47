# SPDX-License-Identifier: BSD-3-Clause
"""Notifications: form, signature, one attempt, and what a bad receiver does to the site."""

import asyncio
import time
from typing import Any

from aiohttp import web
from cryptography import x509
from joserfc import jwt
from joserfc.jwk import RSAKey

LOGIN = {"Job type": "ON_LOGIN_NODE"}


async def test_form_and_signature(client: Any, receiver: Any) -> None:
    """RUNNING and the end are posted with a token that the certificate's key verifies; no kid, aud or jti."""
    url = await client.submit(
        Executable="sleep 0.3; exit_with() { return 3; }; exit_with", Notification=receiver.url, **LOGIN
    )
    await receiver.until(2)
    job = await client.until_status(url, "FAILED")
    first, last = receiver.notes
    assert {"href": url, "status": "RUNNING", "statusMessage": "", "batchSystemID": job["batchSystemID"]} == first.body
    assert ("FAILED", "3", job["statusMessage"]) == tuple(
        last.body[key] for key in ("status", "exitCode", "statusMessage")
    )
    assert first.headers["Content-Type"] == "application/json"
    certificate = x509.load_pem_x509_certificate((await client("GET", "/certificate")).body)
    token = jwt.decode(
        first.headers["Authorization"].removeprefix("Bearer "), RSAKey.import_key(certificate.public_key())
    )
    issuer = certificate.subject.rfc4514_string()
    assert token.header == {"alg": "RS256"}
    assert {"iss": issuer, "sub": "UID=alice@example.org", "etd": "true"} == {
        key: token.claims[key] for key in ("iss", "sub", "etd")
    }
    assert {"iss", "sub", "etd", "exp", "iat"} == token.claims.keys()
    assert token.claims["exp"] - token.claims["iat"] == 300
    assert time.time() < token.claims["exp"]
    await client.until(url, lambda job: sum(line.endswith(f"Notified {receiver.url}") for line in job["log"]) == 2)


async def test_notification_token_is_a_delegation(client: Any, receiver: Any) -> None:
    """It reads the job, the owner's token included, and may delete it, but is anonymous and cannot submit."""
    url = await client.submit(Executable="sleep 600", Notification=receiver.url)
    await receiver.until(1)
    token = receiver.notes[0].headers["Authorization"].removeprefix("Bearer ")
    bearer = client.as_(token)
    assert (await bearer.get("?fields=client"))["client"]["role"]["selected"] == "anonymous"
    assert (await bearer.get(url))["submissionPreferences"]["UC_OAUTH_BEARER_TOKEN"] == ["tok-alice"]
    assert (await bearer("POST", "/jobs", json={})).status == 403
    assert (await bearer("DELETE", url)).status == 204


async def test_rejected_job_tells_only_failed(client: Any, receiver: Any) -> None:
    """A description that is refused sends FAILED and nothing else."""
    states = {"URL": receiver.url, "status": ["READY", "QUEUED", "RUNNING", "FAILED"]}
    url = await client.submit(Executable="date", Resources={"Queue": "nope"}, NotificationSettings=states)
    await receiver.until(1)
    await client.until(url, lambda job: any("Notified" in line for line in job["log"]))
    assert [note.body["status"] for note in receiver.notes] == ["FAILED"]


async def test_batch_states(client: Any, receiver: Any) -> None:
    """bssStatus tells raw states of the batch system that match fully; the end is none of them."""
    wanted = {"URL": receiver.url, "status": ["SUCCESSFUL"], "bssStatus": ["RUN.*", "PEND"]}
    url = await client.submit(Executable="sleep 0.3", NotificationSettings=wanted)
    await receiver.until(2)
    assert [{"href": url, "bssStatus": "RUNNING"}, "SUCCESSFUL"] == [
        receiver.notes[0].body,
        receiver.notes[1].body["status"],
    ]


async def test_one_attempt(client: Any, receiver: Any) -> None:
    """An error answer is written into the log and not tried again."""
    receiver.answer = lambda: web.Response(status=500)
    url = await client.submit(Executable="sleep 0.3", Notification=receiver.url, **LOGIN)
    job = await client.until(url, lambda job: sum("Could not notify" in line for line in job["log"]) == 2)
    assert [note.body["status"] for note in receiver.notes] == ["RUNNING", "SUCCESSFUL"]
    assert f"Could not notify {receiver.url}: [HTTP 500 Internal Server Error]" in job["log"][-1]


async def test_redirect_is_followed_without_credential(client: Any, receiver: Any) -> None:
    """A redirection is followed by a GET without Authorization and counts as success."""
    target = receiver.url.replace("/note", "/elsewhere")
    receiver.answer = lambda: web.Response(status=302, headers={"Location": target})
    url = await client.submit(Executable="date", Notification=receiver.url, **LOGIN)
    await client.until(url, lambda job: any("Notified" in line for line in job["log"]))
    assert "Authorization" not in receiver.redirected[0]


async def test_unreachable_and_nonsense_receivers(client: Any) -> None:
    """A refused connection or a URL that is none delays nothing."""
    for target in ("http://127.0.0.1:9/", "nonsense"):
        url = await client.submit(Executable="date", Notification=target, **LOGIN)
        await client.until_status(url, "SUCCESSFUL")
        await client.until(url, lambda job: any("Could not notify" in line for line in job["log"]))


async def test_hanging_receiver_stops_the_site(make_site: Any, receiver: Any) -> None:
    """While a receiver hangs no job of anybody moves; requests are answered meanwhile."""
    async with make_site(notify_timeout_s=60.0) as client:
        receiver.hang = asyncio.Event()
        await client.submit(Executable="sleep 600", Notification=receiver.url, **LOGIN)
        await receiver.until(1)
        bob = client.as_("tok-bob")
        url = await bob.submit(Executable="date", **LOGIN)
        for _ in range(20):
            assert (await bob.get(url))["status"] == "READY"
        receiver.hang.set()
        await bob.until_status(url, "SUCCESSFUL")


async def test_receiver_that_is_too_slow(client: Any, receiver: Any) -> None:
    """After the time limit the attempt is over and the site goes on."""
    receiver.hang = asyncio.Event()
    url = await client.submit(Executable="date", Notification=receiver.url, **LOGIN)
    job = await client.until(url, lambda job: any("TimeoutException" in line for line in job["log"]))
    assert url == receiver.notes[0].body["href"]
    assert job["status"] in {"RUNNING", "STAGINGOUT", "SUCCESSFUL"}


async def test_deleted_job_is_silent(client: Any, receiver: Any) -> None:
    """Nothing is sent for a deleted job."""
    url = await client.submit(Executable="sleep 600", Notification=receiver.url, **LOGIN)
    await receiver.until(1)
    await client("DELETE", url)
    other = await client.submit(Executable="sleep 0.3", Notification=receiver.url, **LOGIN)
    await client.until_status(other, "SUCCESSFUL")
    await receiver.until(3)
    assert [url, other, other] == [note.body["href"] for note in receiver.notes]
