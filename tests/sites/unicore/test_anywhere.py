# SPDX-License-Identifier: BSD-3-Clause
"""What must hold at any UNICORE site: the demo's endpoint, and a real server where one is named."""

import asyncio

from jupyter_jsc.wire import State
from tests.sites.unicore.conftest import Place, reference, until


async def test_a_lab_from_start_to_stop(place: Place) -> None:
    """Started once however often it is asked for, seen running, its output read, ended, gone."""
    lab = place.lab()
    answer = await place.driver.start(lab, place.token)
    known = reference(lab, answer, answer.site_token)
    try:
        assert (await place.driver.start(lab, place.token)).handle == answer.handle
        await until(place.driver, known, State.RUNNING)
        async with asyncio.timeout(120):
            while "started" not in await place.driver.log(known):
                await asyncio.sleep(0.2)
    finally:
        await place.driver.stop(known)
    assert (await place.driver.poll([known]))[lab.start_id].code == "gone"


async def test_a_job_that_fails_tells_code_and_output(place: Place) -> None:
    """The end comes with exit code and last lines."""
    lab = place.lab("fails")
    answer = await place.driver.start(lab, place.token)
    known = reference(lab, answer, place.token)
    state = await until(place.driver, known, State.ENDED)
    await place.driver.stop(known)
    assert state.exit_code == 3
    assert "no module named jupyter" in state.log_tail


async def test_health_and_certificate_need_no_login(place: Place) -> None:
    """What the status page and the receiver of notifications need."""
    assert (await place.driver.health()).available
    assert b"BEGIN CERTIFICATE" in await place.driver.certificate()
