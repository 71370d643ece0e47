# SPDX-License-Identifier: BSD-3-Clause
"""What may stand where, in words."""

from typing import Any

import pytest

from jupyter_jsc.config import shapes
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.shapes import Shape


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (("tunnelmgr",), "a mapping with url, ca_file, timeout_s"),
        (("systems",), "a mapping"),
        (("options",), "a mapping with at least one key"),
        (("systems", "x", "lab_hosts"), "a list with at least one item"),
        (("systems", "x", "lab_hosts", 0), "a text"),
        (("systems", "x", "kind"), "unicore, kubernetes"),
        (("systems", "x", "jump_hosts", "y", "port"), "a whole number from 1 to 65535"),
        (("systems", "x", "description"), "a text, or texts under `en` and `de`"),
        (("software", "x", "items", "y", "default"), "true or false or a list"),
        (("maintenance", "x", "begins"), "a time with its zone, e.g. 2026-03-01T08:00:00+01:00"),
        (("retention", "history_days"), "a whole number from 1 to 36500"),
        (("max_labs_per_user",), "a whole number, at least 0"),
        (("tunnelmgr", "timeout_s"), "a number, above 0 and at most 300"),
        (("jobs", "x", "environment", "y"), "a text"),
    ],
)
def test_what_is_allowed_is_said_in_words(path: Any, allowed: str) -> None:
    """For sections, mappings, lists, alternatives and every kind of value."""
    shape = shapes.shape_at(Configuration, path)
    assert shape is not None
    assert shape.allowed == allowed


@pytest.mark.parametrize("path", [("colour",), ("hub", "x"), ("hub", 0), ("systems", 0)])
def test_where_nothing_may_stand_there_is_no_shape(path: Any) -> None:
    """Such paths are mistakes of their own."""
    assert shapes.shape_at(Configuration, path) is None


def test_no_words_show_a_pattern() -> None:
    """People do not read regular expressions: each pattern of the model has words."""

    def words(shape: Shape) -> list[str]:
        below = [*shape.fields.values(), shape.key, shape.value, shape.item]
        return [shape.allowed, *(text for inner in below if inner for text in words(inner))]

    assert [text for text in words(shapes.shape_of(Configuration)) if "^" in text] == []
