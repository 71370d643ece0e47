# SPDX-License-Identifier: BSD-3-Clause
"""From click to cell and back, through every component.

Aspects: batch job with notifications, batch job without, login-node job, two users at once, the history,
what stop leaves behind.
"""

import asyncio

import pytest

from bench.portal import PortalUser, Refused
from tests.ring.system import JURECA, JUWELS, LOGIN_NODE, OSCAR, Ring

pytestmark = [pytest.mark.ring, pytest.mark.asyncio(loop_scope="session")]


async def started(user: PortalUser, server: str, options: dict) -> list[dict]:
    """Start a lab, wait until it is ready, and return the events of the start."""
    await user.save(server, options)
    await user.start(server)
    event = await user.until(server, "ready", "failed")
    starts = await user.starts(server)
    history = await user.history(server, starts[0]["start_id"])
    assert event["code"] == "ready", history
    await user.until_state(server, "running")
    return history


@pytest.mark.parametrize(
    ("server", "options"),
    [("batch", JUWELS), ("quiet", JURECA), ("login", LOGIN_NODE)],
    ids=["notified", "polled", "login-node"],
)
async def test_a_lab_runs_a_cell_and_leaves_nothing(ring: Ring, alice: PortalUser, server: str, options: dict) -> None:
    """A start ends in a JupyterLab that computes and has a terminal; after stop job, tunnel and route are gone."""
    history = await started(alice, server, options)
    progress = [event["progress"] for event in history]
    assert progress == sorted(progress)
    assert {"submitted", "accepted", "lab_starting", "lab_listening", "tunnel_open", "ready"} <= {
        e["code"] for e in history
    }

    assert await alice.enter(server) == 200
    async with alice.kernel(server) as kernel:
        reply = await kernel.execute("1+1")
        assert reply["status"] == "ok"
        assert reply["outputs"][-1]["data"]["text/plain"] == "2"
    terminal = await alice.lab_request("POST", server, "api/terminals")
    assert terminal["name"]

    await alice.stop(server)
    await alice.until_state(server, "stopped")
    start = (await alice.starts(server))[0]
    assert start["outcome"] == "stopped"
    assert not list(ring.folder.file("site").rglob("secrets.json"))
    with pytest.raises(Refused):
        await alice.lab_request("GET", server, "api/status")


async def test_two_labs_of_two_users_at_once(alice: PortalUser, oscar: PortalUser) -> None:
    """Labs run beside each other, and nobody enters the other's."""
    await asyncio.gather(started(alice, "mine", JURECA), started(oscar, "his", OSCAR))
    assert await alice.enter("mine") == 200
    assert await oscar.enter("his") == 200
    with pytest.raises(Refused) as refusal:
        await PortalUser.lab_request(oscar, "GET", "../alice/mine", "api/contents")
    assert refusal.value.status in {403, 404}


async def test_an_earlier_start_can_be_read_after_a_new_one(alice: PortalUser) -> None:
    """The history of each start stays."""
    first = await started(alice, "twice", LOGIN_NODE)
    await alice.stop("twice")
    await alice.until_state("twice", "stopped")
    await started(alice, "twice", LOGIN_NODE)
    starts = await alice.starts("twice")
    assert len(starts) == 2
    again = await alice.history("twice", starts[1]["start_id"])
    assert [event["id"] for event in again][: len(first)] == [event["id"] for event in first]
