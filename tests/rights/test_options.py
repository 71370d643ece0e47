# SPDX-License-Identifier: BSD-3-Clause
"""Options: what a user may choose, and one message that names field, value and what is allowed for all else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import wire
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.rights.accounts import Account
from jupyter_jsc.rights.options import OptionTree, options_tree, validate
from tests.hub.world import ACCOUNTS, OPTIONS, configuration

CONFIGURATION = Configuration.model_validate(configuration())
TREE = options_tree(Account.of_auth_state({"accounts": ACCOUNTS["alice"]}), CONFIGURATION)
LOGIN_NODE = OPTIONS | {"partition": "login", "resources": {}}


def test_tree_holds_what_the_accounts_open():
    """Systems, accounts, projects and partitions of the user, and no others."""
    juwels = TREE.systems["juwels"]

    assert {"juwels", "jureca"} == set(TREE.systems)
    assert {"alice1": {"hai": ("batch", "login")}} == juwels.accounts
    assert ["batch", "login"] == list(juwels.partitions)


def test_tree_offers_options_only_where_they_exist():
    """A service option of one system does not show on another."""
    assert ["lab-4"] == list(TREE.systems["juwels"].options)
    assert ["lab-4", "old"] == list(TREE.systems["jureca"].options)


def test_tree_follows_the_configured_order():
    """Systems with smaller numbers stand first."""
    tree = configuration()
    tree["systems"]["juwels"]["order"] = 2
    tree["systems"]["jureca"]["order"] = 1
    accounts = Account.of_auth_state({"accounts": ACCOUNTS["alice"]})

    assert ["jureca", "juwels"] == list(options_tree(accounts, Configuration.model_validate(tree)).systems)


def test_newcomer_may_choose_nothing():
    """Without an account there is no system to choose."""
    assert OptionTree({}) == options_tree([], CONFIGURATION)


@pytest.mark.parametrize("raw", [OPTIONS, LOGIN_NODE, {k: v for k, v in LOGIN_NODE.items() if k != "resources"}])
def test_possible_options_pass(raw):
    """What the tree allows comes back as it was; an interactive partition needs no resources."""
    assert wire.Options.model_validate(raw) == validate(raw, TREE)


def _change(**change):
    return OPTIONS | change


def _resources(**change):
    return OPTIONS | {"resources": OPTIONS["resources"] | change}


REFUSED = [
    ("unknown system", _change(system="frontier"), "system", "'frontier'", "juwels"),
    ("unknown option", _change(option="lab-9"), "option", "'lab-9'", "lab-4"),
    ("option of another system", _change(option="old"), "option", "'old'", "lab-4"),
    ("foreign account", _change(account="bob1"), "account", "'bob1'", "alice1"),
    ("no account", _change(account=None), "account", "None", "alice1"),
    ("foreign project", _change(project="climate"), "project", "'climate'", "hai"),
    ("partition of another system", _change(partition="dc-cpu"), "partition", "'dc-cpu'", "batch"),
    ("no partition", {k: v for k, v in OPTIONS.items() if k != "partition"}, "partition", "None", "batch"),
    ("runtime above the limit", _resources(runtime=130), "resources.runtime", "130", "10 to 120 min"),
    ("runtime below the limit", _resources(runtime=0), "resources.runtime", "0", "10 to 120 min"),
    ("between steps", _resources(runtime=65), "resources.runtime", "65", "in steps of 10"),
    ("a string for a number", _resources(nodes="1"), "resources.nodes", "'1'", "whole number"),
    ("a bool for a number", _resources(nodes=True), "resources.nodes", "True", "whole number"),
    ("a float for a number", _resources(nodes=1.0), "resources.nodes", "1.0", "whole number"),
    ("null for a number", _resources(nodes=None), "resources.nodes", "None", "whole number"),
    ("missing resource", _change(resources={"nodes": 1}), "resources.runtime", "None", "10 to 120 min"),
    ("unknown resource", _resources(gpus=1), "resources", "'gpus'", "nodes, runtime"),
    ("resource of an interactive partition", LOGIN_NODE | {"resources": {"nodes": 1}}, "resources", "'nodes'", "nothing"),
    ("extra key", _change(image="evil"), "image", "'evil'", "no such field"),
    ("number for a name", _change(system=7), "system", "7", ""),
    ("shell in a name", _change(account="alice1; rm -rf /"), "account", "'alice1; rm -rf /'", ""),
    ("no object", ["juwels"], "options", "['juwels']", "an object"),
    ("nothing", None, "options", "None", "an object"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "field", "value", "allowed"), [line[1:] for line in REFUSED], ids=[x[0] for x in REFUSED]
)
def test_impossible_options_are_refused_by_name(raw, field, value, allowed):
    """The message names the field, the value and what is allowed; so does the detail."""
    with pytest.raises(InvalidRequest) as refused:
        validate(raw, TREE)

    assert {"field": field, "value": value} == {name: refused.value.detail[name] for name in ("field", "value")}
    assert allowed in refused.value.detail["allowed"]
    assert refused.value.message.startswith(f"{field}: {value}")


def test_long_values_and_names_are_cut():
    """What was sent is repeated up to fifty characters."""
    with pytest.raises(InvalidRequest) as refused:
        validate(_change(**{"x" * 10_000: "y" * 10_000}), TREE)

    assert 50 == len(refused.value.detail["value"])
    assert 50 == len(refused.value.detail["field"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*OPTIONS, "extra"]), JSON) | JSON)
def test_any_json_passes_or_is_refused(raw):
    """Whatever JSON comes, there are options that the tree allows, or one refusal that says where."""
    options, detail = None, None
    try:
        options = validate(raw, TREE)
    except InvalidRequest as refused:
        detail = set(refused.detail)

    assert (options is None) == (detail == {"field", "value", "allowed"})


@given(st.integers(-10, 10), st.integers(-200, 200))
def test_numbers_pass_exactly_within_their_limits(nodes, runtime):
    """Minimum, maximum and step decide, and nothing else."""
    try:
        validate(_resources(nodes=nodes, runtime=runtime), TREE)
        passed = True
    except InvalidRequest:
        passed = False

    assert (1 <= nodes <= 4 and 10 <= runtime <= 120 and runtime % 10 == 0) == passed
