# SPDX-License-Identifier: BSD-3-Clause
"""Words on pages: languages, times, lengths of time, resources, facts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jupyter_jsc.config.base import Text
from jupyter_jsc.hub import words
from tests.hub.offer import CONFIGURATION, NOW

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
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (95, "1 min 35 s"), (600, "10 min"), (3599, "59 min"), (3600, "1 h"),
     (8040, "2 h 14 min"), (86400, "1 d"), (93600, "1 d 2 h"), (-5, "0 s")],
)  # fmt: skip
def test_duration(seconds, said):
    assert said == words.duration(seconds)


@pytest.mark.parametrize(
    ("before", "said"),
    [({"seconds": 3}, "just now"), ({"seconds": 40}, "40 s ago"), ({"minutes": 12}, "12 min ago"),
     ({"hours": 5}, "5 h ago"), ({"hours": 30}, "yesterday"), ({"days": 3}, "3 days ago"),
     ({"days": 40}, "on 14 Oct 2026"), ({"seconds": -5}, "just now")],
)  # fmt: skip
def test_ago(before, said):
    """Relative words, with the exact time for the hover."""
    moment = words.ago(NOW - timedelta(**before), NOW)
    assert said == moment.text
    assert datetime.fromisoformat(moment.iso) == NOW - timedelta(**before)


def test_left_counts_whole_minutes():
    """Seconds are of no interest until the last minute."""
    assert words.left(NOW + timedelta(seconds=8099), NOW).text == "2 h 14 min left"
    assert words.left(NOW + timedelta(seconds=42), NOW).text == "42 s left"


def test_clock_is_date_and_time_as_the_centre_wrote_it():
    summer = timezone(timedelta(hours=2))
    assert words.clock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)).text == "2026-01-02 03:04 UTC"
    assert words.clock(datetime(2026, 7, 2, 3, 4, tzinfo=summer)).text == "2026-07-02 03:04 UTC+02:00"


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


def test_resources_say_boxes_by_their_labels():
    """A number behind a box is told by what the box switches on; limits in a label belong to the form alone."""
    known = CONFIGURATION.systems["juwels"].partitions["login"].resources
    assert words.resources({"card": 2}, known, "de") == "X-Server starten (Graphics card 2)"
    plain = {"card": known["card"].model_copy(update={"checkbox": None, "unit": "GB"})}
    assert words.resources({"card": 2}, plain, "en") == "Graphics card 2 GB"
