# SPDX-License-Identifier: BSD-3-Clause
"""View models: states, phases, words and times as the templates print them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.base import Text
from jupyter_jsc.hub import views
from jupyter_jsc.hub.labs import Lab
from jupyter_jsc.hub.records import Event, Start
from jupyter_jsc.hub.sentences import SENTENCES, Told
from jupyter_jsc.hub.words import NOTHING, Said
from jupyter_jsc.rights.tree import OptionTree
from tests.hub.offer import CONFIGURATION, NOW
from tests.hub.test_completion import TREE

OPTIONS = {
    "system": "juwels",
    "option": "new",
    "account": "ann1",
    "project": "hai",
    "partition": "devel",
    "reservation": None,
    "resources": {"nodes": 1, "runtime": 90},
    "software": {},
}
VIEW = views.View(NOW, "en", CONFIGURATION)
GERMAN = replace(VIEW, language="de")


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


@pytest.mark.parametrize("outcome", ["cancelled", "stopped", "ended"])
def test_phases_of_a_start_that_was_ended_are_no_failure(outcome):
    """Nothing went wrong where the user cancelled."""
    events = [event("submitted"), event("queued", 1), event(outcome, 11, 100)]
    assert row(events, outcome)[1] == ("queued", "stopped", "10 s")


@pytest.mark.parametrize("code", ["lab_step", "lab_step_done", "lab_step_warning", "lab_step_failed"])
def test_preparation_belongs_to_starting(code):
    """Hooks and software come before the server."""
    assert row([event("queued"), event(code, 5, 90)])[2][:2] == ("starting", "now")


def test_late_word_after_the_end_is_no_progress():
    """A site's message that crosses the end of a start moves neither phase nor percent."""
    events = [event("queued", 1, 25), event("failed", 11, 100), event("running", 12, 100)]
    opened = views.history(start(outcome="failed"), events, VIEW, latest=True)
    assert (opened.percent, opened.phases[1].state) == (25, "broken")


CODES = st.sampled_from([*SENTENCES, "something_new"])


@given(st.lists(st.tuples(CODES, st.integers(0, 100)), max_size=8), st.sampled_from([None, "failed", "stopped"]))
def test_phases_of_anything(codes, outcome):
    """Whatever comes in whatever order: five phases, done before now before next."""
    events = [event(code, number, progress) for number, (code, progress) in enumerate(codes)]
    states = [state for _, state, _ in row(events, outcome)]
    order = {"done": 0, "now": 1, "broken": 1, "stopped": 1, "next": 2}
    assert len(views.PHASES) == len(states)
    assert sorted(states, key=order.__getitem__) == states
    assert sum(states.count(state) for state in ("now", "broken", "stopped")) <= 1


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
        (lab("starting", start(last=event("queued"))), "starting", "queued", "Queued on JUWELS."),
        (lab("starting", start(last=event("waiting"))), "starting", "waiting", SENTENCES["waiting"].en),
        (lab("running", start()), "running", "running", ""),
    ],
)  # fmt: skip
def test_card_states(given_lab, state, word, note):
    """State, word and sentence of a card."""
    card = views.card(given_lab, VIEW, TREE)
    assert (state, word, note) == (card.state, card.word, card.note.text.text)


def test_running_card_counts_down():
    """A lab with a time limit shows what is left."""
    card = views.card(lab("running", start(ends=NOW + timedelta(minutes=134))), VIEW, TREE)
    assert card.left is not None
    assert card.left.text == "2 h 14 min left"


def test_a_problem_only_matters_while_stopped():
    """Options that are no longer possible, or blocked, do not disturb a lab that runs with them."""
    blocked = Text(en="Full.", de="Voll.")
    assert views.card(lab(problem="gone"), VIEW, OptionTree({})).problem == "gone"
    assert views.card(lab(blocked=blocked), GERMAN, TREE).blocked == Said("Voll.", "de")
    running = views.card(lab("running", start(), problem="gone", blocked=blocked), VIEW, TREE)
    assert (running.problem, running.blocked) == ("", NOTHING)


def test_a_problem_is_said_in_the_words_of_the_form():
    """What the form would change is the reason; where it finds nothing, the check's own words."""
    gone = replace(lab(problem="system: 'x' is not possible."), options=OPTIONS | {"partition": "booster"})
    assert views.card(gone, VIEW, TREE).problem == "Partition: “booster” is not there for you on JUWELS."
    assert views.card(lab(problem="software: odd"), VIEW, TREE).problem == "software: odd"


