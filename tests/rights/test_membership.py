# SPDX-License-Identifier: BSD-3-Clause
"""Rules of groups as tables: who is in, in which order, and whose rights count."""

import pytest

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights.identity import Identity
from jupyter_jsc.rights.membership import active, groups_of

PROVIDERS = {
    "centre": {"label": "Centre", "authenticators": ["centre.password", "centre.passkey"]},
    "federation": {"label": "Federation", "preselect": {"uy_select_authn": "federation.saml"}},
    "unknown": {"label": "Says nothing", "preselect": {"x": ""}},
}


def configuration(groups):
    return Configuration.model_validate(
        {
            "hub": "portal",
            "identity_providers": PROVIDERS,
            "managers": {},
            "tunnelmgr": {"url": "http://t"},
            "systems": {},
            "options": {"lab": {"label": "Lab"}},
            "groups": {key: {"label": key} | group for key, group in groups.items()},
        }
    )


ALICE = Identity(
    "alice@centre.example", entitlements=("urn:x:y:group:a", "/portal/demo"), authenticator="centre.passkey"
)
ROOT = Identity("root", admin=True)

MEMBERSHIPS = [
    ("everybody", {"everybody": True}, ALICE, True),
    ("administrators", {"admin": True}, ROOT, True),
    ("no administrator", {"admin": True}, ALICE, False),
    ("a user by name", {"users": ["alice@centre.example"]}, ALICE, True),
    ("names are no patterns", {"users": ["alice@*"]}, ALICE, False),
    ("a user by pattern", {"patterns": ["bob*", "*@centre.example"]}, ALICE, True),
    ("upper case differs", {"patterns": ["*@Centre.example"]}, ALICE, False),
    ("a pattern is for the whole name", {"patterns": ["alice"]}, ALICE, False),
    ("an entitlement", {"entitlements": ["urn:x:y:group:a"]}, ALICE, True),
    ("an entitlement by pattern", {"entitlements": ["urn:*:group:a"]}, ALICE, True),
    ("a plain group", {"entitlements": ["/portal/*"]}, ALICE, True),
    ("another entitlement", {"entitlements": ["urn:*:group:b", "/portal"]}, ALICE, False),
    ("no entitlement fits none", {"entitlements": ["*"]}, ROOT, False),
    ("a provider by its word", {"identity_providers": ["centre"]}, ALICE, True),
    ("a provider by what preselects it", {"identity_providers": ["federation"]},
     Identity("x", authenticator="federation.saml"), True),
    ("another provider", {"identity_providers": ["federation"]}, ALICE, False),
    ("who says nothing is of no provider", {"identity_providers": ["unknown", "centre"]}, ROOT, False),
    ("all criteria hold", {"identity_providers": ["centre"], "entitlements": ["/portal/demo"]}, ALICE, True),
    ("one of the criteria fails", {"identity_providers": ["centre"], "users": ["bob"]}, ALICE, False),
    ("everybody, but only of a pattern", {"everybody": True, "patterns": ["bob"]}, ALICE, False),
    ("an empty list fits nobody", {"everybody": True, "users": []}, ALICE, False),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "identity", "member"), [x[1:] for x in MEMBERSHIPS], ids=[x[0] for x in MEMBERSHIPS])
def test_rule(rule, identity, member):
    """A rule fits if everything that it gives holds."""
    assert (("g",) if member else ()) == groups_of(identity, configuration({"g": {"members": [rule]}}))


def test_one_rule_is_enough():
    """A member fits one of the rules of a group, not all."""
    groups = {"g": {"members": [{"admin": True}, {"users": ["alice@centre.example"]}]}}

    assert ("g",) == groups_of(ALICE, configuration(groups))


ALL = [{"everybody": True}]
NOBODY = [{"users": []}]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param({}, (), id="no groups"),
        pytest.param({"b": {"weight": 1}, "a": {"weight": 2}, "c": {"weight": 0}}, ("c", "b", "a"), id="by weight"),
        pytest.param({"b": {}, "a": {}}, ("a", "b"), id="then by key"),
        pytest.param({"a": {"weight": 1}, "b": {"weight": 2, "exclusive": True}}, ("b",), id="exclusive wins"),
        pytest.param(
            {"b": {"weight": 2, "exclusive": True}, "c": {"weight": 1, "exclusive": True}}, ("c",), id="first exclusive"
        ),
        pytest.param({"a": {}, "b": {"exclusive": True, "members": NOBODY}}, ("a",), id="exclusive for others"),
    ],
)
def test_order_and_exclusive_groups(groups, expected):
    """The smallest weight stands first; an exclusive group stands alone."""
    groups = {key: {"members": ALL} | group for key, group in groups.items()}

    assert expected == groups_of(ALICE, configuration(groups))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, ("a", "b")),
        ("b", ("b",)),
        ("others", ("a", "b")),
        ("gone", ("a", "b")),
        ("", ("a", "b")),
    ],
)
def test_the_chosen_group_counts_alone_if_it_is_theirs(chosen, expected):
    """A group that was chosen and is lost since gives nothing, and takes nothing away."""
    groups = configuration({"a": {"members": ALL}, "b": {"members": ALL}, "others": {"members": NOBODY}})

    assert expected == active(Identity("alice", group=chosen), groups)
