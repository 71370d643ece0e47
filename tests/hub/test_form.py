# SPDX-License-Identifier: BSD-3-Clause
"""The form: nothing typed is lost, mistakes are said, the summary is true, what is blocked can be saved."""

from dataclasses import replace

import pytest

from jupyter_jsc.hub import form
from jupyter_jsc.hub.completion import Shown
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.options import options_for
from tests.hub.offer import CONFIGURATION, NOW
from tests.hub.test_completion import CHOSEN, CLOUD, TREE

ASKED = form.Asked(TREE, [], NOW, reservations=CONFIGURATION.reservations)
PLAIN = CHOSEN | {"reservation": None, "software": {"kernels": ["python"], "git": []}}


def built(options, *, place="juwels/batch", title="t", suggested="", asked=ASKED, shown=None, **more):
    """The form for what was typed."""
    return form.build(form.Typed(title, suggested, place, options, shown), asked, **more)


def test_read_takes_numbers_and_keeps_other_text():
    """Digits become numbers; everything else stays as it was typed; the last of several values counts."""
    typed = form.read({
        "title": ["  a   b "], "system": ["x", "juwels"], "resources.nodes": [" 2 "], "resources.x": ["1e3"], "none": []
    })  # fmt: skip
    assert typed.title == "a b"
    assert typed.options == {"system": "juwels", "resources": {"nodes": 2, "x": "1e3"}, "software": {}}
    assert typed.shown == Shown({"nodes", "x"}, {})


def test_read_takes_boxes_and_software():
    """A box that is off has no number; one that is new has none yet; of software every value counts."""
    typed = form.read({
        "box.a": ["1"], "resources.a": ["1"],
        "box.b": ["1"], "on.b": ["1"], "resources.b": ["3"],
        "box.c": ["1"], "on.c": ["1"],
        "offered.kernels": ["python jax "], "software.kernels": ["jax", "python"],
        "offered.git": ["git"],
    })  # fmt: skip
    assert typed.options == {"resources": {"b": 3, "c": None}, "software": {"kernels": ["jax", "python"], "git": []}}
    assert typed.shown == Shown({"a", "b", "c"}, {"kernels": ["python", "jax"], "git": ["git"]})


def test_a_number_typed_for_the_partition_shown_stays():
    """A mistake in a number is said at its field, and the number stays as typed."""
    shown = built(PLAIN | {"resources": {"nodes": 99, "runtime": 30}})
    field = next(item for item in shown.fields if item.name == "resources.nodes")
    assert (field.value, field.mistake) == (99, "Nodes: 1 to 4, not “99”.")
    assert shown.summary == ""


def test_a_number_typed_for_another_partition_is_fitted():
    """When the partition changes, its numbers follow, and one sentence says so."""
    shown = built(PLAIN | {"partition": "devel", "resources": {"nodes": 4, "runtime": 30}})
    assert shown.changes == ("Nodes is now 2: devel allows 1 to 2.",)
    assert shown.summary == ("JupyterLab 4.6 on JUWELS, devel: 2 nodes. With 1 kernel. Project hai, account ann1.")


def test_a_submitted_form_reports_every_mistake():
    """On Start every impossible value is named, in the order of the form."""
    options = PLAIN | {"system": "gone", "reservation": "gone", "resources": {"nodes": "", "runtime": 7}}
    shown = built(options, title="", submitted=True)
    assert [item.field for item in shown.mistakes] == [
        "title",
        "system",
        "reservation",
        "resources.nodes",
        "resources.runtime",
    ]
    assert [item.mistake for item in shown.mistakes][::3] == ["Give the lab a name.", "Nodes: 1 to 4."]


@pytest.mark.parametrize(
    ("options", "summary"),
    [
        (CHOSEN, "JupyterLab 4.6 on JUWELS, Batch, in reservation course: 2 nodes for 30 min. With 2 kernels. "
         "Project hai, account ann1."),
        (PLAIN | {"resources": {"nodes": 1, "runtime": 60, "scratch": 1}, "software": {"kernels": [], "git": []}},
         "JupyterLab 4.6 on JUWELS, Batch: 1 node, Local disk for 1 h. No extra software. Project hai, account ann1."),
        (PLAIN | {"partition": "login", "resources": {"card": 2}, "software": {"kernels": ["python"], "git": ["git"]}},
         "JupyterLab 4.6 on JUWELS, Login node: Start an X server (Graphics card 2). Starts at once, without a queue. "
         "With 1 kernel and 1 extension. Project hai, account ann1."),
        (CLOUD | {"resources": {}, "software": {"kernels": ["python"], "git": []}},
         "JupyterLab 4.6 on Cloud, small, image Data science. Starts at once, without a queue. With 1 kernel."),
        ({"system": "cloud", "partition": "large", "image": "minimal"},
         "JupyterLab 4.6 on Cloud, Large: 2 cores, 8 GB, 10 GB home for 8 h, image Minimal. "
         "Starts at once, without a queue. With 1 kernel and 1 extension."),
    ],
    ids=["reservation", "box", "login", "cloud", "cloud with resources"],
)  # fmt: skip
def test_the_summary_says_what_will_start(options, summary):
    """Reservation, boxes, software: everything that matters stands in it."""
    assert summary == built(options).summary


def test_what_is_blocked_can_be_saved():
    """A reservation that has not begun and a system in maintenance are no mistakes, but a reason not to start now."""
    shown = built(CHOSEN | {"reservation": "later"}, submitted=True)
    assert shown.mistakes == ()
    assert shown.options["reservation"] == "later"
    assert "The reservation later begins at 2029-01-01" in shown.blocked.text
    german = built(
        {"system": "jureca", "account": "ann1", "project": "hai", "partition": "login"},
        asked=replace(ASKED, language="de"),
    )
    assert german.blocked == form.Said("JURECA wird gewartet. Neue Platten.", "de")
    assert built(PLAIN).blocked == form.Said()


def test_a_change_of_the_only_account_is_no_news():
    """Who has one account need not read its name."""
    tree = options_for(Identity("alice", (Account("me", "juwels", "hai"),)), CONFIGURATION, Facts(now=NOW))
    assert built(PLAIN, asked=replace(ASKED, tree=tree)).changes == ()
    assert built(PLAIN | {"account": "root"}).changes != ()


@pytest.mark.parametrize(
    ("title", "suggested", "now"),
    [("", "", "JUWELS Batch 2"), ("JUWELS Login node", "JUWELS Login node", "JUWELS Batch 2"), ("mine", "x", "mine")],
)
def test_a_title_is_suggested_until_it_is_typed(title, suggested, now):
    """The suggestion follows the choices, avoids other labs' titles, and never replaces the user's own."""
    asked = replace(ASKED, taken=["JUWELS Batch"])
    assert now == built(PLAIN, title=title, suggested=suggested, place="", asked=asked).title


def test_with_mistake_marks_the_field():
    """A mistake that only the server found stands at the top and at its field."""
    shown = form.with_mistake(built(PLAIN), "option", "no")
    assert [item.mistake for item in shown.mistakes] == ["no"]
    assert [field.mistake for field in shown.fields if field.name == "option"] == ["no"]


def test_what_was_typed_comes_back_as_it_was():
    """The form of a completed form is the same form."""
    first = built(PLAIN)
    again = form.build(form.Typed(first.title, first.suggested, first.place, first.options), ASKED)
    assert first == again
