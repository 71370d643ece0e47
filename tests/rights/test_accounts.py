# SPDX-License-Identifier: BSD-3-Clause
"""HPC account entries → rights: the exact form gives them, anything else gives none and never fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.demo import centre
from jupyter_jsc.rights.accounts import Account, parse_accounts


def configuration() -> Configuration:
    systems = {}
    for name, site in centre.SITES.items():
        nodes = [node.name for node in site.login_nodes]
        systems[name] = site.system(
            "http://x/rest/core", dict.fromkeys(nodes, 22), dict.fromkeys(nodes, "ssh-ed25519 A")
        )
    return Configuration.model_validate(centre.portal("http://m", "http://t", "python3") | {"systems": systems})


CENTRE = configuration()
JUWELS = Account("juwels", "alice1", "hai", ("login", "batch", "devel"))


@pytest.mark.parametrize(
    ("entries", "accounts", "skipped"),
    [
        (None, [], 0),
        ([], [], 0),
        ("alice1,juwels,hai,a@x.org", [JUWELS], 0),
        (["alice1,juwels,hai,a@x.org", "alice1,juwels,HAI,a@x.org"], [JUWELS], 0),
        (
            ["alice1,jureca,hai,a", "alice1,jureca_gpu,hai,a"],
            [Account("jureca", "alice1", "hai", ("login", "dc-cpu", "dc-gpu"))],
            0,
        ),
        ("alice1,juqueen,hai,a", [], 1),
        ("alice1,juwels,hai", [], 1),
        ("alice1,juwels,hai,a,b", [], 1),
        ("alice1,juwels,,a", [], 1),
        (",juwels,hai,a", [], 1),
        ("alice1,juwels,hai,", [], 1),
        ("al ice,juwels,hai,a", [], 1),
        ("$(id),juwels,hai,a", [], 1),
        ("alice1,juwels,../hai,a", [], 1),
        ("-rf,juwels,hai,a", [], 1),
        (["alice1,juwels,hai,a", 7, None, {"a": 1}], [JUWELS], 3),
        ({"alice1,juwels,hai,a": 1}, [], 1),
        ("a" * 501 + ",juwels,hai,a", [], 1),
    ],
)
def test_parse_accounts(entries: object, accounts: list[Account], skipped: int) -> None:
    """A table of entries, the rights they give, and how many were skipped."""
    assert parse_accounts(entries, CENTRE) == (accounts, skipped)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON | st.lists(st.text(alphabet="alice1,juwelshi $/.-\n")))
def test_any_claim_gives_known_rights_or_none(entries: object) -> None:
    """Whatever a provider sends: no exception, and nothing beyond the configuration and safe names."""
    for account in parse_accounts(entries, CENTRE)[0]:
        system = CENTRE.systems[account.system]
        assert set(account.partitions) <= set(system.partitions)
        assert all(
            name.replace(".", "").replace("-", "").replace("_", "").isalnum()
            for name in (account.account, account.project)
        )


def test_accounts_survive_auth_state() -> None:
    """What is stored is read again; no auth_state means no account."""
    assert Account.of_auth_state({"accounts": [JUWELS.to_dict()]}) == [JUWELS]
    assert Account.of_auth_state(None) == []


def test_a_flood_of_entries_is_bounded() -> None:
    """A provider gone wrong does not make a login slow."""
    accounts, skipped = parse_accounts([f"a{n},juwels,p,x" for n in range(5000)], CENTRE)
    assert len(accounts) + skipped == 2000
