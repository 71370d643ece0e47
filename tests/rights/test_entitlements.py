# SPDX-License-Identifier: BSD-3-Clause
"""Entitlements → strings for rules: ancestors of a group, roles that stay where they were given, and no failures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.rights.entitlements import expand

PHYSICS = "urn:geant:centre.example:group:physics"


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        pytest.param(PHYSICS, [PHYSICS], id="a group"),
        pytest.param(
            f"{PHYSICS}:quantum:role=lead#login.centre.example",
            [
                f"{PHYSICS}:quantum:role=lead#login.centre.example",
                PHYSICS,
                f"{PHYSICS}#login.centre.example",
                f"{PHYSICS}:quantum",
                f"{PHYSICS}:quantum#login.centre.example",
                f"{PHYSICS}:quantum:role=lead",
            ],
            id="ancestors, role and authority",
        ),
        pytest.param(
            "URN:Geant:Centre.Example:group:Physics",
            ["URN:Geant:Centre.Example:group:Physics", "urn:geant:centre.example:group:Physics"],
            id="namespace is lowered, groups are not",
        ),
        pytest.param(
            "urn:x:y:group:Ryhm%c3%a4%20A",
            ["urn:x:y:group:Ryhm%c3%a4%20A", "urn:x:y:group:Ryhmä A"],
            id="percent-encoded",
        ),
        pytest.param(
            "urn:x:y:group:a%3arole%3Dlead",
            ["urn:x:y:group:a%3arole%3Dlead", "urn:x:y:group:a%3Arole%3Dlead"],
            id="encoded separators forge no role",
        ),
        pytest.param(
            "urn:x:y:group:a%0a%ff", ["urn:x:y:group:a%0a%ff", "urn:x:y:group:a%0A%FF"], id="unprintable stays encoded"
        ),
        pytest.param("urn:x:y:group:role=lead", ["urn:x:y:group:role=lead"], id="a role of no group"),
        pytest.param("urn:x:y:group:a:role=lead:b", ["urn:x:y:group:a:role=lead:b"], id="a role above a group"),
        pytest.param("urn:x:y:group:a:Role=lead:role=b", ["urn:x:y:group:a:Role=lead:role=b"], id="two roles"),
        pytest.param("urn:x:y:group:a:r%6fle=lead:b", ["urn:x:y:group:a:r%6fle=lead:b"], id="a role half encoded"),
        pytest.param("urn:x:y:group", ["urn:x:y:group"], id="no group at all"),
        pytest.param("urn:x:y:group:a::b", ["urn:x:y:group:a::b"], id="an empty name is opaque"),
        pytest.param("urn:x:group:y", ["urn:x:group:y"], id="the namespace has two parts"),
        pytest.param("/portal/demo", ["/portal/demo", "/portal"], id="plain group"),
        pytest.param("/portal/demo/", ["/portal/demo/", "/portal", "/portal/demo"], id="plain group, slash behind"),
        pytest.param("/", ["/"], id="root"),
        pytest.param("//", ["//"], id="nothing between slashes"),
        pytest.param("/a//b", ["/a//b"], id="an empty name in a plain group"),
        pytest.param("portal", ["portal"], id="opaque"),
        pytest.param(" member@centre.example ", ["member@centre.example"], id="blanks around"),
        pytest.param("urn:x:y:res:k:p:act:a:t", ["urn:x:y:res:k:p:act:a:t"], id="a resource"),
        pytest.param("", [], id="empty"),
        pytest.param("a" * 1001, [], id="too long"),
        pytest.param("/a" * 21, ["/a" * 21], id="too deep: opaque"),
        pytest.param("urn:x:y:group" + ":a" * 21, ["urn:x:y:group" + ":a" * 21], id="URN too deep: opaque"),
        pytest.param(None, [], id="no claim"),
        pytest.param(7, [], id="a number"),
    ],
)
def test_expand(value, expanded):
    """Exactly these strings may stand in a rule."""
    assert tuple(expanded) == expand(value)
    assert tuple(expanded) == expand([value, value, 7])


@given(
    st.lists(st.none() | st.binary() | st.text(st.characters()) | st.text(alphabet="urn:group=role%3A#/a"), max_size=20)
)
def test_any_values_are_expanded_or_left_out(values):
    """Whatever comes: only strings, each once, and what was sent stays as it was."""
    expanded = expand(values)

    assert len(expanded) == len(set(expanded))
    assert all(value.strip() in expanded for value in values if isinstance(value, str) and value.strip())


@given(st.text(alphabet="abc:%3D#=role", max_size=30))
def test_no_role_comes_from_nothing(text):
    """A role is only there if it was written as one, behind the last group."""
    value = "urn:x:y:group:" + text

    for form in expand(value):
        if form != value and ":role=" in form:
            assert ":role=" in value.lower()


def test_a_flood_is_bounded():
    """Thousands of deep groups make no login slow."""
    assert 5000 == len(expand([f"urn:x:y:group:{n}" + ":a" * 19 for n in range(3000)]))
