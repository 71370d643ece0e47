# SPDX-License-Identifier: BSD-3-Clause
"""The form's fields: which are asked, what can be chosen, what cannot with what is chosen above it, and why."""

import pytest

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.completion import complete
from jupyter_jsc.hub.fields import Maker
from jupyter_jsc.hub.words import Said
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.options import options_for
from tests.hub.offer import CONFIGURATION, NOW, tree
from tests.hub.test_completion import ACCOUNTS, CHOSEN, CLOUD, TREE

ONE = options_for(Identity("alice", (Account("ann1", "juwels", "hai"),)), CONFIGURATION, Facts(now=NOW))


def fields(raw, tree=TREE, language="en", numbers=(), kept=()):
    """The fields by name."""
    maker = Maker(complete(raw, tree).options, tree, language, CONFIGURATION.reservations, NOW)
    return {field.name: field for field in maker.fields(dict(kept), dict(numbers))}


def reasons(field):
    return {choice.value: choice.reason for choice in field.choices}


def test_order():
    """Where, what, who pays, which partition and reservation, how much, with which software."""
    assert list(fields(CHOSEN)) == [
        "system", "option", "account", "project", "partition", "reservation",
        "resources.nodes", "resources.runtime", "resources.scratch", "software.kernels", "software.git",
    ]  # fmt: skip


def test_one_account_is_no_question():
    """Account and project are hidden where there is but one."""
    found = fields(CHOSEN, ONE)
    assert (found["account"].kind, found["account"].value, found["project"].kind) == ("hidden", "ann1", "hidden")


def test_a_cluster_asks_for_no_account():
    """A system without accounts has neither field; those that were chosen before are kept unseen."""
    assert "account" not in fields(CLOUD)
    kept = fields(CLOUD, kept={"account": "ann2", "project": "train", "other": 1})
    assert [(kept[name].kind, kept[name].value) for name in ("account", "project")] == [
        ("hidden", "ann2"),
        ("hidden", "train"),
    ]


def test_images_are_asked_for_in_a_cluster():
    """With what is in them, before the numbers; elsewhere there are none."""
    found = fields({"system": "cloud", "option": "new", "partition": "large", "image": "minimal"}, language="de")
    assert list(found)[:8] == [
        "system", "option", "partition", "image",
        "resources.cpus", "resources.memory", "resources.home", "resources.runtime",
    ]  # fmt: skip
    image = found["image"]
    assert (image.kind, image.value, [choice.label for choice in image.choices]) == (
        "choice",
        "minimal",
        ["Data science", "Minimal"],
    )
    assert image.choices[0].description == Said("Viel.", "de")
    assert (found["resources.memory"].value, found["resources.memory"].resource.unit) == (8, "GB")
    assert "image" not in fields(CHOSEN)


def test_one_image_is_no_question():
    """It is hidden, like an only account."""
    raw = tree()
    del raw["options"]["new"]["container"]["images"]["minimal"]
    only = options_for(Identity("alice"), Configuration.model_validate(raw), Facts(now=NOW))
    image = fields({"system": "cloud"}, only)["image"]
    assert (image.kind, image.value) == ("hidden", "science")


def test_options_of_other_systems_say_so():
    """An option that the user may have elsewhere is there, with the reason."""
    assert reasons(fields(CHOSEN | {"system": "jureca"})["option"]) == {
        "new": "",
        "old": "Not there on JURECA.",
        "desktop": "Not there on JURECA.",
    }


def test_projects_of_other_accounts_say_so():
    """A project that another account has names that account."""
    assert reasons(fields(CHOSEN)["project"]) == {"hai": "", "climate": "", "train": "Only with account ann2."}


