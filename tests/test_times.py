# SPDX-License-Identifier: BSD-3-Clause
"""Times in words: relative ones, lengths of time, clocks."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jupyter_jsc import times

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (95, "1 min 35 s"), (600, "10 min"), (3599, "59 min"), (3600, "1 h"),
     (8040, "2 h 14 min"), (86400, "1 d"), (93600, "1 d 2 h"), (-5, "0 s")],
)  # fmt: skip
def test_duration(seconds, said):
    assert said == times.duration(seconds)


@pytest.mark.parametrize(
    ("before", "said"),
    [({"seconds": 3}, "just now"), ({"seconds": 40}, "40 s ago"), ({"minutes": 12}, "12 min ago"),
     ({"hours": 5}, "5 h ago"), ({"hours": 30}, "yesterday"), ({"days": 3}, "3 days ago"),
     ({"days": 40}, "on 14 Oct 2026"), ({"seconds": -5}, "just now")],
)  # fmt: skip
def test_ago(before, said):
    """Relative words, with the exact time for the hover."""
    moment = times.ago(NOW - timedelta(**before), NOW)
    assert said == moment.text
    assert datetime.fromisoformat(moment.iso) == NOW - timedelta(**before)


def test_left_counts_whole_minutes():
    """Seconds are of no interest until the last minute."""
    assert times.left(NOW + timedelta(seconds=8099), NOW).text == "2 h 14 min left"
    assert times.left(NOW + timedelta(seconds=42), NOW).text == "42 s left"


def test_clock_is_date_and_time_as_the_centre_wrote_it():
    summer = timezone(timedelta(hours=2))
    assert times.clock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)).text == "2026-01-02 03:04 UTC"
    assert times.clock(datetime(2026, 7, 2, 3, 4, tzinfo=summer)).text == "2026-07-02 03:04 UTC+02:00"
