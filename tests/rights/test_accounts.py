# SPDX-License-Identifier: BSD-3-Clause
"""Account entries → accounts: the two exact forms give them, anything else gives none and never fails."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.rights.accounts import of_auth_state, parse_accounts, to_list
from jupyter_jsc.rights.identity import Account

HAI = Account("alice1", "juwels", "hai")


@pytest.mark.parametrize(
    ("entries", "accounts", "skipped"),
    [
        pytest.param(None, (), 0, id="no claim"),
        pytest.param([], (), 0, id="empty list"),
        pytest.param("", (), 1, id="empty string"),
        pytest.param("alice1,juwels,hai,a@x.org", (HAI,), 0, id="one string"),
        pytest.param(" alice1 , juwels ,\thai, a ", (HAI,), 0, id="blanks around fields"),
        pytest.param(list("alice1,juwels,hai,a"), (HAI,), 0, id="list of characters"),
        pytest.param(["alice1,juwels,hai,a@x.org", "alice1,juwels,HAI,a@x.org"], (HAI,), 0, id="twice, and lowered"),
        pytest.param(
            ["b,k,p,x", "a,k,q,x", "a,j,p,x"],
            (Account("a", "j", "p"), Account("a", "k", "q"), Account("b", "k", "p")),
            0,
            id="fixed order",
        ),
        pytest.param("alice1,juwels,hai", (), 1, id="three fields"),
        pytest.param("alice1,juwels,hai,a,b", (), 1, id="five fields"),
        pytest.param("alice1,juwels,,a", (), 1, id="no project"),
        pytest.param(",juwels,hai,a", (), 1, id="no account"),
        pytest.param("alice1,,hai,a", (), 1, id="no key"),
        pytest.param("alice1,juwels,hai,", (), 1, id="no person"),
        pytest.param("al ice,juwels,hai,a", (), 1, id="blank in account"),
        pytest.param("$(id),juwels,hai,a", (), 1, id="shell"),
        pytest.param("alice1,juwels,../hai,a", (), 1, id="path"),
        pytest.param("..,juwels,..,a", (), 1, id="parent folder"),
        pytest.param("-rf,juwels,hai,a", (), 1, id="option of a command"),
        pytest.param("_x,juwels,hai,a", (), 1, id="what options could not name"),
        pytest.param("alice1,juwels,hai\n,a", (HAI,), 0, id="newline around a field"),
        pytest.param("ali\nce,juwels,hai,a", (), 1, id="newline in a field"),
        pytest.param("alice1,juwels,\N{KELVIN SIGN}ai,a", (), 1, id="letter that lowers to ASCII"),
        pytest.param("älice,juwels,hai,a", (), 1, id="no ASCII"),
        pytest.param("a" * 65 + ",juwels,hai,a", (), 1, id="long account"),
        pytest.param("alice1,juwels,hai," + "a" * 500, (), 1, id="long entry"),
        pytest.param(["alice1,juwels,hai,a", 7, None, {"a": 1}, b"a,b,c,d", ["x"]], (HAI,), 5, id="other types"),
        pytest.param({"alice1,juwels,hai,a": 1}, (), 1, id="an object"),
    ],
)
def test_entries(entries, accounts, skipped):
    """A table of entries, the accounts in them, and how many were skipped."""
    assert (accounts, skipped) == parse_accounts(entries)


@pytest.mark.parametrize(
    ("entitlement", "accounts", "skipped"),
    [
        ("urn:geant:centre.example:res:juwels:hai:act:alice1:user", (HAI,), 0),
        ("urn:geant:centre.example:res:juwels:HAI:act:alice1:user#login.centre.example", (HAI,), 0),
        ("URN:geant:a:b:c:res:juwels:hai:act:alice1:user", (HAI,), 0),
        ("urn:geant:centre.example:res:juwels%5Fgpu:hai:act:alice1:user", (Account("alice1", "juwels_gpu", "hai"),), 0),
        ("urn:geant:centre.example:group:physics", (), 0),
        ("/portal/demo", (), 0),
        ("urn:geant:centre.example:res:juwels:hai:act:alice1", (), 1),
        ("urn:geant:centre.example:res:juwels:hai:extra:act:alice1:user", (), 1),
        ("urn:geant:centre.example:res:juwels::act:alice1:user", (), 1),
        ("urn:geant:centre.example:res:juwels:hai:act:%2E%2E:user", (), 1),
        ("urn:geant:centre.example:res:juwels:hai:act:alice1%0A:user", (), 1),
        ("urn:geant:centre.example:res:juwels:hai:act:alice%ff:user", (), 1),
        ("urn:res:juwels:hai:act:alice1:user", (), 0),
        ("urn:geant:x:res:" + "a:" * 400 + "act:alice1:user", (), 1),
        (7, (), 0),
    ],
)
def test_resource_entitlements(entitlement, accounts, skipped):
    """The form of AARC-G069 gives an account; what is about no account is nobody's mistake."""
    assert (accounts, skipped) == parse_accounts(None, [entitlement], ["urn:*"])
    assert (accounts, skipped) == parse_accounts(None, entitlement, ["urn:*"])


