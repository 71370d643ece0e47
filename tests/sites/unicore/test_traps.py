# SPDX-License-Identifier: BSD-3-Clause
"""Habits of a real UNICORE/X that a portal falls over, one test each (others stand beside what they are about).

Aspects: what is asked, and how; a second look before an end is believed; whose list is empty; words that are stale;
the tail of an output; a job that its batch system has forgotten; what is no proof of health.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from jupyter_jsc import wire
from jupyter_jsc.demo.unicore import Site
from jupyter_jsc.errors import SiteRefused, SiteUnavailable
from jupyter_jsc.sites.unicore import UnicoreSite
from jupyter_jsc.sites.unicore import driver as unicore_driver
from jupyter_jsc.wire import State
from tests.sites.unicore.conftest import (
    ALICE,
    Traffic,
    demo_site,
    driver_of,
    no_pause,
    option,
    reference,
    start_lab,
    system,
    until,
)

NO_SECRETS = {"status", "statusMessage", "exitCode", "batchSystemID", "queue", "jobType", "tags"}
LOGIN = {"partition": "login", "resources": {}}


async def whole_life(driver: UnicoreSite, **options: object) -> None:
    """Start a lab, see it run, read its output, stop it, and see it gone."""
    lab = start_lab(**options)
    answer = await driver.start(lab, ALICE)
    known = reference(lab, answer, answer.site_token)
    await until(driver, known, State.RUNNING)
    await driver.log(known)
    await driver.stop(known)
    assert (await until(driver, known, State.ENDED)).code == "gone"


async def test_a_job_is_never_asked_whole(
    driver: UnicoreSite, traffic: Traffic, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trap 4: a whole job repeats the submitter's token and its script; only harmless fields are asked for."""
    await whole_life(driver)
    asked = [
        set(request.query.get("fields", "everything").split(","))
        for request in traffic.requests
        if request.method == "GET" and request.path.startswith("/jobs/") and request.path.count("/") == 2
    ]
    assert asked
    assert set().union(*asked) <= NO_SECRETS
    logged = capsys.readouterr().out
    assert [secret for secret in ("tok-alice", "s3cr3t-api-token") if secret in logged] == []


async def test_on_a_login_node_the_log_is_asked_for_only_to_prove_the_end(
    driver: UnicoreSite, traffic: Traffic
) -> None:
    """Traps 4 and 7: nothing but the job's log says "Could not abort"; the description has no secret in it."""
    await whole_life(driver, **LOGIN)
    paths = [(request.method, request.path, request.query.get("fields")) for request in traffic.requests]
    logs = [number for number, (_, _, fields) in enumerate(paths) if fields == "log"]
    aborted = [number for number, (method, path, _) in enumerate(paths) if path.endswith("/actions/abort")]
    assert logs
    assert aborted < logs


@pytest.mark.parametrize("options", [{}, LOGIN], ids=["batch", "login"])
async def test_requests_are_those_that_servers_answer_truthfully(
    driver: UnicoreSite, traffic: Traffic, options: dict
) -> None:
    """Traps 16, 17, 19, 20: no PUT, whose 200 hides errors; nothing conditional; ``Bearer`` and a token; no list of states."""
    await whole_life(driver, **options)
    assert {request.method for request in traffic.requests} == {"GET", "POST", "DELETE"}
    for request in traffic.requests:
        assert not {"if-none-match", "if-modified-since", "if-match"} & set(request.headers)
        scheme, _, token = request.headers["authorization"].partition(" ")
        assert (scheme, bool(token.strip())) == ("Bearer", True)
        if request.path == "/jobs" and request.method == "GET":
            assert set(request.query) == {"tags", "num"}


async def test_a_job_that_is_back_at_the_second_look_was_not_gone(site: Site) -> None:
    """Trap 2: "not there" counts only if it is said again some seconds later."""
    hidden: dict = {}

    async def comes_back(_seconds: float) -> None:
        site.engine.jobs.update(hidden)

    async with driver_of(system(site.settings.core), comes_back) as driver:
        lab = start_lab()
        known = reference(lab, await driver.start(lab, ALICE))
        await until(driver, known, State.RUNNING)
        hidden.update(site.engine.jobs)
        site.engine.jobs.clear()
        assert (await driver.poll([known]))[lab.start_id].state is State.UNKNOWN
        assert (await driver.poll([known]))[lab.start_id].state is State.RUNNING


