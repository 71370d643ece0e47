# SPDX-License-Identifier: BSD-3-Clause
"""The driver against a UNICORE server and its awkward habits.

Aspects: start once and only once; what a job stores and shows; states and causes of an end; stop that is proven;
gone, unknown and "not me" told apart; a site that is down, slow or talks nonsense.
"""

import asyncio
import contextlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from jupyter_jsc import wire
from jupyter_jsc.demo.unicore import Site
from jupyter_jsc.errors import CredentialRefused, JSCError, SiteRefused, SiteUnavailable
from jupyter_jsc.sites.unicore import UnicoreSite, transport
from jupyter_jsc.sites.unicore import driver as unicore_driver
from jupyter_jsc.wire import State
from tests.sites.unicore.conftest import ALICE, BOB, NORA, driver_of, no_pause, reference, start_lab, system, until

WAITING = (State.QUEUED, State.STARTING, State.RUNNING)


def jobs(site: Site) -> list:
    """All jobs of the site, whoever owns them."""
    return list(site.engine.jobs.values())


async def test_a_job_starts_runs_and_tells_its_node(driver: UnicoreSite) -> None:
    """A batch job is seen running on the nodes of its allocation, with the end of its time."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    state = await until(driver, reference(lab, answer), State.RUNNING)
    while not state.nodes:
        state = await until(driver, reference(lab, answer), State.RUNNING)
    assert state.nodes[0].startswith("dc0")
    assert state.ends is not None


async def test_a_login_node_job_runs(driver: UnicoreSite) -> None:
    """An interactive partition starts at once; the site tells no allocation."""
    lab = start_lab(partition="login", resources={})
    answer = await driver.start(lab, ALICE)
    assert (await until(driver, reference(lab, answer), State.RUNNING)).nodes is None


async def test_no_token_of_the_user_and_no_secret_is_stored(driver: UnicoreSite, site: Site) -> None:
    """Trap 18: the job is submitted with the site's own token; secrets are in a file of mode 0600 only."""
    lab = start_lab("shows")
    answer = await driver.start(lab, ALICE)
    await until(driver, reference(lab, answer), State.RUNNING)
    assert answer.site_token is not None
    assert answer.site_token.get_secret_value() != "tok-alice"
    caller = driver._connection.as_user(ALICE, "alice1", "proj1")
    job_id = answer.handle.url.rpartition("/")[2]
    whole = str(await caller.get(f"/jobs/{job_id}")) + str(await caller.get(f"/jobs/{job_id}/submitted"))
    output = ""
    while "secrets.json" not in output:
        output = await driver.log(reference(lab, answer))
    assert "tok-alice" not in whole + output
    assert "s3cr3t-api-token" not in whole + output
    assert "-rw-------" in next(line for line in output.splitlines() if line.endswith("secrets.json"))


async def test_a_lost_answer_is_found_again(driver: UnicoreSite, site: Site) -> None:
    """A job whose 201 never arrived is this start's job."""
    site.faults.lose_submit_answer = True
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    assert len(jobs(site)) == 1
    assert (await until(driver, reference(lab, answer), *WAITING)).state in WAITING


async def test_another_labs_job_is_never_touched(driver: UnicoreSite, site: Site) -> None:
    """Trap 8: the server's search is loose; the job's own tags decide, also against a wrong handle."""
    mine, other = start_lab(), start_lab()
    answer = await driver.start(other, ALICE)
    await driver.start(mine, ALICE)
    await driver.stop(reference(mine, answer))
    assert (await until(driver, reference(other, answer), *WAITING)).state in WAITING


@pytest.mark.parametrize("chosen", ["batch", "login"])
async def test_a_job_that_dies_says_why(driver: UnicoreSite, chosen: str) -> None:
    """The exit code and the last lines of the output come with the end."""
    lab = start_lab("fails", partition=chosen, resources={"nodes": 1, "runtime": 10} if chosen == "batch" else {})
    answer = await driver.start(lab, ALICE)
    state = await until(driver, reference(lab, answer), State.ENDED)
    assert state.exit_code == 3
    assert "no module named jupyter" in state.log_tail
    assert "exit code 3" in state.text


async def test_a_killed_job_is_seen_at_once(driver: UnicoreSite, site: Site) -> None:
    """Trap 10: while UNICORE still says RUNNING for two minutes, the batch system knows better."""
    lab = start_lab("killed")
    answer = await driver.start(lab, ALICE)
    state = await until(driver, reference(lab, answer), State.ENDED)
    assert state.code != "gone"
    assert [job.status for job in jobs(site)] != ["FAILED"]


