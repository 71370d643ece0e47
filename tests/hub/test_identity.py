# SPDX-License-Identifier: BSD-3-Clause
"""auth_state → identity: total for whatever lies there, bounded, and a pushed list in the provider's place."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.hub.identity import Claims, identity_of, rights_of
from jupyter_jsc.rights.identity import Account, Identity

CLAIMS = Claims("accounts", "entitlements", "groups")
ALICE = SimpleNamespace(name="alice", admin=False)
STATE = {
    "accounts": [["alice1", "juwels", "hai"]],
    "entitled": [["alice1", "jureca", "hai"]],
    "entitlements": ["/portal", "/portal/demo"],
    "login": {"authenticator": "jsc", "time": 1},
    "group": "course",
}


def test_all_of_it_makes_the_identity():
    """Accounts of both kinds, entitlements, how the user logged in, the chosen group."""
    expected = Identity(
        user="alice",
        accounts=(Account("alice1", "juwels", "hai"), Account("alice1", "jureca", "hai")),
        entitlements=("/portal", "/portal/demo"),
        authenticator="jsc",
        group="course",
    )

    assert expected == identity_of(ALICE, STATE)
    assert Identity(user="root", admin=True) == identity_of(SimpleNamespace(name="root", admin=True), None)


@pytest.mark.parametrize(
    ("pushed", "keys"),
    [
        ({"time": 1, "accounts": [["alice2", "deep", "x"]]}, ["deep", "jureca"]),
        ({"time": 1, "accounts": []}, ["jureca"]),
        (None, ["juwels", "jureca"]),
    ],
    ids=["a list", "an empty list", "none"],
)
def test_a_pushed_list_counts_instead_of_the_providers(pushed, keys):
    """What entitlements give stays beside it."""
    assert keys == [account.key for account in identity_of(ALICE, STATE | {"pushed": pushed}).accounts]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from([*STATE, "pushed"]), JSON))
def test_any_auth_state_gives_an_identity(state):
    """What another release or nobody wrote gives no rights and no error."""
    identity = identity_of(ALICE, state)

    assert "alice" == identity.user
    assert all(isinstance(value, str) for value in identity.entitlements)


@given(st.dictionaries(st.sampled_from(["accounts", "entitlements", "groups"]), JSON))
def test_any_claims_give_rights_that_can_be_read(user_info):
    """Whatever the provider sends, what is kept makes an identity; a claim that is told ends a push."""
    rights, skipped = rights_of(user_info, CLAIMS, ["urn:*"])

    assert 0 <= skipped
    assert ("pushed" in rights) is ("accounts" in user_info)
    identity = identity_of(ALICE, rights)
    assert rights["entitlements"] == list(identity.entitlements)


def test_what_is_kept_is_bounded():
    """auth_state is read with every request: endless claims are cut."""
    rights, skipped = rights_of(
        {
            "accounts": [f"a{number},juwels,p,x" for number in range(3000)],
            "entitlements": [f"urn:x:{number}:" + "y" * 900 for number in range(3000)],
        },
        CLAIMS,
        [],
    )

    assert (2000, 1000) == (len(rights["accounts"]), skipped)
    assert 200_000 >= sum(map(len, rights["entitlements"])) > 190_000
