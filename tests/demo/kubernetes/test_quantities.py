# SPDX-License-Identifier: BSD-3-Clause
"""Quantities are exact numbers, and come back as the same number."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.kubernetes import quantities


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", Fraction(1, 2)), ("2", 2), (3, 3), ("1.5Gi", 1610612736), ("8Gi", 2**33), ("1k", 1000), ("1e3", 1000)],
)
def test_quantities_are_read(text: object, number: Fraction) -> None:
    """Decimal and binary suffixes, exponents, bare numbers."""
    assert quantities.parse(text) == number


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "Gi", "1GiB", "--1", None])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    """The API server refuses it too."""
    with pytest.raises(ValueError):
        quantities.parse(text)


@given(st.integers(0, 2**50))
def test_what_is_written_is_read(number: int) -> None:
    """In thousandths."""
    assert quantities.parse(quantities.text(Fraction(number, 1000))) == Fraction(number, 1000)