def test_partitions_say_what_closes_them():
    """By the project, or by the option."""
    tree = options_for(Identity("alice", (*ACCOUNTS, Account("ann1", "login", "sea"))), CONFIGURATION, Facts(now=NOW))
    closed = reasons(fields({"system": "juwels", "project": "sea"}, tree)["partition"])
    assert closed["batch"] == "Not open to project sea with account ann1."
    assert reasons(fields(CHOSEN | {"option": "desktop"})["partition"])["devel"] == "Not there with Desktop."


def test_reservations():
    """None comes first; each has description, end and reason; one that has not begun is blocked and can be chosen."""
    none, course, later = fields(CHOSEN, language="de")["reservation"].choices
    assert (none.value, none.reason) == ("", "")
    assert (course.description, course.reason) == (Said("Für den Kurs.", "de"), "")
    assert course.ends is not None
    assert course.ends.text == "2030-01-01 12:00 UTC"
    assert "beginnt" in later.blocked.text
    assert reasons(fields(CHOSEN | {"partition": "devel"})["reservation"])["course"].startswith("Not in devel")
    assert "reservation" not in fields({"system": "jureca"})


def test_a_required_reservation_offers_no_none():
    """Where one must be chosen, it is chosen."""
    options = {"new": {"allowed": {"systems": ["juwels"], "reservations": ["c*"]}}}
    course = CONFIGURATION.groups["friends"].model_validate(
        {"label": "C", "members": [{"users": ["c"]}], "exclusive": True, "options": options}
    )
    groups = CONFIGURATION.model_copy(update={"groups": {"course": course}})
    tree = options_for(Identity("c", (Account("a", "juwels", "hai"),)), groups, Facts(now=NOW))
    field = fields({}, tree)["reservation"]
    assert (field.value, [choice.value for choice in field.choices if not choice.reason]) == ("course", ["course"])


def test_the_centres_words_are_in_the_users_language():
    """Descriptions, notices, what blocks, deprecation."""
    found = fields(CHOSEN, language="de")
    juwels, jureca, _ = found["system"].choices
    assert juwels.description == Said("Für alles.", "de")
    assert jureca.blocked == Said("JURECA wird gewartet. Neue Platten.", "de")
    assert found["option"].choices[1].deprecated == Said("Endet im Juni.", "de")
    assert found["resources.nodes"].label == Said("Knoten", "de")
    assert found["software.kernels"].items[1].description == Said("Schnell.", "de")


@pytest.mark.parametrize(
    ("raw", "name", "on", "alone", "value"),
    [
        (CHOSEN | {"partition": "login", "resources": {}}, "resources.card", False, False, 1),
        (CHOSEN | {"partition": "login", "resources": {"card": 3}}, "resources.card", True, False, 3),
        (CHOSEN, "resources.scratch", False, True, 1),
    ],
    ids=["off", "on", "alone"],
)
def test_boxes(raw, name, on, alone, value):
    """A box stands in front of its number; where there is but one number, it stands alone."""
    field = fields(raw)[name]
    assert field.box is not None
    assert (field.box.on, field.box.alone, field.value) == (on, alone, value)


def test_numbers_have_limits_and_stay_as_typed():
    """What was typed is shown, also where it is no number."""
    field = fields(CHOSEN, numbers={"runtime": "soon"})["resources.runtime"]
    assert (field.value, field.hint) == ("soon", "10 to 120 min in steps of 5")
    assert fields({"partition": "login"})["resources.card"].label == Said("Graphics card (0 to 3)")
    assert fields({"partition": "login"})["resources.card"].hint == ""


def test_software_shows_what_is_offered_and_on():
    """Only what can be used here; the line says what is on."""
    field = fields(CHOSEN)["software.kernels"]
    assert [(item.value, item.on) for item in field.items] == [("python", False), ("julia", True), ("jax", True)]
    assert field.summary == "Julia, JAX"
    assert field.items[0].documentation == "https://docs.example.org/python"
    assert fields(CHOSEN)["software.git"].summary == "none"
    assert [item.value for item in fields(CHOSEN | {"option": "old"})["software.kernels"].items] == ["python", "jax"]
