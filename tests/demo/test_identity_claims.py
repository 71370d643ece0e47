# SPDX-License-Identifier: BSD-3-Clause
"""Claims: which scope opens which, and how many values look how."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.identity_claims import SCOPES, claims, known_scopes, may_use_portal, with_parents
from jupyter_jsc.demo.people import Person


def person(**fields: tuple[str, ...]) -> Person:
    return Person("eve", "secret", "Eve", "eve@example.org", "jsc", **fields)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (None, ""),
        ("", ""),
        ("openid profile", "openid profile"),
        (" profile  openid nonsense profile ", "profile openid"),
    ],
)
def test_known_scopes(requested: str | None, expected: str) -> None:
    """What does not exist is dropped, the order stays."""
    assert expected == known_scopes(requested)


@pytest.mark.parametrize(("accounts", "expected"), [((), None), (("a",), "a"), (("a", "b"), ["a", "b"])])
def test_number_of_values(accounts: tuple[str, ...], expected: object) -> None:
    """No value is no claim, one is a string, several are a list."""
    assert expected == claims(person(accounts=accounts), "jsc", "hpc_infos").get("hpc_infos_attribute")


@pytest.mark.parametrize("scope", SCOPES)
def test_scope(scope: str) -> None:
    """A scope opens its claims and sub, nothing else; the password is in none."""
    full = person(accounts=("a",), entitlements=("e",))
    found = claims(full, "jsc", scope)
    assert {"sub", *SCOPES[scope]} == set(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), ["/"]),
        (("/portal",), ["/", "/portal"]),
        (("/portal/demo", "/2fa"), ["/", "/2fa", "/portal", "/portal/demo"]),
    ],
)
def test_with_parents(groups: tuple[str, ...], expected: list[str]) -> None:
    """Groups come with the root and all groups above."""
    assert expected == with_parents(groups)


@given(st.lists(st.from_regex(r"(/[a-z]{1,5}){1,4}", fullmatch=True), max_size=5))
def test_parents_are_closed(groups: list[str]) -> None:
    """Asking again adds nothing, and nothing is lost."""
    found = with_parents(groups)
    assert found == with_parents(found)
    assert {"/", *groups} <= set(found)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [(("/portal",), True), (("/portal/demo",), True), (("/portals",), False), ((), False), (("/",), False)],
)
def test_may_use_portal(groups: tuple[str, ...], expected: bool) -> None:
    """Only members of the users' group may have tokens."""
    assert expected == may_use_portal(person(groups=groups))
