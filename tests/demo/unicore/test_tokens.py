# SPDX-License-Identifier: BSD-3-Clause
"""The server's key: stable over restarts; tokens that it issues are accepted, others are not."""

from pathlib import Path
from typing import Any

import pytest

from jupyter_jsc.demo.unicore.tokens import ServerKey, is_delegation

PROJECTS = {"a1": ("p1",), "a2": ()}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> ServerKey:
    return ServerKey(tmp_path_factory.mktemp("key"), "DEMO")


def issue(key: ServerKey, *, lifetime_s: int = 60, limited: bool = True) -> str:
    return key.delegation("UID=u", PROJECTS, lifetime_s=lifetime_s, limited=limited, renewable=False)


def test_key_survives_a_restart(tmp_path: Path) -> None:
    """A second server in the same folder accepts the tokens of the first; the key file is private."""
    first = ServerKey(tmp_path, "DEMO")
    second = ServerKey(tmp_path, "DEMO")
    assert second.dn == "CN=DEMO,O=Demo,C=EU"
    assert (second.verify(issue(first)) or {})["sub"] == "UID=u"
    assert (tmp_path / "server.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("limited", [True, False])
def test_issued_token_verifies(key: ServerKey, limited: bool) -> None:
    """Its claims say subject, account and, if limited, this server as audience."""
    claims = key.verify(issue(key, limited=limited))
    assert claims is not None
    assert (claims["sub"], claims["uid"], claims["etd"]) == ("UID=u", "a1", "true")
    assert limited == ("aud" in claims)


def test_foreign_expired_and_changed_tokens_do_not(key: ServerKey, tmp_path: Path) -> None:
    """Another server's token, one past its end, and one with a changed character are refused."""
    token = issue(key)
    bad = [issue(ServerKey(tmp_path, "OTHER")), issue(key, lifetime_s=-1), token[:-9] + "AAAAAAAAA", "a.b.c", ""]
    assert [key.verify(text) for text in bad] == [None] * 5


@pytest.mark.parametrize("text", ["tok", "a.b.c", "a.eyJhIjoxfQ.c", "..", "é.é.é"])
def test_other_tokens_are_no_delegations(text: str) -> None:
    """Whatever is no JWT with etd goes to the identity provider."""
    assert not is_delegation(text)


async def test_token_of_the_site(client: Any) -> None:
    """With it the user is the same with method ETD, its jobs show no token, the user's own still manages them."""
    answer = await client("GET", "/token?lifetime=3600&limited=true", headers={"Accept": "text/plain"})
    assert (answer.status, answer.headers["Content-Type"].startswith("text/plain")) == (200, True)
    bearer = client.as_(answer.text)
    found = (await bearer.get(""))["client"]
    assert (
        found["authenticationMethod"],
        found["role"]["selected"],
        found["xlogin"]["UID"],
    ) == ("ETD", "user", "alice1")
    url = await bearer.submit(Executable="sleep 600")
    assert (await client.get(url))["submissionPreferences"] == {}
    assert (await client("DELETE", url)).status == 204
    assert (await bearer("GET", "/token")).status == 403


async def test_token_keeps_the_chosen_account(client: Any) -> None:
    """A token asked for with a preference acts for that account; a renewable one gives further tokens."""
    preference = {"X-UNICORE-User-Preferences": "uid:alice2"}
    answer = await client("GET", "/token?lifetime=60&renewable=true", headers=preference)
    bearer = client.as_(answer.text)
    assert (await bearer.get(""))["client"]["xlogin"]["UID"] == "alice2"
    assert (await bearer("GET", "/token?lifetime=60")).status == 200


@pytest.mark.parametrize("lifetime", ["99999999999", "0", "-5", "x"])
async def test_token_with_impossible_lifetime(client: Any, lifetime: str) -> None:
    """A life longer than the certificate's, or none, is 400."""
    assert (await client("GET", f"/token?lifetime={lifetime}")).status == 400


async def test_no_token_for_anonymous(client: Any) -> None:
    """Who has no account gets no token."""
    assert (await client.as_("tok-nora")("GET", "/token")).status == 403
