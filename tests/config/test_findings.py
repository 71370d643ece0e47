# SPDX-License-Identifier: BSD-3-Clause
"""How findings become mistakes: places, values as people read them, suggestions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config import document, findings
from jupyter_jsc.config.document import Budget
from jupyter_jsc.config.findings import Finding

TREE, _ = document.read("a:\n  b: &b\n    - x\n    - {c: 1}\nd: *b\ntoken: hunter2\n", "a.yaml", Budget())


@pytest.mark.parametrize(
    ("path", "line", "written", "value"),
    [
        ((), 0, "", ""),
        (("a",), 1, "a", "a mapping"),
        (("a", "b"), 2, "a.b", "a list"),
        (("a", "b", 0), 3, "a.b[0]", "x"),
        (("d", 1, "c"), 4, "d[1].c", "1"),
        (("a", "nothing"), 1, "a.nothing", ""),
        (("a", "b", 7, "c"), 2, "a.b[7].c", ""),
        (("token",), 6, "token", "(hidden)"),
    ],
)
def test_a_finding_gets_place_and_value(path: Any, line: int, written: str, value: str) -> None:
    """The place of the nearest part that is there, through aliases where it is written; nothing secret."""
    (mistake,) = findings.mistakes([Finding(path, "Wrong.")], TREE, root=".")
    assert (mistake.file, mistake.line) == ("a.yaml" if line else ".", line)
    assert (mistake.path, mistake.value) == (written, value)


def test_one_value_has_one_mistake() -> None:
    """The first one said, however many paths lead to the value; a key may be wrong beside its value."""
    said = [
        Finding(("a", "b", 0), "First."),
        Finding(("a", "b", 0), "Second."),
        Finding(("d", 0), "Through the alias."),
        Finding(("a", "b"), "The list."),
        Finding(("d",), "The list again."),
        Finding(("d",), "The key.", at_key=True),
    ]
    found = findings.mistakes(said, TREE, root=".")
    assert [mistake.message for mistake in found] == ["The list.", "First.", "The key."]


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("juwles", ["jureca", "juwels"], "juwels"),
        ("JUWELS", ["jureca", "juwels"], "juwels"),
        ("xyz", ["jureca", "juwels"], ""),
        ("", ["a"], ""),
        ("a", [], ""),
        ("juwles", ["juwels", *map(str, range(1000))], ""),
    ],
)
def test_what_was_probably_meant(word: str, words: list[str], meant: str) -> None:
    """Near names only, whatever their case; among very many it is not worth the time."""
    assert findings.closest(word, words) == meant


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_a_shown_value_is_one_short_printable_line(value: Any) -> None:
    """No value can flood or steer a terminal."""
    shown = findings.shown(value)
    assert len(shown) <= findings.LONGEST_VALUE
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a", "b"], "a, b"), (list("abcdefgh") * 5, ", ".join((list("abcdefgh") * 5)[:30]) + " and 10 more")],
)
def test_long_lists_of_names_are_cut(names: list[str], text: str) -> None:
    """With how many more there are."""
    assert findings.listed(names) == text
