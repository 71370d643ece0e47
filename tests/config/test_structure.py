# SPDX-License-Identifier: BSD-3-Clause
"""A raw tree → an object or what does not fit: strictness, and what sections say beside what is wrong in them."""

from typing import Any

import pytest
from pydantic import Field, model_validator

from jupyter_jsc.config.base import Section
from jupyter_jsc.config.structure import Checked


class Inner(Section):
    low: int = Field(default=0, ge=0)
    high: int = 10
    name: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> "Inner":
        if self.low > self.high:
            raise ValueError("low is above high")
        if len(self.name) > 500:
            raise ValueError(self.name)
        return self


class Outer(Section):
    one: Inner = Inner()
    many: list[Inner] = Field(default=[])
    named: dict[str, Inner] = Field(default={})
    ratio: float = 1.0

    @model_validator(mode="after")
    def _has_some(self) -> "Outer":
        if not self.named:
            raise ValueError("`named` has nothing")
        return self


RIGHT: dict[str, Any] = {"named": {"a": {}}}


def said(tree: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    return [(found.path, found.message) for found in Checked(Outer, tree).findings]


def test_what_fits_is_made() -> None:
    """The object, and nothing said."""
    checked = Checked(Outer, RIGHT | {"ratio": 2})
    assert (checked.made, checked.findings) == (Outer(named={"a": Inner()}, ratio=2.0), [])


@pytest.mark.parametrize("value", [True, "5", 5.0, None, [], {}, "x"])
def test_only_a_whole_number_is_one(value: object) -> None:
    """Nothing is converted: whatever looks like a number was meant as something else."""
    assert [path for path, _ in said(RIGHT | {"one": {"low": value}})] == [("one", "low")]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            {"named": {"a": {"low": 11}, "b": {"low": "x"}}},
            [(("named", "a"), "Low is above high."), (("named", "b", "low"), "`x` does not fit.")],
        ),
        ({"one": {"low": "x", "high": 5}}, [(("one", "low"), "`x` does not fit."), ((), "`named` has nothing.")]),
        ({"one": {"low": 11}}, [(("one",), "Low is above high.")]),
        ({"one": {"low": 11, "hgih": 12}, "named": {"a": {}}}, [(("one", "hgih"), "There is no key `hgih` here.")]),
        ({"named": {"a": {"low": "x"}}}, [(("named", "a", "low"), "`x` does not fit.")]),
        ({"named": 5}, [(("named",), "`5` does not fit.")]),
        (
            {"many": [{"low": "x"}, {"low": 11}], "named": {"a": {}}},
            [(("many", 0, "low"), "`x` does not fit."), (("many", 1), "Low is above high.")],
        ),
    ],
)
def test_what_a_section_says_as_a_whole_is_found_too(
    tree: dict[str, Any], expected: list[tuple[tuple[str | int, ...], str]]
) -> None:
    """Unless it could be said only because something wrong was taken out."""
    assert said(tree) == expected


def test_what_a_section_says_is_cut() -> None:
    """A text of a megabyte in it is not shown in full."""
    ((_, message),) = said(RIGHT | {"one": {"name": "x" * 1000}})
    assert message == f"{'x' * 300}…."
