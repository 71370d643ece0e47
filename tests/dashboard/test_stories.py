# SPDX-License-Identifier: BSD-3-Clause
"""The story of a start, on the page and as text."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import names
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.dashboard import stories
from jupyter_jsc.operators import EventLine, StartRecord, Story
from tests.config import small

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CONFIGURATION = Configuration.model_validate(small.tree())
START = StartRecord(
    start_id=names.new_start_id(),
    lab_id=names.lab_id("demo", "alice", "lab"),
    user="alice",
    server="lab",
    system="juwels",
    state="failed",
    options={"system": "juwels", "option": "lab", "resources": {"nodes": 2}, "account": None},
    groups=["base"],
    configuration="abc",
    created=NOW - timedelta(minutes=10),
    ended=NOW - timedelta(minutes=8),
    cleaned=False,
    handle=None,
    host=None,
    port=None,
)


def event(number, code, text="", details="", sender="hub", seconds=0):
    return EventLine(
        id=number,
        time=START.created + timedelta(seconds=seconds),
        sender=sender,
        code=code,
        progress=5,
        text=text,
        details=details,
    )


def told(*events, start=START):
    return stories.told(Story(start=start, events=list(events), others=[]), CONFIGURATION, NOW)


def test_every_component_is_on_one_line_of_time():
    """Sender, time since the event before, and trouble marked."""
    made = told(
        event(1, "submitted", "Submitting to JUWELS."),
        event(2, "queued", "Queued.", sender="site", seconds=65),
        event(3, "failed", "No.", "line 1\nline 2", seconds=65),
    )
    assert [("Hub", "", False), ("Site", "+1 min 5 s", False), ("Hub", "", True)] == [
        (line.sender, line.after, line.trouble) for line in made.lines
    ]
    assert ("failed", "2 min") == (made.state, made.took)
    assert "not yet: job or tunnel may still be there" == dict(made.facts)["Cleaned up"]
    assert "nodes 2" == dict(made.facts)["Resources"]
    assert "Account" not in dict(made.facts)


def test_a_step_that_is_done_says_which():
    """Its own words are only how long it took; the step's code is beside the event's."""
    made = told(
        event(1, "lab_step", "Loading Python", "software.a.b"), event(2, "lab_step_done", "0.3 s", "software.a.b")
    )
    assert "Loading Python: done in 0.3 s" == made.lines[1].text
    assert ("lab_step_done software.a.b", "") == (made.lines[1].code, made.lines[1].details)


def test_a_start_that_goes_on_has_no_end():
    made = told(start=START.model_copy(update={"ended": None, "state": "queued"}))
    assert ("", "queued") == (made.took, made.state)
    assert {"Ended", "Cleaned up"}.isdisjoint(dict(made.facts))


def test_a_system_that_is_gone_is_said_by_its_key():
    made = told(start=START.model_copy(update={"system": "gone"}))
    assert "gone (not in the configuration)" == dict(made.facts)["System"]


@given(st.text(), st.text())
def test_the_text_is_one_line_an_event(text, details):
    """Whatever a site says, no line of the text is taken for another event's."""
    made = told(event(1, "failed", text, details), event(2, "stopped"))
    begins = [line for line in made.text.splitlines() if line.startswith("2026-11-23 11:50:00 UTC")]
    assert 2 == len(begins)
    assert START.start_id in made.text
