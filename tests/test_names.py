# SPDX-License-Identifier: BSD-3-Clause
"""Names and ids: valid and apart for any input."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import names

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# JupyterHub 6.1, jupyterhub/handlers and apihandlers: what a named server may be called.
SERVER_NAME = re.compile(r"[a-z](-?[a-z0-9])*")

ANY_TEXT = st.text(max_size=80)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_lab_id_is_a_dns_label_for_any_text(hub: str, user: str, server: str):
    """A lab id is a DNS-1035 label of at most 40 characters, so that prefixes fit, and what our messages accept."""
    lab_id = names.lab_id(hub, user, server)

    assert DNS_1035.fullmatch(lab_id)
    assert len(lab_id) == 30
    assert names.LAB_ID.fullmatch(lab_id)


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), unique=True, max_size=60))
def test_lab_ids_of_different_labs_differ(labs: list[tuple[str, str, str]]):
    """Different names never share an id; the same names always do."""
    ids = [names.lab_id(*lab) for lab in labs]

    assert len(set(ids)) == len(labs)
    assert [names.lab_id(*lab) for lab in labs] == ids


def test_lab_ids_do_not_collide_in_a_big_sample():
    """Nor do look-alikes: other cuts of the same text, case, separators, quotes, composed characters."""
    parts = ["", "a", "b", "ab", "bc", "c", "abc", "A", "-", '"', '","', "\\", "\0", "é", "e\u0301", " ", "a ", "a/b"]
    labs = list(itertools.product(parts, repeat=3))
    labs += [("hub", f"user{n}", server) for n in range(2000) for server in ("", "lab", "lab-2", "Lab")]

    assert len({names.lab_id(*lab) for lab in labs}) == len(set(labs))


def test_lab_id_stays_the_same_for_ever():
    """Running labs are found again by their id after every update."""
    assert names.lab_id("demo", "alice", "lab") == "lab-fohotr4xnejzknoe6wwwdbswqd"


def test_start_ids_are_valid_and_apart():
    """Start ids are what our messages accept, and no two of many are the same."""
    ids = {names.new_start_id() for _ in range(5000)}

    assert len(ids) == 5000
    assert all(names.START_ID.fullmatch(start_id) for start_id in ids)


@given(ANY_TEXT, st.frozensets(st.sampled_from(["lab", "lab-2", "a", "a-2", "x" * 30]), max_size=5))
def test_server_name_is_always_accepted_by_jupyterhub(title: str, taken: frozenset[str]):
    """Any title becomes a name of 1 to 30 characters that JupyterHub accepts and that is not taken."""
    name = names.server_name(title, taken)

    assert SERVER_NAME.fullmatch(name)
    assert names.SERVER_NAME.fullmatch(name)
    assert 1 <= len(name) <= names.SERVER_NAME_LENGTH
    assert name not in taken


@given(ANY_TEXT)
def test_server_name_of_a_name_is_that_name(title: str):
    """A name that JupyterHub accepts stays as it is."""
    name = names.server_name(title)

    assert names.server_name(name) == name


@given(ANY_TEXT, st.integers(min_value=2, max_value=120))
def test_many_labs_with_one_title(title: str, number: int):
    """Labs with the same title get different names, however long it is."""
    taken: set[str] = set()
    for _ in range(number):
        taken.add(names.server_name(title, taken))

    assert len(taken) == number
    assert all(SERVER_NAME.fullmatch(name) and len(name) <= 30 for name in taken)


@pytest.mark.parametrize(
    ("title", "taken", "expected"),
    [
        ("Deep Learning", set(), "deep-learning"),
        ("Deep   Learning!", {"deep-learning"}, "deep-learning-2"),
        ("deep learning", {"deep-learning", "deep-learning-2"}, "deep-learning-3"),
        ("", set(), "lab"),
        ("---", set(), "lab"),
        ("日本", set(), "lab"),
        ("2nd try", set(), "lab-2nd-try"),
        ("a--b__c", set(), "a-b-c"),
        ("x" * 40, set(), "x" * 30),
        ("x" * 40, {"x" * 30}, "x" * 28 + "-2"),
        ("x" * 27 + " yz", {"x" * 27 + "-yz"}, "x" * 27 + "-2"),
        ("a" * 29 + " b", set(), "a" * 29),
    ],
)
def test_server_names(title: str, taken: set[str], expected: str):
    """Names stay close to the title."""
    assert names.server_name(title, taken) == expected


def test_a_labs_service_in_a_cluster_is_one_label() -> None:
    """Its host has the namespace and nothing of the user's; the name fits a DNS label."""
    lab_id = names.lab_id("hub", "a user with quite a long name", "a-lab")
    assert f"{names.service_name(lab_id)}.labs.svc" == names.service_host(lab_id, "labs")
    assert len(names.service_name(lab_id)) <= 63