@contextlib.asynccontextmanager
async def small_site(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    """A server that answers every request so; its REST base."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/X/rest/core"))


NOT_THERE = {"status": 404, "headers": {"Content-Length": "0"}}


@pytest.mark.parametrize(
    ("client", "state", "code"),
    [
        ({"role": {"selected": "user"}, "xlogin": {"UID": "alice1"}}, State.ENDED, "gone"),
        ({"role": {"selected": "user"}, "xlogin": {"UID": "other1"}}, State.UNKNOWN, "credential"),
        ({"role": {"selected": "anonymous"}, "xlogin": {}}, State.UNKNOWN, "credential"),
        ({"role": {"selected": "user"}, "xlogin": {}}, State.UNKNOWN, "credential"),
        ({"role": {"selected": "user"}}, State.UNKNOWN, "credential"),
        ({}, State.UNKNOWN, "credential"),
        ("nonsense", State.UNKNOWN, "credential"),
        (None, State.UNKNOWN, "credential"),
    ],
    ids=["me", "another-account", "anonymous", "no-account", "no-xlogin", "nobody", "nonsense", "null"],
)
async def test_an_empty_list_counts_only_for_whom_it_is_about(client: object, state: State, code: str) -> None:
    """Trap 3: callers without an account get one too; the answer must prove role and account."""

    def answer(request: web.Request) -> web.Response:
        return web.json_response({"jobs": []} if request.path.endswith("/jobs") else {"client": client})

    async with small_site(answer) as url, driver_of(system(url), no_pause) as driver:
        lab = start_lab()
        found = (await driver.poll([reference(lab, None)]))[lab.start_id]
        assert (found.state, found.code) == (state, code)


async def test_after_a_restart_old_words_are_not_repeated(site: Site) -> None:
    """Trap 6: exit code and message of the run before stand beside RUNNING; they are nobody's news."""
    again = option("if [ -e again ]; then sleep 600; fi; touch again; exit 4")
    async with driver_of(system(site.settings.core), no_pause, again=again) as driver:
        lab = start_lab("again", **LOGIN)
        known = reference(lab, await driver.start(lab, ALICE))
        assert (await until(driver, known, State.ENDED)).exit_code == 4
        [job] = site.engine.jobs.values()
        await site.engine.restart(job)
        found = await until(driver, known, State.RUNNING)
        assert (found.text, found.exit_code, found.log_tail) == ("", None, "")
        shown = job.view(site.settings.core)
        assert (shown["status"], shown["exitCode"]) == ("RUNNING", "4")


async def test_a_stop_that_did_not_reach_a_login_node_is_not_believed(driver: UnicoreSite, site: Site) -> None:
    """Trap 7: a login node's processes show nowhere but in the log; the job is not removed while they may live."""
    lab = start_lab(**LOGIN)
    known = reference(lab, await driver.start(lab, ALICE))
    await until(driver, known, State.RUNNING)
    site.faults.tsi_down = True
    with pytest.raises(SiteUnavailable, match="not confirmed"):
        await driver.stop(known)
    assert len(site.engine.jobs) == 1


async def test_the_end_of_a_long_output_is_its_last_lines(site: Site, traffic: Traffic) -> None:
    """Trap 9: a range for the tail of a long file, which a short file refuses (416); never the head."""
    long = option("seq 100000 >&2; echo 'the last words' >&2; exit 3")
    async with driver_of(system(site.settings.core), no_pause, long=long) as driver:
        lab = start_lab("long")
        known = reference(lab, await driver.start(lab, ALICE))
        found = await until(driver, known, State.ENDED)
        assert found.log_tail.endswith("100000\nthe last words\n")
        assert len(found.log_tail) == 4096
        asked = [request.headers.get("range") for request in traffic.requests if request.path.endswith("/stderr")]
        assert asked == ["bytes=-4096"]


async def test_a_job_that_its_batch_system_has_forgotten_can_be_removed(driver: UnicoreSite, site: Site) -> None:
    """Trap 10: "Invalid job id" of an ended job is no trouble of the site; nothing is left behind."""
    lab = start_lab("fails")
    known = reference(lab, await driver.start(lab, ALICE))
    await until(driver, known, State.ENDED)
    site.faults.forget_jobs = True
    assert (await driver.poll([known]))[lab.start_id].exit_code == 3
    await driver.stop(known)
    assert list(site.engine.jobs) == []


async def test_an_end_that_only_the_batch_system_knows_has_its_exit_code(
    tmp_path: Path, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 10: a server that looks seldom does not know the end yet; the code lies in the job's directory."""
    monkeypatch.setattr(unicore_driver, "_DETAILS_AGE_S", 0.0)
    async with (
        demo_site(tmp_path / "site", traffic, status_lag_s=600.0) as site,
        driver_of(system(site.settings.core), no_pause) as driver,
    ):
        lab = start_lab("fails")
        known = reference(lab, await driver.start(lab, ALICE))
        found = await until(driver, known, State.ENDED)
        assert [job.status for job in site.engine.jobs.values()] == ["QUEUED"]
        assert (found.exit_code, found.text) == (
            3,
            "The lab's server ended with an error (exit code 3). Its last lines say why.",
        )
        assert "no module named jupyter" in found.log_tail


async def test_a_job_that_was_cancelled_at_the_system_says_so_at_once(
    driver: UnicoreSite, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 10: the cause comes from the batch system, two minutes before UNICORE's own general words."""
    monkeypatch.setattr(unicore_driver, "_DETAILS_AGE_S", 0.0)
    lab = start_lab()
    known = reference(lab, await driver.start(lab, ALICE))
    await until(driver, known, State.RUNNING)
    [job] = site.engine.jobs.values()
    assert job.batch_id is not None
    site.batch.cancel(job.batch_id)
    found = await until(driver, known, State.ENDED)
    assert (found.code, job.view(site.settings.core)["status"]) == ("cancelled", "RUNNING")


@pytest.mark.parametrize(
    ("server", "available", "text"),
    [
        ({"externalConnections": {"TSI 1": "DOWN"}, "jobSubmission": {"enabled": True, "message": ""}}, True, ""),
        (
            {"externalConnections": {"TSI 1": "OK"}, "jobSubmission": {"enabled": False, "message": "Upgrade."}},
            False,
            "Upgrade.",
        ),
        ({"externalConnections": {"TSI 1": "OK"}}, True, ""),
        ({"jobSubmission": "nonsense"}, True, ""),
        ("nonsense", True, ""),
        (None, True, ""),
    ],
    ids=["connections-down", "closed", "old-server", "nonsense-inside", "nonsense", "null"],
)
async def test_external_connections_are_no_proof_of_health(server: object, available: bool, text: str) -> None:
    """Trap 11: they say OK of what is down; whether the site takes jobs is what its operators say."""
    async with (
        small_site(lambda _request: web.json_response({"server": server})) as url,
        driver_of(system(url), no_pause) as driver,
    ):
        health = await driver.health()
        assert (health.available, health.text) == (available, text)


@pytest.mark.parametrize(
    ("setup", "code"), [("echo 'no end", 2), ("exit 7", 7), ("}; exit 5", 2)], ids=["quote", "exit", "brace"]
)
async def test_operators_lines_never_break_the_wrapper(site: Site, setup: str, code: int) -> None:
    """Trap 15: the launcher runs them as a step of its own; no quote and no ``exit`` in them reaches UNICORE's wrapper."""
    place = system(site.settings.core).model_copy(update={"launcher_python": sys.executable})
    async with (
        small_site(lambda _request: web.Response(status=204)) as hub,
        driver_of(place, no_pause, broken=option(setup)) as driver,
    ):
        lab = start_lab("broken").model_copy(update={"events_url": f"{hub}/events"})
        found = await until(driver, reference(lab, await driver.start(lab, ALICE)), State.ENDED)
    assert (found.code, found.exit_code) == ("launcher", 1)
    assert found.text == f"Setting up x: failed with code {code}"


async def test_a_job_is_matched_by_its_id(driver: UnicoreSite, site: Site, traffic: Traffic) -> None:
    """The address in a handle may name a gateway or an old host: the job is found, and only this site is asked."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    job_id = answer.handle.url.rpartition("/")[2]
    moved = wire.StartAnswer(handle=wire.Handle(url=f"https://gateway.invalid:8080/OTHER/rest/core/jobs/{job_id}"))
    assert (await until(driver, reference(lab, moved), State.RUNNING)).site_id
    await driver.stop(reference(lab, moved))
    assert list(site.engine.jobs) == []


@pytest.mark.parametrize("url", ["http://x/jobs/..%2f..%2fstorages", "http://x/jobs/a/b", "nonsense", "http://x/jobs/"])
async def test_a_handle_that_is_none_is_a_lost_handle(driver: UnicoreSite, url: str) -> None:
    """A handle is a hint: the tags find the job all the same, and nothing of it becomes a path."""
    lab = start_lab()
    await driver.start(lab, ALICE)
    broken = wire.StartAnswer(handle=wire.Handle(url=url))
    await until(driver, reference(lab, broken), State.RUNNING)


async def test_a_token_lives_as_long_as_the_site_allows(tmp_path: Path, traffic: Traffic) -> None:
    """No token outlives the server's certificate: a shorter life is asked for, and its end is known."""
    async with (
        demo_site(tmp_path / "site", traffic, token_lifetime_max_s=7200) as site,
        driver_of(system(site.settings.core), no_pause) as driver,
    ):
        answer = await driver.start(start_lab(), ALICE)
        asked = [int(request.query["lifetime"]) for request in traffic.requests if request.path == "/token"]
        assert asked == [30 * 86400, 7 * 86400, 86400, 3600]
        assert {request.query["limited"] for request in traffic.requests if request.path == "/token"} == {"true"}
        assert answer.site_token is not None
        claims = site.key.verify(answer.site_token.get_secret_value())
        assert claims is not None
        assert answer.site_token_expires is not None
        assert answer.site_token_expires.timestamp() == claims["exp"]


@pytest.mark.parametrize("status", [404, 400])
async def test_a_site_without_tokens_gets_no_job(status: int) -> None:
    """Trap 18: rather no lab than one whose job shows the user's token to whoever may read it."""
    posted = []

    def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            posted.append(request.path)
        return web.Response(status=status)

    async with small_site(answer) as url, driver_of(system(url), no_pause) as driver:
        with pytest.raises(SiteRefused, match="issues no tokens"):
            await driver.start(start_lab(), ALICE)
    assert posted == []


async def test_a_job_whose_site_falls_silent_is_found_later(driver: UnicoreSite, site: Site, traffic: Traffic) -> None:
    """Trap 8: the answer to a submission is lost, and the search for it too: a repeated start or a stop finds the job."""

    def falls_silent(request: object) -> None:
        site.faults.html = len(site.engine.jobs) > 0

    for way in ("start", "stop"):
        site.faults.lose_submit_answer = True
        traffic.after = falls_silent
        lab = start_lab()
        with pytest.raises(SiteUnavailable):
            await driver.start(lab, ALICE)
        traffic.after = None
        site.faults.html = site.faults.lose_submit_answer = False
        assert len(site.engine.jobs) == 1
        if way == "start":
            await driver.start(lab, ALICE)
            assert len(site.engine.jobs) == 1
        await driver.stop(reference(lab, None))
        assert list(site.engine.jobs) == []


async def test_a_user_is_one_session_whatever_is_asked(driver: UnicoreSite, traffic: Traffic) -> None:
    """A new session for each request would push out those of others: the server keeps few, and each costs a question to the provider."""
    lab = start_lab()
    answer = await driver.start(lab, ALICE)
    known = reference(lab, answer, answer.site_token)
    await until(driver, known, State.RUNNING)
    traffic.requests.clear()
    await asyncio.gather(*(driver.poll([known]) for _ in range(5)))
    sessions = {request.headers.get("x-unicore-securitysession") for request in traffic.requests}
    assert len(sessions) == 1
    assert None not in sessions
    other = reference(lab, answer, SecretStr("tok-bob"))
    traffic.requests.clear()
    await driver.poll([other])
    assert traffic.requests[0].headers.get("x-unicore-securitysession") is None
