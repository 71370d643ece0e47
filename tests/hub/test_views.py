# SPDX-License-Identifier: BSD-3-Clause
"""View models: states, phases, words and times as the templates print them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub import views
from jupyter_jsc.hub.labs import Lab
from jupyter_jsc.hub.records import Event, Start

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OPTIONS = {
    "system": "juwels",
    "option": "lab",
    "account": "ann1",
    "project": "hai",
    "partition": "devel",
    "resources": {"nodes": 1, "gpus": 4, "runtime": 90},
}
CONFIGURATION = Configuration.model_validate(
    {
        "hub": "test",
        "support": "help@example.org",
        "identity_providers": {"x": {"label": "X"}},
        "managers": {"m": {"url": "http://127.0.0.1:1"}},
        "tunnelmgr": {"url": "http://127.0.0.1:2"},
        "options": {"lab": {"label": "JupyterLab 4.6"}},
        "systems": {
            "juwels": {
                "label": "JUWELS",
                "manager": "m",
                "unicore": {"url": "http://127.0.0.1:3"},
                "jump_hosts": {"l": {"host": "l", "host_key": "k"}},
                "lab_hosts": ["*"],
                "account_keys": {"juwels": ["devel"]},
                "partitions": {"devel": {}},
            }
        },
    }
)


def event(code, seconds=0, progress=0, text="", details="", sender="hub"):
    return Event(1, "s", "lab-x", "ann", "x", NOW + timedelta(seconds=seconds), sender, code, progress, text, details)


def start(**changes):
    first = Start(
        "s", "lab-x", "ann", "x", OPTIONS, NOW - timedelta(hours=3), None, None, None, None, None, None, False, None
    )
    return replace(first, **changes)


def lab(state="stopped", of=None, **changes):
    return replace(Lab("x", "A lab", OPTIONS, state, of, "/user/ann/x/", ""), **changes)


def row(events, outcome=None, now=NOW):
    return [(phase.label, phase.state, phase.took) for phase in views.phases(events, outcome, now)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (95, "1 min 35 s"), (600, "10 min"), (3599, "59 min"), (3600, "1 h"),
     (8040, "2 h 14 min"), (86400, "1 d"), (93600, "1 d 2 h"), (-5, "0 s")],
)  # fmt: skip
def test_duration(seconds, words):
    assert words == views.duration(seconds)


@pytest.mark.parametrize(
    ("before", "words"),
    [({"seconds": 3}, "just now"), ({"seconds": 40}, "40 s ago"), ({"minutes": 12}, "12 min ago"),
     ({"hours": 5}, "5 h ago"), ({"hours": 30}, "yesterday"), ({"days": 3}, "3 days ago"),
     ({"days": 40}, "on 14 Oct 2026"), ({"seconds": -5}, "just now")],
)  # fmt: skip
def test_ago(before, words):
    """Relative words, with the exact time for the hover."""
    moment = views.ago(NOW - timedelta(**before), NOW)
    assert words == moment.text
    assert datetime.fromisoformat(moment.iso) == NOW - timedelta(**before)


def test_left_counts_whole_minutes():
    """Seconds are of no interest until the last minute."""
    assert views.left(NOW + timedelta(seconds=8099), NOW).text == "2 h 14 min left"
    assert views.left(NOW + timedelta(seconds=42), NOW).text == "42 s left"


def test_facts_use_labels_and_survive_what_is_gone():
    """Labels where the configuration has them, else the keys."""
    assert views.facts(OPTIONS, CONFIGURATION) == (
        "JUWELS",
        "devel",
        "1 node, 4 GPUs, 1 h 30 min",
        "JupyterLab 4.6",
        "project hai",
    )
    assert views.facts({"system": "gone", "partition": "p"}, CONFIGURATION) == ("gone", "p")
    assert views.facts({}, CONFIGURATION) == ()


def test_phases_of_a_start_that_queues():
    """Passed phases have the time they took, the present one counts."""
    events = [event("submitted"), event("accepted", 2), event("queued", 5)]
    assert row(events, now=NOW + timedelta(seconds=30)) == [
        ("submitted", "done", "5 s"),
        ("queued", "now", "25 s"),
        ("starting", "next", ""),
        ("tunnel", "next", ""),
        ("ready", "next", ""),
    ]


def test_phases_skip_what_did_not_happen():
    """A login node has no queue: that phase is done and took no time."""
    events = [event("submitted"), event("running", 4), event("lab_listening", 9), event("ready", 10)]
    assert row(events) == [("submitted", "done", "4 s"), ("queued", "done", ""), ("starting", "done", "5 s"),
            ("tunnel", "done", "1 s"), ("ready", "done", "")]  # fmt: skip


def test_phases_end_where_the_start_failed():
    """The phase in which a start ended is broken, and does not count on."""
    events = [event("submitted"), event("queued", 1), event("failed", 11, 100)]
    assert row(events, "failed", NOW + timedelta(days=1))[1] == ("queued", "broken", "10 s")


def test_late_word_after_the_end_is_no_progress():
    """A site's message that crosses the end of a start moves neither phase nor percent."""
    events = [event("queued", 1, 25), event("failed", 11, 100), event("running", 12, 100)]
    opened = views.history(start(outcome="failed"), events, CONFIGURATION, NOW, latest=True)
    assert (opened.percent, opened.phases[1].state) == (25, "broken")


