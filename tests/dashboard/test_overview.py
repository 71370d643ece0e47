# SPDX-License-Identifier: BSD-3-Clause
"""What the overview makes of answers and silences: problems, rows, versions, orphans, reports."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import names
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.dashboard import overview
from jupyter_jsc.dashboard.sources import Answer, Manager, Picture, Silence, Tunnels
from jupyter_jsc.operators import Cause, OpenStart, OpenStarts, Overview, SystemStarts
from jupyter_jsc.wire import JumpHostInfo, SystemHealth, Tunnel
from tests.config import small

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CONFIGURATION = Configuration.model_validate(small.tree())
LAB, START = names.lab_id("demo", "alice", "lab"), names.new_start_id()
CALM = SystemStarts(states={"queued": 1, "running": 2, "odd": 1}, begun=4, failed=0, causes=[])
TUNNEL = Tunnel(
    lab_id=LAB, start_id=START, system="juwels", host="jwc01", port=8888, endpoint_host="127.0.0.1", endpoint_port=2000
)


def hub(systems=None, **changes):
    known = {"juwels": CALM} if systems is None else systems
    values = {"time": NOW, "configuration": "v1", "systems": known, "silent": {}, "hours": []} | changes
    return Answer(Overview(**values))


def picture(**changes):
    values = {
        "hub": hub(),
        "managers": {"unicoremgr": Manager(Answer("v1"), Answer({"juwels": SystemHealth(available=True)}))},
        "tunnelmgr": Tunnels(Answer("v1"), Answer([]), Answer([])),
        "open_starts": Answer(OpenStarts(starts=[])),
    }
    return Picture(**(values | changes))


def page(refused=None, **changes):
    return overview.overview(picture(**changes), CONFIGURATION, "v1", refused, NOW)


def silence(service="unicoremgr", minutes=5, reason=""):
    return Answer(silence=Silence(service, NOW - timedelta(minutes=minutes), reason))


def host(name="l1", **changes):
    values = {"name": name, "system": "juwels", "state": "open", "connected": True, "tunnels": 1} | changes
    return JumpHostInfo.model_validate(values)


def tunnels(*hosts):
    return Tunnels(Answer("v1"), Answer([]), Answer(list(hosts)))


def test_all_is_well():
    """No problem; labs by state in the order of their life, what is not known last."""
    made = page()
    assert () == made.problems
    (row,) = made.rows
    assert ("ok", (("running", 2), ("queued", 1), ("odd", 1)), 4) == (row.health, row.states, row.begun)
    assert all(version.same for version in made.versions)


def test_a_silent_manager_is_one_problem_with_the_hubs_time():
    """The hub noticed it before the dashboard was looked at; its systems are not known, not down."""
    manager = Manager(silence(), silence())
    made = page(managers={"unicoremgr": manager}, hub=hub(silent={"unicoremgr": NOW - timedelta(minutes=78)}))
    (problem,) = made.problems
    assert ("UnicoreMgr does not answer", "10:42 UTC") == (problem.text, problem.since.text)
    assert "unknown" == made.rows[0].health


def test_a_silence_of_days_has_its_date():
    manager = Manager(silence(minutes=3 * 24 * 60), silence())
    assert "2026-11-20 12:00 UTC" == page(managers={"unicoremgr": manager}).problems[0].since.text


def test_a_silent_hub_leaves_managers_and_tunnels():
    """Labs are missing; health and jump hosts are not."""
    made = page(hub=silence("hub"), open_starts=silence("hub"), tunnelmgr=tunnels(host()))
    assert ["The hub does not answer"] == [problem.text for problem in made.problems]
    assert ("ok", 1, ()) == (made.rows[0].health, len(made.rows[0].jump_hosts), made.rows[0].states)
    assert "hub" == made.hub_silent.service


@pytest.mark.parametrize(
    ("changes", "word", "wrong"),
    [
        ({}, "connected", False),
        ({"connected": False}, "connection lost", True),
        ({"connected": False, "tunnels": 0}, "idle", False),
        ({"state": "draining"}, "draining, connected", False),
        ({"state": "closed", "connected": False, "tunnels": 0}, "closed", False),
        ({"state": "draining", "connected": False}, "draining, connection lost", True),
    ],
)
def test_a_jump_host_in_a_word(changes, word, wrong):
    """Lost is only what somebody needs."""
    made = page(tunnelmgr=tunnels(host(**changes)))
    assert word == made.rows[0].jump_hosts[0].word
    assert wrong == bool(made.problems)


@pytest.mark.parametrize(
    ("begun", "failed", "wrong"), [(2, 2, False), (3, 3, True), (6, 3, True), (7, 3, False), (100, 49, False)]
)
def test_many_failures_are_a_problem(begun, failed, wrong):
    """A few are every day's; half of the starts is not."""
    told = SystemStarts(states={}, begun=begun, failed=failed, causes=[Cause(text="No.", count=failed)])
    made = page(hub=hub({"juwels": told}))
    assert wrong == bool(made.problems)
    assert not wrong or made.problems[0].more == "No."


def test_labs_of_a_removed_system_are_not_lost():
    """They have a row of their own at the end."""
    made = page(hub=hub({"juwels": CALM, "gone": CALM}))
    assert [("juwels", "ok"), ("gone", "removed")] == [(row.key, row.health) for row in made.rows]


def test_a_system_that_its_manager_does_not_know_yet():
    """Just after a commit; nothing is wrong."""
    made = page(managers={"unicoremgr": Manager(Answer("v0"), Answer({}))})
    assert ("unknown", ()) == (made.rows[0].health, made.problems)
    assert [("UnicoreMgr", False)] == [(item.service, item.same) for item in made.versions if not item.same]


@pytest.mark.parametrize(
    ("opened", "kind"),
    [
        (Answer(OpenStarts(starts=[])), "orphan"),
        (Answer(OpenStarts(starts=[OpenStart(start_id=START, lab_id=LAB, user="a", server="b", ended=False)])), "open"),
        (
            Answer(OpenStarts(starts=[OpenStart(start_id=START, lab_id=LAB, user="a", server="b", ended=True)])),
            "ending",
        ),
        (silence("hub"), "unknown"),
    ],
    ids=["orphan", "open", "ending", "unknown"],
)
def test_a_tunnel_and_its_start(opened, kind):
    """A tunnel is an orphan only if the hub said so."""
    (row,) = overview.tunnel_rows(Answer([TUNNEL]), opened)
    assert kind == row.kind
    made = page(tunnelmgr=Tunnels(Answer("v1"), Answer([TUNNEL]), Answer([])), open_starts=opened, hub=hub())
    assert (kind == "orphan") == any("tunnel" in problem.text for problem in made.problems)


def test_a_refused_commit_is_a_problem():
    refused = overview.refusal({"commit": "abc", "when": "now", "mistakes": [{"file": "a.yaml", "message": "No."}]})
    assert ("a.yaml No.",) == refused.lines
    assert "abc" == page(refused=refused).problems[0].more
    assert overview.refusal(None) is None
    assert overview.refusal({}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["commit", "when", "mistakes", "x"]), json_values, min_size=1))
def test_a_report_of_any_shape_is_shown(report):
    """Never an error; every line is short."""
    refused = overview.refusal(report)
    assert refused is not None
    assert all(len(line) <= 500 for line in refused.lines)
