# SPDX-License-Identifier: BSD-3-Clause
"""The probe: any HTTP answer is an answer, and nothing else is."""

import pytest
from aiohttp import web

from jupyter_jsc.hub.probe import LabProbe
from tests.hub.world import free_port, serve


@pytest.mark.parametrize("status", [200, 302, 403, 404, 500])
async def test_any_answer_is_an_answer(status):
    """What the lab says is the lab's business; a redirect is not followed."""

    async def answer(_request):
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"})

    app = web.Application()
    app.router.add_get("/api", answer)
    runner, address = await serve(app)
    async with LabProbe(address) as probe:
        assert await probe.answers()
    await runner.cleanup()


async def test_nobody_there_is_no_answer():
    """A refused connection."""
    async with LabProbe(f"http://127.0.0.1:{free_port()}") as probe:
        assert not await probe.answers()


async def test_a_closed_connection_is_no_answer():
    """A tunnel whose far end has nobody accepts and closes."""

    async def answer(request):
        request.transport.close()
        return web.Response()

    app = web.Application()
    app.router.add_get("/api", answer)
    runner, address = await serve(app)
    async with LabProbe(address) as probe:
        assert not await probe.answers()
    await runner.cleanup()


def test_waits_are_short_at_first_and_bounded():
    """Milliseconds for a lab that is almost there, seconds for one that is not."""
    waits = list(LabProbe.waits())

    assert 0.025 == waits[0]
    assert 2.0 == max(waits) == waits[-1]
    assert sorted(waits) == waits
