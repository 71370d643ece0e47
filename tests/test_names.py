# SPDX-License-Identifier: BSD-3-Clause
"""Names and ids: valid for any input, free of collisions, accepted by those who use them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import names

DNS_1035 = re.compile(r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")
JUPYTERHUB = re.compile(r"^(?!.*--)[a-z][a-z0-9-]{0,29}$")


@given(st.text(), st.text(), st.text())
def test_lab_id_is_a_dns_label_of_at_most_40_characters(hub: str, user: str, server: str) -> None:
    """Any three names give a label that may name a Kubernetes Service, with room for prefixes."""
    identifier = names.lab_id(hub, user, server)
    assert DNS_1035.match(identifier)
    assert names.LAB_ID.match(identifier)
    assert identifier == names.lab_id(hub, user, server)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_lab_ids_differ_where_names_differ(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Two labs never share an id."""
    assert (names.lab_id(*one) == names.lab_id(*other)) == (one == other)


def test_names_that_look_alike_when_joined_have_different_ids() -> None:
    """Where one name ends and the next begins counts."""
    parts = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("", "abc", "d"), ("a", 'b","c', "d")]
    assert len({names.lab_id(*three) for three in parts}) == len(parts)


def test_start_ids_are_random_and_well_formed() -> None:
    """A thousand starts have a thousand ids."""
    ids = {names.new_start_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(names.START_ID.match(identifier) for identifier in ids)


@given(st.text(), st.sets(st.text(alphabet="ab-12", max_size=5), max_size=8))
def test_server_name_is_accepted_by_jupyterhub_and_new(title: str, taken: set[str]) -> None:
    """Any title becomes a name that JupyterHub 6 takes and that is not in use."""
    name = names.server_name(title, taken)
    assert JUPYTERHUB.match(name)
    assert names.SERVER_NAME.match(name)
    assert name not in taken


def test_server_name_stays_close_to_the_title() -> None:
    """The address of a lab can be recognised; a second lab of the same title gets a number."""
    assert names.server_name("Climate analysis (2026)") == "climate-analysis-2026"
    assert names.server_name("Climate analysis", {"climate-analysis"}) == "climate-analysis-2"
    assert names.server_name("2 lasers") == "lab-2-lasers"
    assert names.server_name("") == "lab"
