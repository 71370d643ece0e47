# SPDX-License-Identifier: BSD-3-Clause
"""Maintenance and health: what is blocked now, and what users are told beforehand."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jupyter_jsc.config.load import load
from jupyter_jsc.rights.moments import moment_of
from jupyter_jsc.wire import SystemHealth

FULL = load(Path(__file__).parent.parent / "config/full")


def moment(system, now, health=None):
    return moment_of(system, FULL.systems[system], FULL.maintenance, health, now)


def day(month, date, hour=12):
    return datetime(2026, month, date, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "blocked", "noticed"),
    [
        pytest.param(day(2, 24, 5), False, False, id="more than a week before"),
        pytest.param(day(2, 24, 6), False, True, id="a week before"),
        pytest.param(day(3, 3, 5), False, True, id="just before"),
        pytest.param(day(3, 3, 6), True, False, id="begun"),
        pytest.param(day(3, 4, 17), True, False, id="just before the end"),
        pytest.param(day(3, 4, 18), False, False, id="ended"),
    ],
)
def test_maintenance_of_partitions(now, blocked, noticed):
    """It blocks the partitions that it names, from its beginning until its end, and is told of a week before."""
    for system, partition in (("juwels", "batch"), ("jureca", "dc-cpu")):
        found = moment(system, now)

        assert ([partition] if blocked else []) == list(found.partitions)
        assert noticed == bool(found.notice)
        assert not found.blocked


def test_words_of_a_maintenance_of_partitions():
    """Which partition, until when and why, in both languages."""
    text = moment("juwels", day(3, 3)).partitions["batch"]
    notice = moment("juwels", day(3, 1)).notice

    assert "JUWELS Batch is in maintenance until 2026-03-04 18:00 UTC. New firmware." == text.en
    assert "JUWELS Batch wird gewartet bis 04.03.2026 18:00 UTC. Neue Firmware." == text.de
    assert notice.en.startswith("Maintenance of JUWELS Batch begins at 2026-03-03 06:00 UTC and ends at ")
    assert notice.de.startswith("Die Wartung von JUWELS Batch beginnt am 03.03.2026 06:00 UTC und endet am ")


def test_maintenance_of_a_system_without_end():
    """It blocks the whole system until it is removed."""
    found = moment("cloud", day(12, 2))

    assert "Cloud is in maintenance." == found.blocked.en
    assert not found.partitions


def test_health_is_told_and_blocks_nothing():
    """A site that did not answer may have come back."""
    found = moment("cloud", day(6, 1), SystemHealth(available=False, text="No route to host."))

    assert "Cloud does not answer just now: labs may not start. No route to host." == found.notice.en
    assert "Cloud antwortet zurzeit nicht" in found.notice.de
    assert not found.blocked
    assert not moment("cloud", day(6, 1), SystemHealth(available=True, text="Busy.")).notice


def test_a_maintenance_explains_the_silence():
    """Nobody needs to hear that a system in maintenance does not answer."""
    assert not moment("cloud", day(12, 2), SystemHealth(available=False)).notice


def test_long_words_of_a_manager_are_cut():
    """A notice stays one or two lines."""
    assert 400 > len(moment("cloud", day(6, 1), SystemHealth(available=False, text="x" * 10_000)).notice.en)


def test_several_notices_stand_together():
    """A maintenance to come and a site that does not answer are both told."""
    notice = moment("cloud", day(11, 30), SystemHealth(available=False)).notice

    assert "Maintenance of Cloud begins at 2026-12-01 06:00 UTC. Cloud does not answer" in notice.en
