# SPDX-License-Identifier: BSD-3-Clause
"""The form's page: completes, refuses, saves and starts; what is blocked can be saved."""

import html
import re

import pytest

from jupyter_jsc.hub.frame import FRAGMENT
from tests.hub.visitor import BATCH

BLOCKED = BATCH | {"system": "jureca", "partition": "login", "place": "jureca/login"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": "nope"}, "is not open to you"),
        ({"project": "climate"}, "is not open to project climate"),
        ({"resources.nodes": "99"}, "Nodes: 1 to 4, not “99”."),
        ({"resources.runtime": "long"}, "not “long”"),
        ({"title": ""}, "Give the lab a name."),
        ({"title": "x" * 61}, "Name: 1 to 60 printable characters."),
    ],
)
async def test_mistakes_are_said_and_nothing_is_saved(alice, changes, said):
    """A form that is not possible comes back with status 400, the mistake and what was typed."""
    _, before = await alice.get("/home")
    answer, text = await alice.post("/labs/new", BATCH | {"title": "refused"} | changes)
    assert answer.status == 400
    assert said in html.unescape(text)
    for name in {"title", *changes} - {"system", "project"}:
        assert f'value="{({"title": "refused"} | changes)[name]}"' in text
    _, after = await alice.get("/home")
    assert before.count("data-lab=") == after.count("data-lab=")


async def test_update_completes_the_form_without_saving(alice):
    """The button for browsers without scripts, and the scripts' own request, only complete the choices."""
    answer, text = await alice.post("/labs/new", BATCH | {"action": "update", "system": "jureca"})
    assert answer.status == 200
    assert "<html" in text
    answer, text = await alice.post("/labs/new", BATCH | {"action": "update", "system": "jureca"}, **{FRAGMENT: "1"})
    assert answer.headers[FRAGMENT] == "1"
    assert "<html" not in text
    assert "Partition is now Login node" in text


async def test_mistakes_are_listed_on_start_and_then_while_they_last(alice):
    """Before Start a mistake is said at its field alone, so that the form does not move under the user's hands."""
    wrong = BATCH | {"action": "update", "resources.nodes": "99"}
    _, text = await alice.post("/labs/new", wrong)
    assert "Nodes: 1 to 4" in text
    assert 'id="mistakes"' not in text
    _, text = await alice.post("/labs/new", wrong | {"action": "start"})
    assert 'id="mistakes"' in text
    assert 'name="told"' in text
    _, text = await alice.post("/labs/new", wrong | {"told": "1"})
    assert 'id="mistakes"' in text
    _, text = await alice.post("/labs/new", BATCH | {"action": "update", "told": "1"})
    assert 'id="mistakes"' not in text


async def test_edit_changes_the_lab(alice):
    """The form of a stopped lab starts with its options, and saves over them."""
    server = await alice.made("to edit")
    _, text = await alice.get(f"/labs/{server}/edit")
    assert re.search(r'value="batch"[^>]* checked', text)
    answer, _ = await alice.post(f"/labs/{server}/edit", BATCH | {"title": "edited", "resources.nodes": "3"})
    assert answer.status == 303
    _, text = await alice.get(f"/labs/{server}")
    assert "3 nodes, Local disk, 1 h" in text
    assert "edited" in text


async def test_duplicate_takes_the_options_and_another_title(alice):
    """A copy is a new lab with the same options."""
    server = await alice.made("origin")
    _, text = await alice.get(f"/labs/new?like={server}")
    assert 'value="origin 2"' in text
    assert re.search(r'value="batch"[^>]* checked', text)


async def test_a_lab_called_new_has_its_own_page(alice):
    """The address of the form is no lab's address."""
    await alice.made("new")
    answer, _ = await alice.get("/labs/new-2")
    assert answer.status == 200


async def test_what_is_blocked_is_saved_but_not_started(alice):
    """Start is refused with the reason, which describes the button; nothing is saved by it, but Save saves."""
    _, before = await alice.get("/home")
    answer, text = await alice.post("/labs/new", BLOCKED | {"title": "waits", "action": "start"})
    assert answer.status == 409
    assert re.search(r'value="start" aria-disabled="true" aria-describedby="blocked"', text)
    assert text.count("JURECA is in maintenance. New disks.") >= 2
    assert 'role="alert"' in text
    _, after = await alice.get("/home")
    assert before.count("data-lab=") == after.count("data-lab=")
    answer, _ = await alice.post("/labs/new", BLOCKED | {"title": "waits"})
    assert answer.status == 303


async def test_boxes_reservation_and_software_are_saved(alice):
    """What was chosen stands in the form of the saved lab and on its card."""
    chosen = {
        "reservation": "course", "box.scratch": "1", "on.scratch": "1",
        "offered.kernels": "python julia jax", "software.kernels": "jax", "offered.git": "git",
    }  # fmt: skip
    server = await alice.made("chosen", **chosen)
    _, text = await alice.get(f"/labs/{server}/edit")
    assert 'value="course" id="reservation-course" aria-labelledby="reservation-course-label" ' in text
    assert re.search(r'value="course"[^>]* checked', text)
    assert re.search(r'name="on.scratch"[^>]* checked', text)
    ticked = re.findall(r'name="software\.\w+" value="(\w+)"[^>]* checked', text)
    assert ticked == ["jax"]
    assert 'rel="noopener"' in text
    _, text = await alice.get(f"/labs/{server}")
    assert "reservation course" in text
    assert "Local disk" in text


async def test_the_centres_words_are_in_the_users_language(alice):
    """Descriptions in German are marked as such; the page itself is English."""
    _, text = await alice.get("/labs/new", **{"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"})
    assert '<html lang="en">' in text
    assert '<span lang="de">Für alles.</span>' in text
    assert '<span lang="de">Endet im Juni.</span>' in text
    assert "What will start" in text


async def test_a_commit_changes_what_is_typed_only_where_it_must(alice, pages_hub):
    """The form is completed anew for the version in force; what had to change is said."""
    typed = BATCH | {"action": "update", "title": "Half written", "resources.nodes": "3"}

    def without_batch(tree):
        del tree["systems"]["juwels"]["partitions"]["batch"]
        tree["systems"]["juwels"]["account_keys"]["juwels"] = ["devel"]
        tree["reservations"] = {}

    await pages_hub.commit(without_batch)
    _, text = await alice.post("/labs/new", typed, **{FRAGMENT: "1"})
    said = html.unescape(text)
    assert "Partition is now Login node: “batch” is not there for you on JUWELS." in said
    assert 'value="Half written"' in text
    await pages_hub.commit(lambda tree: None)
    _, text = await alice.post("/labs/new", typed, **{FRAGMENT: "1"})
    assert "jsc-changes" not in text
