# SPDX-License-Identifier: BSD-3-Clause
"""What the hub tells operators: who may ask; labs, failures, stories, open starts; bad questions."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from jupyter_jsc import operators
from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

BASE = "/jsc/operators"
PATHS = ["overview", "labs", "failures", "open", "starts/s" + "a" * 16]


async def asked(hub, path, model):
    answer = await hub.call("GET", f"{BASE}/{path}", token=hub.dashboard_token)
    assert 200 == answer.status, answer.body
    return model.model_validate(answer.body)


@pytest.mark.parametrize("path", PATHS)
async def test_only_the_dashboard_may_ask(hub, path):
    """Neither users, managers, administrators' services nor labs see what belongs to others."""
    lab = await hub.start("guarded")
    for token in ("", "f" * 32, hub.tokens["alice"], hub.manager_token, hub.accounts_token, hub.admin_token, lab.token):
        assert 403 == (await hub.call("GET", f"{BASE}/{path}", token=token)).status, token
    await lab.cancel()


async def test_a_failed_start_is_told_by_cause_with_its_story(hub):
    """From a part of the user's name to every event."""
    hub.manager.mode = ("SiteRefused", "Node <b>count</b> too large.")
    body = {"user_options": OPTIONS | {"account": "bob1"}}
    await hub.call("POST", "/users/bob/servers/refused", body, token=hub.tokens["bob"])

    async def failed():
        page = await asked(hub, "labs?search=BO&state=failed&system=juwels", operators.LabPage)
        return next((start for start in page.labs if start.server == "refused"), None)

    found = await until(failed)
    hub.manager.reset()
    assert ("bob", "juwels", "failed") == (found.user, found.system, found.state)
    assert "Node <b>count</b> too large." == found.last.text

    story = await asked(hub, f"starts/{found.start_id}", operators.Story)
    assert ["submitted", "failed"] == [event.code for event in story.events]

    groups = (await asked(hub, "failures", operators.Failures)).groups
    group = next(group for group in groups if group.cause == "Node <b>count</b> too large.")
    assert ("juwels", found.start_id) == (group.system, group.starts[0].start_id)

    overview = await asked(hub, "overview", operators.Overview)
    juwels = overview.systems["juwels"]
    assert juwels.failed >= 1
    assert "Node <b>count</b> too large." in [cause.text for cause in juwels.causes]
    assert overview.hours[-1].failed >= 1
    assert 24 == len(overview.hours)


async def test_a_lab_in_use_is_counted_by_its_state(hub):
    """Queued, then running; and among those that may have a tunnel."""
    lab = await hub.start("counted")
    hub.manager.set(lab.start_id, state="queued")
    await lab.until_code("queued")
    assert (await asked(hub, "overview", operators.Overview)).systems["juwels"].states["queued"] >= 1
    hub.manager.set(lab.start_id, state="running", nodes=["jwc01"])
    await lab.until_code("running")
    await lab.started()
    await lab.until_code("ready")
    assert (await asked(hub, "overview", operators.Overview)).systems["juwels"].states["running"] >= 1
    open_starts = {start.start_id: start for start in (await asked(hub, "open", operators.OpenStarts)).starts}
    assert ("alice", "counted", False) == (
        open_starts[lab.start_id].user,
        open_starts[lab.start_id].server,
        open_starts[lab.start_id].ended,
    )
    await lab.cancel()


async def test_a_start_is_found_by_the_beginning_of_its_id(hub):
    """Also one that was followed by others of the same lab; by the lab's id only the newest comes."""
    first = await hub.start("twice")
    await first.cancel()
    await until(lambda: first.in_state("stopped"))
    second = await hub.start("twice")
    page = await asked(hub, f"labs?search={first.start_id[:12]}", operators.LabPage)
    assert [first.start_id] == [start.start_id for start in page.labs]
    lab_id = page.labs[0].lab_id
    page = await asked(hub, f"labs?search={lab_id}", operators.LabPage)
    assert [second.start_id] == [start.start_id for start in page.labs]
    story = await asked(hub, f"starts/{second.start_id}", operators.Story)
    assert [first.start_id] == [start.start_id for start in story.others]
    await second.cancel()


async def test_labs_come_in_pages(hub):
    """Each lab once, the newest first, with the number of all."""
    made = [await hub.start(f"page-{number}") for number in range(3)]
    everything = await asked(hub, "labs?limit=200", operators.LabPage)
    assert everything.total == len(everything.labs)
    assert everything.labs == sorted(everything.labs, key=lambda start: start.created, reverse=True)
    single = [await asked(hub, f"labs?limit=1&offset={number}", operators.LabPage) for number in range(3)]
    assert [lab.start_id for lab in reversed(made)] == [page.labs[0].start_id for page in single]
    beyond = await asked(hub, "labs?offset=9999", operators.LabPage)
    assert ([], everything.total) == (beyond.labs, beyond.total)
    for lab in made:
        await lab.cancel()


async def test_a_silent_manager_is_told_with_the_time(hub):
    """Since when, until it answers again."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    hub.manager.mode = "down"

    async def silent():
        return (await asked(hub, "overview", operators.Overview)).silent.get("unicoremgr")

    assert before < await until(silent)
    hub.manager.reset()

    async def answers():
        return not await silent()

    await until(answers)


@pytest.mark.parametrize("search", ["%", "_", "\\", "'; drop table jsc_starts; --", "ÄÖ", "x" * 5000])
async def test_what_is_searched_for_is_text(hub, search):
    """No character of it means anything to the database."""
    answer = await hub.call("GET", f"{BASE}/labs?search={quote(search)}", token=hub.dashboard_token)
    assert 200 == answer.status
    assert [] == answer.body["labs"]


@pytest.mark.parametrize(
    "query",
    ["labs?limit=201", "labs?limit=-1", "labs?offset=x", "labs?state=odd", "failures?hours=169", "labs?limit=²"],
)
async def test_a_bad_question_names_field_and_what_is_allowed(hub, query):
    answer = await hub.call("GET", f"{BASE}/{query}", token=hub.dashboard_token)
    assert 400 == answer.status
    assert query.split("?")[1].split("=")[0] == answer.body["errors"]["field"]
    assert answer.body["errors"]["allowed"]


async def test_a_start_that_nobody_knows_is_not_found(hub):
    answer = await hub.call("GET", f"{BASE}/starts/s{'z' * 16}", token=hub.dashboard_token)
    assert 404 == answer.status
