# SPDX-License-Identifier: BSD-3-Clause
"""What must hold at any UNICORE site: the demo's endpoint, and a real server where one is named."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import BasicAuth, web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from jupyter_jsc import wire
from jupyter_jsc.errors import CredentialRefused, NotFound
from jupyter_jsc.wire import State
from tests.sites.unicore.conftest import NAMED, Place, reference, token_by_password, until

WAITING = (State.QUEUED, State.STARTING, State.RUNNING)


@contextlib.asynccontextmanager
async def started(place: Place, chosen: str = "waits") -> AsyncIterator[tuple[wire.StartLab, wire.StartAnswer]]:
    """A lab that was started, and is gone at the end."""
    lab = place.lab(chosen)
    answer = await place.driver.start(lab, place.token)
    try:
        yield lab, answer
    finally:
        await place.driver.stop(reference(lab, answer, place.token))


async def state_of(place: Place, known: wire.LabRef) -> wire.LabState:
    """What the site says of one lab now."""
    return (await place.driver.poll([known]))[known.start_id]


@pytest.mark.real_unicore
@pytest.mark.skipif(
    not NAMED, reason="needs a UNICORE server (UNICORE_URL and UNICORE_TOKEN, or UNICORE_USER and UNICORE_PASSWORD)"
)
def test_a_real_server_takes_part(request: pytest.FixtureRequest) -> None:
    """Says in one line that the tests of this module ran against the demo's endpoint only."""
    assert any("[real" in item.nodeid for item in request.session.items)


async def test_a_password_is_swapped_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server that knows passwords only is asked once, in the way that it answers with the bare token."""
    monkeypatch.setenv("UNICORE_USER", "demouser")
    monkeypatch.setenv("UNICORE_PASSWORD", "test:123")

    async def answer(request: web.Request) -> web.Response:
        who = BasicAuth.decode(request.headers["Authorization"])
        plain = request.headers["Accept"] == "text/plain"
        good = plain and (who.login, who.password) == ("demouser", "test:123")
        return web.Response(text="a.site.token\n") if good else web.Response(status=403)

    app = web.Application()
    app.router.add_get("/X/rest/core/token", answer)
    async with TestServer(app) as server:
        assert await token_by_password(str(server.make_url("/X/rest/core")), "") == "a.site.token"


async def test_a_lab_from_start_to_stop(place: Place) -> None:
    """Started, seen running, its output read, ended, gone: all by the site's own token, nobody needs to be there."""
    async with started(place) as (lab, answer):
        known = reference(lab, answer, answer.site_token or place.token)
        await until(place.driver, known, State.RUNNING)
        async with asyncio.timeout(120):
            while "started" not in await place.driver.log(known):
                await asyncio.sleep(0.2)
        await place.driver.stop(known)
        assert (await state_of(place, known)).code == "gone"


async def test_the_same_start_is_one_job(place: Place) -> None:
    """Trap 8: a repeated request finds the job by its tags."""
    async with started(place) as (lab, answer):
        assert (await place.driver.start(lab, place.token)).handle == answer.handle


async def test_two_starts_are_two_jobs(place: Place) -> None:
    """Trap 8: the server's search is loose, the job's own tags decide; stopping one leaves the other."""
    async with started(place) as (mine, ours), started(place) as (other, theirs):
        assert ours.handle != theirs.handle
        await place.driver.stop(reference(mine, theirs, place.token))
        assert (await state_of(place, reference(other, theirs, place.token))).state in WAITING


async def test_a_job_that_fails_tells_code_and_output(place: Place) -> None:
    """The end comes with exit code, last lines and a sentence."""
    async with started(place, "fails") as (lab, answer):
        state = await until(place.driver, reference(lab, answer, place.token), State.ENDED)
        assert state.exit_code == 3
        assert "no module named jupyter" in state.log_tail
        assert "exit code 3" in state.text


async def test_states_may_step_back(place: Place) -> None:
    """READY, STAGINGIN, READY, QUEUED are all one state: not yet running."""
    async with started(place) as (lab, answer):
        seen = set()
        while State.RUNNING not in seen:
            seen.add((await state_of(place, reference(lab, answer, place.token))).state)
        assert seen <= set(WAITING)


async def test_no_token_of_the_user_and_no_secret_is_stored(place: Place) -> None:
    """Trap 18: the job is submitted with the site's own token; secrets are in a file that only the user reads."""
    async with started(place, "shows") as (lab, answer):
        known = reference(lab, answer, place.token)
        caller = place.driver._connection.as_user(place.token, lab.options.account, lab.options.project)
        job_id = answer.handle.url.rpartition("/")[2]
        whole = str(await caller.get(f"/jobs/{job_id}")) + str(await caller.get(f"/jobs/{job_id}/submitted"))
        await until(place.driver, known, State.RUNNING)
        output = ""
        async with asyncio.timeout(120):
            while "secrets.json" not in output:
                await asyncio.sleep(0.1)
                output = await place.driver.log(known)
        assert answer.site_token is not None
        assert answer.site_token.get_secret_value() != place.token.get_secret_value()
        assert place.token.get_secret_value() not in whole + output
        assert "s3cr3t-api-token" not in whole + output


async def test_stop_without_a_handle(place: Place) -> None:
    """The ids are enough; whoever did not hear the answer asks again."""
    async with started(place) as (lab, answer):
        await place.driver.stop(reference(lab, None, place.token))
        assert (await state_of(place, reference(lab, answer, place.token))).code == "gone"
    await place.driver.stop(reference(place.lab(), None, place.token))


@pytest.mark.parametrize("token", ["", "  ", "tok-nobody"])
async def test_a_bad_credential_is_refused(place: Place, token: str) -> None:
    """Trap 19: an empty token would be an anonymous caller."""
    with pytest.raises(CredentialRefused):
        await place.driver.start(place.lab(), SecretStr(token))


async def test_a_lab_without_credential_is_unknown(place: Place) -> None:
    """Nothing is asked in nobody's name."""
    state = await state_of(place, reference(place.lab(), None, None))
    assert (state.state, state.code) == (State.UNKNOWN, "credential")


async def test_the_log_of_a_job_that_is_gone(place: Place) -> None:
    """There is nothing to read, and the caller is told so."""
    with pytest.raises(NotFound):
        await place.driver.log(reference(place.lab(), None, place.token))


async def test_one_labs_trouble_is_not_anothers(place: Place) -> None:
    """One question about all; a lab whose credential is bad is unknown, the others are told."""
    async with started(place) as (good, answer):
        bad = reference(place.lab(), None, SecretStr("tok-nobody"))
        states = await place.driver.poll([reference(good, answer, place.token), bad])
        assert states[good.start_id].state in WAITING
        assert states[bad.start_id].state is State.UNKNOWN


async def test_a_queue_that_the_site_does_not_have(place: Place) -> None:
    """Trap 12: the site accepts everything at first; the refusal names the resource, without its own class names."""
    lab = place.lab(partition="nowhere")
    answer = await place.driver.start(lab, place.token)
    known = reference(lab, answer, place.token)
    try:
        state = await until(place.driver, known, State.ENDED)
        assert "Queue" in state.text
        assert "Exception" not in state.text
    finally:
        await place.driver.stop(known)


async def test_health_and_certificate_need_no_login(place: Place) -> None:
    """What the status page and the receiver of notifications need."""
    assert (await place.driver.health()).available
    assert b"BEGIN CERTIFICATE" in await place.driver.certificate()
