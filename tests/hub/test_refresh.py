# SPDX-License-Identifier: BSD-3-Clause
"""Answers of token endpoints judged by class, for each of the providers that were observed; patience with failures."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.errors import Unavailable
from jupyter_jsc.hub.refresh import Patience, Verdict, expiry, judge, read_json, seconds_left


@pytest.mark.parametrize(
    ("status", "document", "verdict"),
    [
        (200, {"access_token": "x"}, Verdict.GOOD),
        (200, {"access_token": ""}, Verdict.LATER),
        (200, {"access_token": ["x"]}, Verdict.LATER),
        (200, {"error": "invalid_grant"}, Verdict.LATER),
        # A dead refresh token: Unity, then Keycloak and oidc-provider.
        (400, {"error": "invalid_request", "error_description": "wrong refresh token"}, Verdict.DEAD),
        (400, {"error": "invalid_grant", "error_description": "Token is not active"}, Verdict.DEAD),
        # A disabled user: Keycloak, then Unity, which has a status of its own for it.
        (400, {"error": "invalid_grant", "error_description": "User disabled"}, Verdict.DEAD),
        (500, {"error": "server_error", "error_description": "The entity is disabled"}, Verdict.DISABLED),
        # Who left the users' group, at Unity.
        (403, {"error": "access_denied"}, Verdict.DENIED),
        # A wrong client secret: Unity, Keycloak, oidc-provider.
        (403, {"error": "invalid_client"}, Verdict.OURS),
        (401, {"error": "unauthorized_client"}, Verdict.OURS),
        (401, {"error": "invalid_client"}, Verdict.OURS),
        (400, {"error": "invalid_client"}, Verdict.OURS),
        (400, {"error": "invalid_scope"}, Verdict.OURS),
        (404, {}, Verdict.OURS),
        (302, {}, Verdict.OURS),
        (408, {}, Verdict.LATER),
        (429, {"error": "slow_down"}, Verdict.LATER),
        (500, {}, Verdict.LATER),
        (502, {"error": "invalid_grant"}, Verdict.LATER),
        (503, {"error": "invalid_client"}, Verdict.LATER),
        (599, {}, Verdict.LATER),
    ],
)
def test_judge(status, document, verdict):
    """A table of observed answers and what each means."""
    assert verdict == judge(status, document)


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(["error", "error_description", "access_token"]), st.none() | st.lists(st.text()) | st.text()
    ),
)
def test_whatever_is_answered_has_a_class(status, document):
    """Only a 200 with a token is good."""
    good = status == 200 and isinstance(document.get("access_token"), str) and document["access_token"] != ""
    assert good is (judge(status, document) is Verdict.GOOD)


@pytest.mark.parametrize("body", [None, b"", b"<h1>no", b"[]", b'"x"', b"7", b"\xff", b"null"])
def test_what_is_no_object_is_an_empty_one(body):
    """HTML, cut JSON, lists: nothing was said."""
    assert {} == read_json(body)


@pytest.mark.parametrize("said", [{}, {"expires_in": None}, {"expires_in": "soon"}, {"expires_in": "inf"}])
def test_an_end_that_is_not_said_is_none(said):
    """Such a token is good until it is refused."""
    assert expiry(said) is None
    assert math.inf == seconds_left({"expires_at": expiry(said)})


def test_an_end_is_counted_from_now():
    """Providers send a number or a text of one."""
    for said in (300, "300", 300.0):
        end = expiry({"expires_in": said})
        assert end is not None
        assert 0 < seconds_left({"expires_at": end}) <= 300
        assert end <= time.time() + 300


def test_pauses_grow_up_to_a_minute():
    """A provider that is down is asked ever less, and never left alone for ever."""
    patience, now, pauses = Patience(), 1000.0, []
    for _ in range(6):
        patience.check(now)
        patience.failed(now, "down")
        pauses.append(patience.until - now)
        now = patience.until
    assert [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] == pauses


def test_who_asks_in_a_pause_hears_the_last_failure():
    """And makes it no longer."""
    patience = Patience()
    patience.failed(1000.0, "down")
    with pytest.raises(Unavailable, match="down"):
        patience.check(1004.9)
    patience.failed(1004.9, "down for other reasons")
    assert (1005.0, "down") == (patience.until, patience.message)
    patience.check(1005.0)
