# SPDX-License-Identifier: BSD-3-Clause
"""The form: what is still possible is kept, what is not is replaced and said, nothing typed is lost."""

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from jupyter_jsc.config.systems import Partition
from jupyter_jsc.hub import form
from jupyter_jsc.rights.options import OptionChoice, OptionTree, SystemChoice, validate

NODES = {"label": "Nodes", "minimum": 1, "maximum": 4, "default": 1}
RUNTIME = {"label": "Runtime", "minimum": 10, "maximum": 120, "default": 60, "step": 5, "unit": "min"}
BATCH = Partition.model_validate({"label": "Batch", "resources": {"nodes": NODES, "runtime": RUNTIME}})
SMALL = Partition.model_validate({"resources": {"nodes": NODES | {"maximum": 2}}})
LOGIN = Partition.model_validate({"label": "Login node", "kind": "interactive"})
OPTION = OptionChoice("JupyterLab 4.6", "", default=True)
OLD = OptionChoice("JupyterLab 4.5", "", default=False)
TREE = OptionTree({
    "juwels": SystemChoice(
        "JUWELS", "", 1, {"old": OLD, "new": OPTION},
        {"ann1": {"hai": ("login", "batch", "devel"), "climate": ("login",)}, "ann2": {"train": ("batch",)}},
        {"login": LOGIN, "batch": BATCH, "devel": SMALL},
    ),
    "jureca": SystemChoice("JURECA", "", 2, {"new": OPTION}, {"ann1": {"hai": ("batch",)}}, {"batch": SMALL}),
})  # fmt: skip
CHOSEN = {
    "system": "juwels",
    "option": "new",
    "account": "ann1",
    "project": "hai",
    "partition": "batch",
    "resources": {"nodes": 2, "runtime": 30},
}


def test_complete_keeps_what_is_possible():
    """Options that are possible come back unchanged and without a word."""
    done = form.complete(CHOSEN, TREE)
    assert done.options == CHOSEN
    assert done.changes == ()


def test_complete_of_nothing_chooses_without_a_word():
    """An empty form gets the first system, the default option and the first partition."""
    done = form.complete({}, TREE)
    assert tuple(done.options[key] for key in ("system", "option", "project", "partition", "resources")) == (
        "juwels",
        "new",
        "hai",
        "login",
        {},
    )
    assert done.changes == ()


@pytest.mark.parametrize(
    ("change", "field", "now"),
    [
        ({"system": "nope"}, "system", "juwels"),
        ({"system": "jureca", "option": "old"}, "option", "new"),
        ({"account": "root"}, "account", "ann1"),
        ({"project": "other"}, "project", "hai"),
        ({"project": "climate"}, "partition", "login"),
        ({"system": "jureca", "partition": "devel", "resources": {}}, "partition", "batch"),
    ],
)
def test_complete_says_what_it_changed(change, field, now):
    """What is not possible is replaced, with one sentence at its field."""
    done = form.complete(CHOSEN | change, TREE)
    assert now == done.options[field]
    (said,) = [item for item in done.changes if item.field == field]
    assert said.instead.startswith(f"{field.capitalize()} is now ")


@pytest.mark.parametrize(
    ("value", "now"), [(9, 4), (0, 1), (-3, 1), ("many", 1), ("", 1), (True, 1), (2.5, 1), ([], 1), (3, 3)]
)
def test_complete_fits_numbers(value, now):
    """A number outside its limits becomes the nearest inside; what is no number becomes the default."""
    done = form.complete(CHOSEN | {"resources": {"nodes": value}}, TREE)
    assert now == done.options["resources"]["nodes"]
    assert (["resources.nodes"] if value != now or value is True else []) == [item.field for item in done.changes]


def test_project_finds_its_account():
    """A project that another account has brings that account with it."""
    done = form.complete({"system": "juwels", "project": "train"}, TREE)
    assert (done.options["account"], done.options["project"], done.changes) == ("ann2", "train", ())


KEYS = st.sampled_from(
    ["juwels", "jureca", "new", "old", "ann1", "ann2", "hai", "climate", "batch", "devel", "login", ""]
)
ANYTHING = st.one_of(KEYS, st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
RAW = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("system", "option", "account", "project", "partition"), ANYTHING),
        "resources": st.one_of(ANYTHING, st.dictionaries(st.sampled_from(["nodes", "runtime", "x"]), ANYTHING)),
    },
)