CODES = st.sampled_from([*views.SENTENCES, "something_new"])


@given(st.lists(st.tuples(CODES, st.integers(0, 100)), max_size=8), st.sampled_from([None, "failed", "stopped"]))
def test_phases_of_anything(codes, outcome):
    """Whatever comes in whatever order: five phases, done before now before next."""
    events = [event(code, number, progress) for number, (code, progress) in enumerate(codes)]
    states = [state for _, state, _ in row(events, outcome)]
    order = {"done": 0, "now": 1, "broken": 1, "next": 2}
    assert len(views.PHASES) == len(states)
    assert sorted(states, key=order.__getitem__) == states
    assert states.count("now") + states.count("broken") <= 1


@pytest.mark.parametrize(
    ("given_lab", "state", "word", "note"),
    [
        (lab(), "stopped", "not started yet", ""),
        (lab(of=start(outcome="stopped", ended=NOW, last=event("stopped", text="The lab was stopped."))),
         "stopped", "stopped", ""),
        (lab(of=start(outcome="ended", ended=NOW, last=event("ended", text="Time limit reached."))),
         "stopped", "ended", "Time limit reached."),
        (lab(of=start(outcome="failed", ended=NOW, last=event("failed", text="No such module."))),
         "failed", "failed", "No such module."),
        (lab("starting", start()), "starting", "submitted", ""),
        (lab("starting", start(last=event("queued", text="About 12 min."))), "starting", "queued", "About 12 min."),
        (lab("starting", start(last=event("queued"))), "starting", "queued", views.SENTENCES["queued"]),
        (lab("starting", start(last=event("waiting"))), "starting", "waiting", views.SENTENCES["waiting"]),
        (lab("running", start()), "running", "running", ""),
    ],
)  # fmt: skip
def test_card_states(given_lab, state, word, note):
    """State, word and sentence of a card."""
    card = views.card(given_lab, CONFIGURATION, NOW)
    assert (state, word, note) == (card.state, card.word, card.note)


def test_running_card_counts_down():
    """A lab with a time limit shows what is left."""
    card = views.card(lab("running", start(ends=NOW + timedelta(minutes=134))), CONFIGURATION, NOW)
    assert card.left is not None
    assert card.left.text == "2 h 14 min left"


def test_problem_only_matters_while_stopped():
    """Options that are no longer possible do not disturb a lab that runs with them."""
    assert views.card(lab(problem="gone"), CONFIGURATION, NOW).problem == "gone"
    assert views.card(lab("running", start(), problem="gone"), CONFIGURATION, NOW).problem == ""


def test_cards_are_sorted():
    """Running, in the making, stopped; within by last use, newest first."""
    old, new = start(created=NOW - timedelta(days=2)), start()
    labs = [
        lab("stopped", old, server="a"), lab("starting", new, server="b"), lab("stopped", new, server="c"),
        lab("running", old, server="d"), lab("running", new, server="e"),
    ]  # fmt: skip
    assert [card.server for card in views.cards(labs, CONFIGURATION, NOW)] == ["e", "d", "b", "c", "a"]


def test_history_of_a_failure_says_what_to_do():
    """What happened is the final event's sentence; the advice follows the phase in which it happened."""
    events = [event("submitted"), event("running", 2), event("failed", 3, 100, "Module missing.", "last lines")]
    opened = views.history(start(outcome="failed"), events, CONFIGURATION, NOW, latest=True)
    failure = opened.failure
    assert failure is not None
    assert (failure.what, failure.details, failure.support) == ("Module missing.", "last lines", "help@example.org")
    assert "output" in failure.advice


def test_history_names_senders():
    """The site's events carry the system's label."""
    events = [event("queued", sender="site"), event("lab_starting", sender="lab"), event("submitted")]
    opened = views.history(start(), events, CONFIGURATION, NOW, latest=True)
    assert [line.sender for line in opened.lines] == ["JUWELS", "Lab", "Portal"]


def test_past_starts():
    """Each earlier start with its outcome and how long it took."""
    (past,) = views.past_starts([start(outcome="ended", ended=NOW)], NOW)
    assert (past.created.text, past.word, past.took) == ("3 h ago", "ended", "3 h")