async def test_success_without_an_exit_code_is_a_failure(driver: UnicoreSite, site: Site) -> None:
    """Trap 5: a server with the embedded TSI calls a job SUCCESSFUL whose wrapper never came to its end."""
    site.faults.embedded = True
    lab = start_lab("killed")
    answer = await driver.start(lab, ALICE)
    async with asyncio.timeout(60):
        while [job.status for job in jobs(site)] != ["SUCCESSFUL"]:
            await asyncio.sleep(0.02)
    state = await until(driver, reference(lab, answer), State.ENDED)
    assert (state.code, state.exit_code) == ("wrapper", None)


async def test_a_stop_that_did_not_reach_the_process_is_not_believed(driver: UnicoreSite, site: Site) -> None:
    """Trap 7: with its login nodes out of reach UNICORE says "aborted" of a job that runs on."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    await until(driver, reference(lab, answer), State.RUNNING)
    site.faults.tsi_down = True
    with pytest.raises(SiteUnavailable):
        await driver.stop(reference(lab, answer))
    site.faults.tsi_down = False
    await driver.stop(reference(lab, answer))
    assert jobs(site) == []


@pytest.mark.parametrize(
    "trouble",
    [
        {"starting": True},
        {"unmapped": True},
        {"html": True},
        {"cut_json": True},
        {"answer_status": 500},
        {"answer_status": 503},
        {"gateway_down": True},
        {"refuse_all_403": True},
    ],
    ids=lambda trouble: next(iter(trouble)) + str(next(iter(trouble.values()))),
)
async def test_trouble_is_never_an_end(driver: UnicoreSite, site: Site, trouble: dict) -> None:
    """Traps 2 and 3: 404 with HTML, empty lists, 5xx and nonsense leave a lab as it is."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    for name, value in trouble.items():
        setattr(site.faults, name, value)
    assert (await driver.poll([reference(lab, answer)]))[lab.start_id].state is State.UNKNOWN
    for name in trouble:
        setattr(site.faults, name, None if name == "answer_status" else False)
    assert (await until(driver, reference(lab, answer), *WAITING)).state in WAITING


@pytest.mark.parametrize(
    ("trouble", "error", "sentence"),
    [
        ({"answer_status": 500}, SiteUnavailable, "DEMO does not answer properly at the moment."),
        ({"html": True}, SiteUnavailable, "DEMO answers with something that is no token."),
        ({"html": True, "answer_status": 502}, SiteUnavailable, "DEMO does not answer properly at the moment."),
        ({"cut_json": True}, SiteUnavailable, "DEMO answers with something that is no JSON."),
        ({"gateway_down": True}, SiteUnavailable, "DEMO does not answer properly at the moment."),
        ({"starting": True}, SiteUnavailable, "DEMO does not answer properly at the moment."),
        ({"refuse_all_403": True}, CredentialRefused, "DEMO does not accept your login. Please log in again."),
    ],
    ids=["500", "html", "html-502", "cut-json", "gateway", "starting", "403"],
)
async def test_a_site_in_trouble_takes_no_job(
    driver: UnicoreSite, site: Site, trouble: dict, error: type[JSCError], sentence: str
) -> None:
    """The caller reads what is wrong and whether to try again; no job is left behind."""
    for name, value in trouble.items():
        setattr(site.faults, name, value)
    with pytest.raises(error) as failed:
        await driver.start(start_lab(), ALICE)
    assert failed.value.message == sentence
    assert jobs(site) == []


