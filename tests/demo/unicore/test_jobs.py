# SPDX-License-Identifier: BSD-3-Clause
"""How a job is shown: times, fields, tags, and what its text form must not hold."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.unicore.jobs import Job, selected, stamp


def job(**changes: Any) -> Job:
    usual: dict[str, Any] = {
        "id": "a",
        "owner": "UID=u",
        "account": "a1",
        "group": None,
        "projects": (),
        "token": "tok-secret",
        "description": {"Environment": {"A": "env-secret"}},
        "directory": Path("/nowhere"),
        "notification": None,
        "terminates": 0.0,
    }
    return Job(**(usual | changes))


def test_text_form_has_no_secrets() -> None:
    """The record can be logged."""
    assert "secret" not in repr(job())


def test_exit_code_is_absent_until_known() -> None:
    """Then it is text."""
    assert "exitCode" not in job().view("B")
    assert job(exit_code="0").view("B")["exitCode"] == "0"


@pytest.mark.parametrize(
    ("dn", "expected"), [("UID=u", True), ("UID=friend", True), ("UID=end", False), ("UID=x", False)]
)
def test_readable_by(dn: str, expected: bool) -> None:
    """Owner and named readers only."""
    assert expected == job(acl=["read:DN:UID=friend"]).readable_by(dn)


@given(st.lists(st.text(alphabet="ab_.-:", min_size=1, max_size=4), max_size=4))
def test_own_tags_are_found(tags: list[str]) -> None:
    """Whatever the tags, a search for all of them finds the job."""
    assert job(tags=tags).has_tags(tags)
    assert not job(tags=tags).has_tags([*tags, "other"])


@pytest.mark.parametrize(
    ("fields", "expected"), [("", "abc"), ("a,c", "ac"), ("!b", "ac"), ("a,!a", ""), (" a , x", "a")]
)
def test_selected(fields: str, expected: str) -> None:
    """Names keep, names with ``!`` drop."""
    assert expected == "".join(selected(dict.fromkeys("abc"), fields))


def test_stamp() -> None:
    """Times carry an offset without a colon."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", stamp(0.0))
