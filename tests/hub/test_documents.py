# SPDX-License-Identifier: BSD-3-Clause
"""Trees as JSON, and the language that a client wants."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.base import LANGUAGES, Text
from jupyter_jsc.config.systems import PartitionKind, Resource
from jupyter_jsc.hub.documents import document, language_of
from jupyter_jsc.rights.tree import OptionTree, Place


def test_parts_become_json_in_one_language():
    """Texts in the language, or in English where there is no other; models, dataclasses, enumerations, tuples."""
    tree = OptionTree({}, ("all",), Text(en="Full.", de="Voll."))
    value = {"tree": tree, "place": Place(("r1",)), "kind": PartitionKind.BATCH, "free": [Text(en="Only English")]}
    resource = Resource(label=Text(en="Nodes", de="Knoten"), minimum=1, maximum=2, default=1)

    assert {
        "tree": {"systems": {}, "groups": ["all"], "blocked": "Voll."},
        "place": {"reservations": ["r1"], "reservation_required": False},
        "kind": "batch",
        "free": ["Only English"],
    } == json.loads(json.dumps(document(value, "de")))
    assert ("Nodes", "Knoten") == tuple(document(resource, language)["label"] for language in LANGUAGES)


@pytest.mark.parametrize(
    ("wanted", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "en-GB,en;q=0.9,de;q=0.8", "en"),
        ("", "fr,de;q=0.5", "de"),
        ("", "en;q=0.1,de;q=0.2", "de"),
        ("", "de;q=0,en;q=0.1", "en"),
        ("", "de;q=0", "en"),
        ("", "de;q=many", "en"),
        ("", "fr,*", "en"),
        ("en", "de", "en"),
        ("de", "en", "de"),
        ("fr", "de", "de"),
    ],
)
def test_the_language_is_what_was_asked_for(wanted, accepted, expected):
    """First what is said outright, then the browser's ranking, then English."""
    assert expected == language_of(wanted, accepted)


@given(st.text(), st.text())
def test_any_header_gives_a_language(wanted, accepted):
    """Never an error."""
    assert language_of(wanted, accepted) in LANGUAGES