async def test_a_site_that_does_not_answer_in_time(
    driver: UnicoreSite, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call has an end, however slow the site is: no job is made, and a lab that runs stays as it is."""
    lab = start_lab()
    known = reference(lab, await driver.start(lab, ALICE))
    monkeypatch.setattr(transport, "CALL_S", 0.2)
    monkeypatch.setattr(unicore_driver, "_POLL_S", 0.5)
    site.faults.delay_s = 60.0
    for act in (driver.start(start_lab(), ALICE), driver.stop(known), driver.log(known)):
        with pytest.raises(SiteUnavailable, match="in time"):
            await act
    assert (await driver.poll([known]))[lab.start_id].state is State.UNKNOWN
    assert not (await driver.health()).available
    assert len(jobs(site)) == 1


async def test_a_session_that_ended_is_no_trouble(driver: UnicoreSite, site: Site) -> None:
    """432 after a restart of the server costs one more request."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    await driver.poll([reference(lab, answer)])
    site.faults.expire_sessions()
    assert (await driver.poll([reference(lab, answer)]))[lab.start_id].state in WAITING


@pytest.mark.parametrize("token", ["", "  ", "tok-nobody"])
async def test_a_bad_credential_is_refused_before_anything_is_made(driver: UnicoreSite, site: Site, token: str) -> None:
    """Trap 19: an empty token would be an anonymous caller."""
    with pytest.raises(CredentialRefused):
        await driver.start(start_lab(), SecretStr(token))
    assert jobs(site) == []


async def test_a_user_without_an_account_reads_so(driver: UnicoreSite) -> None:
    """A good login that the site does not map is told from a bad one."""
    with pytest.raises(CredentialRefused, match="no account"):
        await driver.start(start_lab(), NORA)


@pytest.mark.parametrize("change", [{"account": "root"}, {"project": "other"}])
async def test_a_foreign_account_or_project_reads_so(driver: UnicoreSite, change: dict) -> None:
    """The site's refusal names what it refuses."""
    with pytest.raises(SiteRefused, match=r"root|other"):
        await driver.start(start_lab(**change), ALICE)


async def test_another_users_lab_is_unknown_not_gone(driver: UnicoreSite) -> None:
    """A token of another user proves nothing about the job."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    foreign = reference(lab, answer, BOB).model_copy(update={"account": "bob1"})
    state = (await driver.poll([foreign]))[lab.start_id]
    assert state.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"partition": "nowhere"}, "Queue"),
        ({"resources": {"nodes": 9, "runtime": 10}}, "Nodes"),
        ({"resources": {"nodes": 1, "runtime": 600}}, "Runtime"),
    ],
    ids=["queue", "nodes", "runtime"],
)
async def test_a_refused_description_ends_with_a_sentence(driver: UnicoreSite, change: dict, said: str) -> None:
    """Trap 12: the site accepts everything at first; the refusal names the resource."""
    lab = start_lab(**change)
    answer = await driver.start(lab, ALICE)
    state = await until(driver, reference(lab, answer), State.ENDED)
    assert said in state.text
    assert "Exception" not in state.text


async def test_gpus_are_asked_for_by_the_sites_own_resource(driver: UnicoreSite, site: Site) -> None:
    """Trap 14: GPUsPerNode would ask Slurm for nonsense."""
    lab = start_lab(partition="gpu", resources={"nodes": 1, "gpus": 2, "runtime": 10})
    answer = await driver.start(lab, ALICE)
    await until(driver, reference(lab, answer), State.RUNNING)


async def test_the_controller_being_down_changes_nothing(driver: UnicoreSite, site: Site) -> None:
    """A batch system that hangs makes no lab end."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    await until(driver, reference(lab, answer), State.RUNNING)
    site.faults.controller_down = True
    assert (await driver.poll([reference(lab, answer)]))[lab.start_id].state in {State.RUNNING, State.UNKNOWN}


async def test_health_needs_no_login(driver: UnicoreSite, site: Site) -> None:
    """Anybody may see whether the site takes jobs."""
    assert (await driver.health()).available
    site.faults.answer_status = 500
    assert not (await driver.health()).available


async def test_many_labs_in_one_poll(driver: UnicoreSite) -> None:
    """One question about all; one lab's trouble is not another's."""
    good = start_lab()
    answer = await driver.start(good, ALICE)
    bad = reference(start_lab(), None, SecretStr("tok-nobody"))
    states = await driver.poll([reference(good, answer), bad])
    assert states[good.start_id].state in WAITING
    assert states[bad.start_id].state is State.UNKNOWN


NAMES = ["jobs", "tags", "status", "client", "role", "selected", "xlogin", "UID", "server", "jobSubmission", "enabled"]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(document=DOCUMENTS, tags=st.booleans())
async def test_no_document_whatever_is_an_accident(document: object, tags: bool) -> None:
    """Any JSON to any question: a lab stays unknown, and everything else ends with an answer or an error of ours."""
    lab = start_lab()
    if tags and isinstance(document, dict):
        document |= {"tags": [lab.lab_id, lab.start_id]}

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(document)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/X/rest/core"))
        async with driver_of(system(url), no_pause) as driver:
            known = reference(lab, wire.StartAnswer(handle=wire.Handle(url=f"{url}/jobs/abc123")))
            assert (await driver.poll([known]))[lab.start_id].state is State.UNKNOWN
            await driver.health()
            for act in (driver.start(lab, ALICE), driver.log(known), driver.stop(known)):
                with contextlib.suppress(JSCError):
                    await act


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(body=st.binary(max_size=200), status=st.sampled_from([200, 201, 204, 404, 403, 432, 500, 502]))
async def test_no_answer_whatever_means_the_end(body: bytes, status: int) -> None:
    """Any bytes with any status leave the lab unknown: an end needs a sentence that is understood."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        kind = b"" if not body else b"Content-Type: application/json\r\n"
        writer.write(
            b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, kind, len(body)) + body
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/X/rest/core"
    async with server, driver_of(system(url), no_pause) as driver:
        lab = reference(start_lab(), wire.StartAnswer(handle=wire.Handle(url=f"{url}/jobs/abc123")))
        assert (await driver.poll([lab]))[lab.start_id].state is State.UNKNOWN
