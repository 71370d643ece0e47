# SPDX-License-Identifier: BSD-3-Clause
"""Logins over a restart of the provider: what was good is good, what had ended stays dead, a bad file is no obstacle."""

import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jupyter_jsc.demo.people import PEOPLE
from tests.demo.identity_browser import browsing, new_app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The provider's file."""
    return tmp_path / "logins.json"


@pytest.mark.parametrize("rotate", [False, True], ids=["kept", "rotated"])
async def test_tokens_outlive_the_provider(path: Path, rotate: bool) -> None:
    """The portal's tokens tell the same about the same person; both kinds, and a refresh works."""
    app = new_app(memory=path, rotate_refresh=rotate)
    async with browsing(app) as browser, browsing(app) as elsewhere:
        first = await browser.tokens("alice")
        second = (await browser.refresh(first["refresh_token"])).json()
        other = await elsewhere.tokens("oscar")
        told = [await browser.claims(tokens["access_token"]) for tokens in (first, second, other)]
    async with browsing(new_app(memory=path, rotate_refresh=rotate)) as browser:
        assert told == [await browser.claims(tokens["access_token"]) for tokens in (first, second, other)]
        again = await browser.refresh(second.get("refresh_token", first["refresh_token"]))
        assert (await browser.claims(again.json()["access_token"]))["sub"] == told[0]["sub"]


async def test_one_login_stays_one(path: Path) -> None:
    """With rotation, a used refresh token that comes again ends the tokens that it was exchanged for, as before."""
    async with browsing(new_app(memory=path, rotate_refresh=True)) as browser:
        first = await browser.tokens()
        second = (await browser.refresh(first["refresh_token"])).json()
    async with browsing(new_app(memory=path, rotate_refresh=True)) as browser:
        assert (await browser.refresh(first["refresh_token"])).status_code == 400
        assert (await browser.userinfo(second["access_token"])).status_code == 401


async def test_what_has_ended_stays_dead(path: Path) -> None:
    """A revoked token; and one whose time passed while the provider was down, or whose person has gone."""
    app = new_app(memory=path)
    async with browsing(app) as browser, browsing(app) as elsewhere:
        revoked, kept = await browser.tokens(), await elsewhere.tokens()
        await browser.revoke(revoked["access_token"])
        await browser.revoke(revoked["refresh_token"])
    without = tuple(person for person in PEOPLE if person.name != "alice")
    async with browsing(new_app(memory=path, people=without)) as browser:
        assert (await browser.userinfo(kept["access_token"])).status_code == 401
    async with browsing(new_app(memory=path)) as browser:
        assert (await browser.userinfo(revoked["access_token"])).status_code == 401
        assert (await browser.refresh(revoked["refresh_token"])).status_code == 400
        browser.provider.pass_time(301)
        assert (await browser.userinfo(kept["access_token"])).status_code == 401
        assert (await browser.refresh(kept["refresh_token"])).status_code == 200


async def test_the_file_is_private_and_whole(path: Path) -> None:
    """It holds tokens; nothing lies beside it."""
    async with browsing(new_app(memory=path)) as browser:
        await browser.tokens()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"logins": [], "refresh_tokens": {"a-token": [7, 9e9]}, "access_tokens": {}}'],
    ids=["empty", "binary", "other", "no such login"],
)
async def test_a_damaged_file_is_ignored_with_a_line_in_the_log(path: Path, content: bytes) -> None:
    """Users log in again, and are remembered again."""
    path.write_bytes(content)
    with capture_logs() as lines:
        app = new_app(memory=path)
    assert [line["event"] for line in lines] == ["the provider's logins cannot be read"]
    assert "a-token" not in str(lines)
    async with browsing(app) as browser:
        tokens = await browser.tokens()
    async with browsing(new_app(memory=path)) as browser:
        assert (await browser.userinfo(tokens["access_token"])).status_code == 200


async def test_a_file_that_cannot_be_written_keeps_nobody_out(tmp_path: Path) -> None:
    """The token is given out; the log says what a restart will cost."""
    with capture_logs() as lines:
        async with browsing(new_app(memory=tmp_path / "gone" / "logins.json")) as browser:
            await browser.tokens()
    assert {line["event"] for line in lines} == {"the provider's logins cannot be written"}
