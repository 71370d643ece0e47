# SPDX-License-Identifier: BSD-3-Clause
"""Texts, times and days: what would break whoever shows or counts them is refused with the commit."""

from typing import Any

import pytest
from pydantic import ValidationError

from jupyter_jsc.config.notices import PLACEHOLDERS, Maintenance, ProgressText, Retention


@pytest.mark.parametrize(
    "text",
    ["Waiting.", "{text} on {system}, {partition}, {option} for {project}", "{{not a placeholder}}", ""],
    ids=["none", "all", "braces", "empty"],
)
def test_a_text_with_plain_placeholders(text: str) -> None:
    """Any of them, as often as one likes."""
    assert ProgressText.model_validate({"text": text}).text.en == text


@pytest.mark.parametrize(
    "text",
    [
        "{user}",
        "{}",
        "{0}",
        "{text",
        "text}",
        "{text.__class__}",
        "{text.__class__.__mro__}",
        "{text[0]}",
        "{text!r}",
        "{system:>999999999}",
        "{text:{system}}",
        "{ text }",
    ],
)
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_placeholder_that_does_more_than_stand_for_a_word(text: str, language: str) -> None:
    """Attributes, items, conversions and widths would show what is no text, or fill the memory of the hub."""
    with pytest.raises(ValidationError, match="has a placeholder other than"):
        ProgressText.model_validate({"text": {"en": "x", language: text}})


def test_every_placeholder_may_stand_in_a_text() -> None:
    """What the message lists is taken."""
    for name in PLACEHOLDERS:
        ProgressText.model_validate({"text": f"{{{name}}}"})


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "1969-12-31T00:00:00Z", "3000-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_a_time_that_no_clock_shows(moment: str) -> None:
    """Python cannot say the ends of its calendar in another zone, so a page would fail over them."""
    with pytest.raises(ValidationError, match="between 1970 and 2999"):
        Maintenance.model_validate({"systems": ["juwels"], "begins": moment})


@pytest.mark.parametrize("field", ["history_days", "versions_days"])
@pytest.mark.parametrize("days", [0, -1, 36501, 10**17])
def test_days_that_cannot_be_counted(field: str, days: Any) -> None:
    """Nothing is kept for longer than the calendar has days."""
    with pytest.raises(ValidationError):
        Retention.model_validate({field: days})