@given(RAW)
def test_complete_is_always_valid(raw):
    """Whatever is typed, the completed options are accepted, and completing them again changes nothing."""
    done = form.complete(raw, TREE)
    assert done.options == validate(done.options, TREE).model_dump(mode="json")
    assert form.Completed(done.options, ()) == form.complete(done.options, TREE)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 9), st.integers())
def test_fitting_numbers_are_accepted(low, more, default, step, value):
    """Every resource has a fitting number, also where the configured default is not on a step."""
    resource = {"label": "N", "minimum": low, "maximum": low + more, "default": low + min(default, more), "step": step}
    try:
        partition = Partition.model_validate({"resources": {"nodes": resource}})
    except ValidationError:
        reject()
    tree = OptionTree({
        "s": SystemChoice("S", "", 0, {"new": OPTION}, {"a": {"p": ("batch",)}}, {"batch": partition})
    })  # fmt: skip
    for given_value in (value, None):
        done = form.complete({"resources": {"nodes": given_value}}, tree)
        assert done.options == validate(done.options, tree).model_dump(mode="json")


def test_read_takes_numbers_and_keeps_other_text():
    """Digits become numbers; everything else stays as it was typed."""
    typed = form.read({"title": "  a   b ", "system": "juwels", "resources.nodes": " 2 ", "resources.x": "1e3"})
    assert typed.title == "a b"
    assert typed.options == {"system": "juwels", "resources": {"nodes": 2, "x": "1e3"}}


def test_number_typed_for_the_partition_shown_stays():
    """A mistake in a number is said at its field, and the number stays as typed."""
    options = CHOSEN | {"resources": {"nodes": 99, "runtime": 30}}
    shown = form.build(form.Typed("t", "", "juwels/batch", options), TREE, [])
    field = next(item for item in shown.fields if item.name == "resources.nodes")
    assert (field.value, field.mistake) == (99, "Nodes: 1 to 4, not “99”.")
    assert shown.summary == ""


def test_number_typed_for_another_partition_is_fitted():
    """When the partition changes, its numbers follow, and one sentence says so."""
    options = CHOSEN | {"partition": "devel", "resources": {"nodes": 4, "runtime": 30}}
    shown = form.build(form.Typed("t", "", "juwels/batch", options), TREE, [])
    assert shown.changes == ("Nodes is now 2: devel allows 1 to 2.",)
    assert shown.summary == "JupyterLab 4.6 on JUWELS, devel: 2 nodes. Project hai, account ann1."


def test_submitted_form_reports_every_mistake():
    """On Start every impossible value is named, in the order of the form."""
    options = CHOSEN | {"system": "gone", "resources": {"nodes": "", "runtime": 7}}
    shown = form.build(form.Typed("", "", "juwels/batch", options), TREE, [], submitted=True)
    assert [item.field for item in shown.mistakes] == ["title", "system", "resources.nodes", "resources.runtime"]
    assert [item.mistake for item in shown.mistakes][::2] == ["Give the lab a name.", "Nodes: 1 to 4."]


def test_account_and_project_are_hidden_when_there_is_one():
    """One account or project is no question."""
    kinds = {field.name: field.kind for field in form.build(form.Typed(options={"system": "jureca"}), TREE, []).fields}
    assert (kinds["account"], kinds["project"]) == ("hidden", "hidden")


def test_closed_partition_is_shown_with_its_reason():
    """A partition that only another project opens is there, but cannot be chosen."""
    shown = form.build(form.Typed(options={"system": "juwels", "project": "climate"}), TREE, [])
    partition = next(field for field in shown.fields if field.name == "partition")
    assert {choice.value: choice.reason for choice in partition.choices} == {
        "login": "",
        "batch": "not with project climate",
        "devel": "not with project climate",
    }


@pytest.mark.parametrize(
    ("title", "suggested", "now"),
    [("", "", "JUWELS Batch 2"), ("JUWELS Login node", "JUWELS Login node", "JUWELS Batch 2"), ("mine", "x", "mine")],
)
def test_title_is_suggested_until_it_is_typed(title, suggested, now):
    """The suggestion follows the choices, avoids other labs' titles, and never replaces the user's own."""
    assert now == form.build(form.Typed(title, suggested, "", CHOSEN), TREE, ["JUWELS Batch"]).title


def test_with_mistake_marks_the_field():
    """A mistake that only the server found stands at the top and at its field."""
    shown = form.with_mistake(form.build(form.Typed(options=CHOSEN), TREE, []), "option", "no")
    assert [item.mistake for item in shown.mistakes] == ["no"]
    assert [field.mistake for field in shown.fields if field.name == "option"] == ["no"]
