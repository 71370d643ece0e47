# SPDX-License-Identifier: BSD-3-Clause
"""Patterns say what :func:`jupyter_jsc.config.base.matches` says; what is kept for a configuration goes with it."""

import gc
import weakref
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.base import matches
from jupyter_jsc.config.load import load
from jupyter_jsc.rights.patterns import Lists, Patterns, per_configuration, united

PATTERNS = st.lists(st.text(alphabet="ab*?[]!-.\n", min_size=1, max_size=8), max_size=4)
VALUES = st.text(alphabet="ab[]!-.\n", max_size=8)


@given(PATTERNS, VALUES)
def test_patterns_fit_what_matches(patterns, value):
    """Compiled or not, plain or wild: the same answer."""
    assert matches(value, patterns) == Patterns(patterns).fits(value)


@given(st.lists(PATTERNS, max_size=4), st.lists(VALUES, max_size=4))
def test_lists_answer_for_all_at_once(patterns, values):
    """Each list has its bit, also if it is added after a value was asked about; None is fitted by all."""
    lists = Lists()
    for one in patterns:
        bit = lists.add(one)

        assert bit == lists.add(list(one))
        assert [matches(value, one) for value in values] == [bool(lists.fitted_by(value) & bit) for value in values]
    assert 0 == lists.add(None)


def test_patterns_that_make_expressions_slow():
    """Many stars cost nothing."""
    assert not Patterns(["*a" * 50 + "b"]).fits("a" * 500)


def test_united():
    """Bits of any of the sets."""
    assert (0, 0b111) == (united([]), united([0b101, 0b010, 0b100]))


def test_what_is_kept_goes_with_its_configuration():
    """A version that nobody uses any more leaves nothing behind."""
    get = per_configuration(lambda configuration: set(configuration.systems))
    first, second = (load(Path(__file__).parent.parent / "config/full") for _ in range(2))
    kept = weakref.ref(get(first))

    assert get(first) is kept()
    assert get(second) is not kept()
    del first
    gc.collect()
    assert None is kept()