def test_a_running_lab_shows_what_it_was_started_with():
    """Facts and texts of a start come from its own version of the configuration, those of a stopped lab from now's."""
    juwels = CONFIGURATION.systems["juwels"].model_copy(update={"label": "OLD"})
    old = CONFIGURATION.model_copy(update={"systems": dict(CONFIGURATION.systems) | {"juwels": juwels}})
    view = replace(VIEW, versions={"v1": old})
    begun = start(configuration="v1", last=event("submitted"))
    assert views.card(lab("running", begun), view, TREE).facts[0] == "OLD"
    assert views.card(lab("stopped", begun), view, TREE).facts[0] == "JUWELS"
    assert "OLD" in views.card(lab("starting", begun), replace(view, language="de"), TREE).note.text.text


def test_the_centres_own_words_of_an_event():
    """Its words with the lab's names in them, in the user's language, and its progress."""
    card = views.card(lab("starting", start(last=event("submitted", progress=1, text="Sent."))), GERMAN, TREE)
    assert card.note == Told(Said("JupyterLab 4.6 geht an JUWELS (devel, hai).", "de"))
    assert card.percent == 7
    opened = views.history(start(), [event("submitted", progress=1, text="Sent.")], VIEW, latest=True)
    assert (opened.lines[0].text, opened.percent) == (Told(Said("Sent.")), 7)
    opened = views.history(start(options={}), [event("submitted")], GERMAN, latest=True)
    assert opened.lines[0].text.text.text == " geht an  (, )."


def test_steps_of_the_preparation_take_a_line_each():
    """How a step ended says what it was; the one that runs is there; one that failed is marked, with its last lines."""
    codes = ["lab_step", "lab_step_done", "lab_step", "lab_step_warning", "lab_step"]
    events = [replace(event(code, details="x"), id=number) for number, code in enumerate(codes)]
    opened = views.history(start(), events, VIEW, latest=True)
    assert [(line.id, line.details, line.warning) for line in opened.lines] == [
        (1, "", False),
        (3, "x", True),
        (4, "", False),
    ]


def test_a_step_that_failed_is_named_by_the_one_that_ran():
    """Its event carries last lines, so the beginning before it says which step it was; each failure its own."""
    codes = [("lab_step", "setup"), ("lab_step_done", "setup"), ("lab_step", "software.kernels.julia"),
             ("lab_step_warning", "last lines"), ("lab_step", "user_hook"), ("lab_step_failed", "")]  # fmt: skip
    events = [
        replace(event(code, text="0.3 s" if code == "lab_step_done" else "English", details=details), id=number)
        for number, (code, details) in enumerate(codes)
    ]
    opened = views.history(start(), events, GERMAN, latest=True)
    assert [(str(line.text.text), str(line.text.more), line.details) for line in opened.lines] == [
        ("JupyterLab 4.6 wird eingerichtet: fertig", "0.3 s", ""),
        ("Julia wird geladen: gescheitert; das Lab startet ohne diesen Schritt", "", "English\nlast lines"),
        ("Ihr ~/.jupyter/start_lab.sh wird ausgeführt: gescheitert, und damit der Start", "", "English"),
    ]


def test_cards_are_sorted():
    """Running, in the making, stopped; within by last use, newest first."""
    old, new = start(created=NOW - timedelta(days=2)), start()
    labs = [
        lab("stopped", old, server="a"), lab("starting", new, server="b"), lab("stopped", new, server="c"),
        lab("running", old, server="d"), lab("running", new, server="e"),
    ]  # fmt: skip
    assert [card.server for card in views.cards(labs, VIEW, TREE)] == ["e", "d", "b", "c", "a"]


def test_history_of_a_failure_says_what_to_do():
    """What happened is the final event's sentence; the advice follows the phase in which it happened."""
    events = [event("submitted"), event("running", 2), event("failed", 3, 100, "Module missing.", "last lines")]
    opened = views.history(start(outcome="failed"), events, VIEW, latest=True)
    failure = opened.failure
    assert failure is not None
    assert (failure.what.text.text, failure.details, failure.support) == (
        "Module missing.",
        "last lines",
        "support@example.org",
    )
    assert "output" in failure.advice


def test_history_names_senders():
    """The site's events carry the system's label."""
    events = [event("queued", sender="site"), event("lab_starting", sender="lab"), event("submitted")]
    opened = views.history(start(), events, VIEW, latest=True)
    assert [line.sender for line in opened.lines] == ["JUWELS", "Lab", "Portal"]


def test_past_starts():
    """Each earlier start with its outcome and how long it took."""
    (past,) = views.past_starts([start(outcome="ended", ended=NOW)], NOW)
    assert (past.created.text, past.word, past.took) == ("3 h ago", "ended", "3 h")
