# SPDX-License-Identifier: BSD-3-Clause
"""Words on pages: languages, resources, facts."""

import pytest

from jupyter_jsc.config.base import Text
from jupyter_jsc.hub import words
from tests.hub.offer import CONFIGURATION

OPTIONS = {
    "system": "juwels",
    "option": "new",
    "account": "ann1",
    "project": "hai",
    "partition": "batch",
    "reservation": "course",
    "resources": {"nodes": 2, "gpus": 4, "runtime": 90, "scratch": 1},
}


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        (Text(en="yes", de="ja"), "de", words.Said("ja", "de")),
        (Text(en="yes", de="ja"), "en", words.Said("yes")),
        (Text(en="yes"), "de", words.Said("yes")),
        (Text(en="Git", de="Git"), "de", words.Said("Git")),
        (Text(en=""), "de", words.NOTHING),
    ],
)
def test_said_names_the_language_where_it_is_not_the_pages(text, language, said):
    """The centre's words in the request's language, marked where that is another than the page's."""
    assert said == words.said(text, language)


@pytest.mark.parametrize(
    ("names", "row"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_listed_cuts_long_rows(names, row):
    assert row == words.listed(names, 3)


def test_facts_use_labels_and_survive_what_is_gone():
    """Labels where the configuration has them, else the keys."""
    assert words.facts(OPTIONS, CONFIGURATION, "en") == (
        "JUWELS",
        "Batch",
        "reservation course",
        "2 nodes, 4 GPUs per node, Local disk, 1 h 30 min",
        "JupyterLab 4.6",
        "project hai",
    )
    assert words.facts({"system": "gone", "partition": "p", "resources": {"x": 1}}, CONFIGURATION, "en") == (
        "gone",
        "p",
        "x 1",
    )
    assert words.facts({"resources": "nonsense"}, CONFIGURATION, "en") == ()


CLOUD = {"system": "cloud", "option": "new", "partition": "large", "resources": {"cpus": 1, "memory": 4, "home": 20}}


@pytest.mark.parametrize(("image", "named"), [("minimal", ["Minimal"]), ("gone", ["gone"]), (None, [])])
def test_facts_of_a_lab_in_a_cluster(image, named):
    """Cores, memory and home by number and unit, and the image where there are several."""
    facts = words.facts(CLOUD | {"image": image}, CONFIGURATION, "en")
    assert facts == ("Cloud", "Large", "1 core, 4 GB, 20 GB home", "JupyterLab 4.6", *named)


def test_resources_say_boxes_by_their_labels():
    """A number behind a box is told by what the box switches on; limits in a label belong to the form alone."""
    known = CONFIGURATION.systems["juwels"].partitions["login"].resources
    assert words.resources({"card": 2}, known, "de") == "X-Server starten (Graphics card 2)"
    plain = {"card": known["card"].model_copy(update={"checkbox": None, "unit": "GB"})}
    assert words.resources({"card": 2}, plain, "en") == "Graphics card 2 GB"
