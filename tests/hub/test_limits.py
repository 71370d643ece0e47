# SPDX-License-Identifier: BSD-3-Clause
"""Limits on labs in use hold however many starts come at once; a refusal names the limit and the labs that fill it."""

import asyncio

import pytest
import pytest_asyncio

from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def nothing_in_use(hub):
    """No lab of an earlier test counts."""

    async def in_use(user):
        labs = (await hub.call("GET", f"/jsc/labs/{user}", token=hub.tokens[user])).body["labs"]
        return [lab["server"] for lab in labs if lab["state"] != "stopped"]

    async def none_left(user):
        return not await in_use(user)

    for user in ("alice", "bob"):
        for server in await in_use(user):
            await hub.call("POST", f"/jsc/labs/{user}/{server}/cancel", token=hub.tokens[user])
        await until(lambda user=user: none_left(user))
    hub.manager.reset()


async def _start_at_once(hub, names):
    """Start labs at the same moment; *names* are pairs of user and server."""
    accounts = {"alice": "alice1", "bob": "bob1"}
    return await asyncio.gather(
        *(
            hub.call(
                "POST",
                f"/users/{user}/servers/{server}",
                {"user_options": OPTIONS | {"account": accounts[user]}},
                token=hub.tokens[user],
            )
            for user, server in names
        )
    )


async def _stop_all(hub):
    for start_id, job in list(hub.manager.jobs.items()):
        user, server = job["lab"]["user"], job["lab"]["env"]["JUPYTERHUB_SERVER_NAME"]
        await hub.call("POST", f"/jsc/labs/{user}/{server}/cancel", token=hub.tokens[user])
        await until(lambda start_id=start_id: hub.manager.stopped(start_id))


async def test_twenty_starts_at_once_do_not_exceed_a_users_limit(hub):
    """Exactly as many as are allowed have a job; the others are refused with the limit and the labs that fill it."""
    await hub.commit("limited", lambda tree: tree.update(max_labs_per_user=5))
    answers = await _start_at_once(hub, [("alice", f"one-{number}") for number in range(20)])
    refused = [answer for answer in answers if answer.status == 409]
    await until(lambda: len(hub.manager.jobs) == 5)

    assert (5, 15) == (sum(answer.status in {201, 202} for answer in answers), len(refused))
    assert all("5" in answer.body["message"] and "one-" in answer.body["message"] for answer in refused)
    await until(lambda: _are_in_use(hub, 5))
    await _stop_all(hub)
    assert 5 == len(hub.manager.jobs)
    again = await _start_at_once(hub, [("alice", "one-0")])
    assert again[0].status in {201, 202}
    await _stop_all(hub)


async def _are_in_use(hub, count):
    """Whether so many labs are starting, and the others are stopped and say why they cannot start."""
    labs = (await hub.call("GET", "/jsc/labs/alice", token=hub.tokens["alice"])).body["labs"]
    found = [(lab["state"], lab["blocked"] != "") for lab in labs if lab["server"].startswith("one-")]
    return [("starting", False)] * count == sorted(found)[:count] and {("stopped", True)} == set(sorted(found)[count:])


async def test_members_at_once_do_not_exceed_their_groups_limit(hub):
    """The labs of all members count, whoever begins them; the start carries its groups."""
    course = {"label": "Course", "members": [{"everybody": True}], "max_labs": 3}
    await hub.commit("course", lambda tree: tree.update(groups={"course": course}))
    names = [(user, f"group-{number}") for number in range(6) for user in ("alice", "bob")]
    answers = await _start_at_once(hub, names)
    await until(lambda: len(hub.manager.jobs) == 3)

    assert 3 == sum(answer.status in {201, 202} for answer in answers)
    assert 9 == sum(answer.status == 409 for answer in answers)
    assert [["course"]] * 3 == [job["lab"]["groups"] for job in hub.manager.jobs.values()]
    await _stop_all(hub)


async def test_fifty_starts_on_two_systems_exceed_neither_systems_nor_options_limits(hub):
    """A user's labs are counted over all systems; each refusal names the limit that is full and the labs in it."""

    def limited(tree):
        tree["options"]["lab-4"]["max_labs_per_user"] = 3
        for system in ("juwels", "jureca"):
            tree["systems"][system]["max_labs_per_user"] = 2

    await hub.commit("two-systems", limited)
    elsewhere = OPTIONS | {"system": "jureca", "project": "climate", "partition": "dc-cpu"}
    answers = await asyncio.gather(
        *(
            hub.call(
                "POST",
                f"/users/alice/servers/{where['system']}-{number}",
                {"user_options": where},
                token=hub.tokens["alice"],
            )
            for number in range(25)
            for where in (OPTIONS, elsewhere)
        )
    )
    await until(lambda: len(hub.manager.jobs) == 3)
    refused = [answer.body["message"] for answer in answers if answer.status == 409]
    used = sorted(job["lab"]["options"]["system"] for job in hub.manager.jobs.values())

    assert (3, 47) == (sum(answer.status in {201, 202} for answer in answers), len(refused))
    assert used in (["jureca", "juwels", "juwels"], ["jureca", "jureca", "juwels"])
    assert all("2 of 2 labs on JU" in said or "3 of 3 labs with JupyterLab 4" in said for said in refused)
    assert all("juwels-" in said or "jureca-" in said for said in refused)
    await _stop_all(hub)


async def test_a_lab_in_use_does_not_count_against_itself(hub):
    """At the limit of one, the one lab is not called blocked, and can be started again after its end."""
    await hub.commit("one", lambda tree: tree.update(max_labs_per_user=1))
    lab = await hub.running("single")
    assert "" == (await hub.lab("single"))["blocked"]
    refused = await _start_at_once(hub, [("alice", "second")])
    assert 409 == refused[0].status
    await lab.stop()
    again = await hub.start("single")
    await again.cancel()
    await until(lambda: hub.manager.stopped(again.start_id))