def test_both_forms_are_united():
    """The same account in both forms is one account."""
    entitlement = "urn:geant:centre.example:res:juwels:hai:act:alice1:user"

    assert ((HAI,), 1) == parse_accounts(["alice1,juwels,hai,a", "junk"], [entitlement], ["urn:*"])


@pytest.mark.parametrize(
    ("namespaces", "accounts"),
    [
        ([], ()),
        (["urn:geant:centre.example"], (HAI,)),
        (["urn:geant:*.example"], (HAI,)),
        (["urn:geant:other.example", "urn:geant:centre"], ()),
    ],
    ids=["none", "its own", "a pattern", "others"],
)
def test_only_trusted_namespaces_open_accounts(namespaces, accounts):
    """A provider also passes on what other organisations say; that is nobody's mistake and gives nothing."""
    entitlement = "urn:geant:centre.example:res:juwels:hai:act:alice1:user"

    assert (accounts, 0) == parse_accounts(None, [entitlement], namespaces)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NEAR = st.lists(st.text(alphabet="alice1,juwelshi $/.-\n\0")) | st.lists(
    st.lists(st.sampled_from(["urn", "geant", "res", "act", "x", "", "%2f", "#"]), max_size=10).map(":".join)
)


@given(ANYTHING | NEAR, ANYTHING | NEAR)
def test_any_claim_gives_safe_names_or_none(entries, entitlements):
    """Whatever a provider sends: no exception, a count, and only names that may stand anywhere."""
    accounts, skipped = parse_accounts(entries, entitlements, ["*"])

    assert skipped >= 0
    for account in accounts:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", account.account)
        assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", account.project)
    assert accounts == of_auth_state({"accounts": to_list(accounts)})


def test_a_flood_of_entries_is_bounded():
    """A provider gone wrong makes no login slow; what was left out is counted."""
    accounts, skipped = parse_accounts([f"a{n},juwels,p,x" for n in range(5000)])

    assert (2000, 3000) == (len(accounts), skipped)


@pytest.mark.parametrize(
    "auth_state",
    [
        None,
        {},
        {"accounts": None},
        {"accounts": "alice1,juwels,hai,a"},
        {"accounts": [{"system": "juwels", "account": "alice1", "project": "hai", "partitions": ["batch"]}]},
        {"accounts": [["alice1", "juwels"], [1, 2, 3], ["../x", "juwels", "hai"]]},
    ],
)
def test_what_is_no_auth_state_of_ours_gives_no_rights(auth_state):
    """An auth_state of another version, or a broken one, is no account."""
    assert () == of_auth_state(auth_state)
