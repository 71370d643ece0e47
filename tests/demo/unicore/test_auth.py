# SPDX-License-Identifier: BSD-3-Clause
"""Who may come in: tokens, sessions, preferences; and how userinfo becomes an identity."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jupyter_jsc.demo.unicore.auth import UserinfoAuthenticator, identity_of
from jupyter_jsc.demo.unicore.settings import Identity
from jupyter_jsc.errors import Unavailable

SESSION = "X-UNICORE-SecuritySession"
PREFERENCES = "X-UNICORE-User-Preferences"


@pytest.mark.parametrize(
    ("header", "status", "role"),
    [
        (None, 200, "anonymous"),
        ("Bearer ", 200, "anonymous"),
        ("Bearer", 200, "anonymous"),
        ("bearer tok-alice", 200, "anonymous"),
        ("Foo tok-alice", 200, "anonymous"),
        ("Bearer tok-nora", 200, "anonymous"),
        ("Bearer tok-alice", 200, "user"),
        ("Bearer wrong", 403, None),
        ("Bearer a.b.c", 403, None),
        ("Basic YTpi", 403, None),
    ],
)
async def test_credentials(client: Any, header: str | None, status: int, role: str | None) -> None:
    """Bad credentials are 403 with an empty body, unusable ones are none, unmapped users are anonymous with 200."""
    headers = {} if header is None else {"Authorization": header}
    answer = await client.as_(None, **headers)("GET")
    assert status == answer.status
    if role is None:
        assert (answer.body, answer.headers.get("Content-Type"), answer.headers.get(SESSION)) == (b"", None, None)
        return
    assert role == answer.json["client"]["role"]["selected"]
    assert answer.headers[f"{SESSION}-Lifetime"] == "28800000"


async def test_anonymous_sees_empty_lists_and_submits_nothing(client: Any) -> None:
    """Lists are empty with 200; a submission is 403; another's job is 403."""
    url = await client.submit(Executable="date")
    for token in (None, "tok-nora"):
        nobody = client.as_(token)
        assert [(await nobody.get(f"/{name}"))[name] for name in ("jobs", "sites", "storages")] == [[], [], []]
        refused = await nobody("POST", "/jobs", json={})
        assert (refused.status, refused.body) == (403, b"")
        assert ((await nobody("GET", url)).status, (await nobody("GET", url)).body) == (403, b"")
    assert (await client.as_("tok-bob")("GET", url)).status == 403


async def test_session_beats_authorization_until_it_expires(client: Any) -> None:
    """A known session needs no credential; an unknown one is 432 with an empty body, whatever the credential."""
    session = (await client("GET")).headers[SESSION]
    with_session = client.as_("wrong", **{SESSION: session})
    answer = await with_session("GET")
    assert ("UID=alice@example.org", session) == (answer.json["client"]["dn"], answer.headers[SESSION])
    client.site.faults.expire_sessions()
    answer = await client.as_("tok-alice", **{SESSION: session})("GET", "/jobs")
    assert (answer.status, answer.body) == (432, b"")
    assert (await client("GET")).status == 200


async def test_provider_down(client: Any) -> None:
    """New tokens are 403 while the provider is away; sessions go on."""
    session = (await client("GET")).headers[SESSION]
    client.site.settings.authenticator.broken = True
    assert (await client("GET")).status == 403
    assert (await client.as_("tok-alice", **{SESSION: session})("GET")).status == 200


@pytest.mark.parametrize(
    ("preferences", "status", "uid", "group"),
    [
        ("", 200, "alice1", None),
        ("uid:alice2", 200, "alice2", None),
        ("uid:alice1,group:proj2", 200, "alice1", "proj2"),
        ("uid:alice2, group:proj3, role:user", 200, "alice2", "proj3"),
        ("uid:root", 403, None, None),
        ("group:proj3", 403, None, None),
        ("uid:alice1,group:zzz", 403, None, None),
        ("role:admin", 500, None, None),
    ],
)
async def test_preferences(client: Any, preferences: str, status: int, uid: str | None, group: str | None) -> None:
    """Account and project can be chosen from the user's own only; a foreign role is a 500."""
    answer = await client("GET", headers={PREFERENCES: preferences})
    assert status == answer.status
    if status == 200:
        xlogin = answer.json["client"]["xlogin"]
        assert (uid, group) == (xlogin["UID"], xlogin.get("group"))
        assert xlogin["availableUIDs"] == ["alice1", "alice2"]
    elif status == 403:
        assert answer.body == b""


async def test_preferences_reach_the_job(client: Any) -> None:
    """The chosen account runs the job, the chosen group pays for it."""
    chosen = client.as_("tok-alice", **{"Authorization": "Bearer tok-alice", PREFERENCES: "uid:alice1,group:proj2"})
    url = await chosen.submit(Executable="echo $USER; sleep 600")
    assert await client.until_file(url, "stdout") == "alice1\n"
    assert (await client.get(f"{url}/details"))["Account"] == "proj2"


ENTRIES = ["a1,demo,p1,x@y", "a1,demo,p2,x@y", "a1,other,p9,x@y", "a2, demo ,p1", "a3,demo", "junk", ",demo,p1,x"]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"username_attr": "u", "hpc_infos_attribute": ENTRIES}, {"a1": ("p1", "p2"), "a2": ("p1",), "a3": ()}),
        ({"username_attr": ["u"], "hpc_infos_attribute": ENTRIES[0]}, {"a1": ("p1",)}),
        ({"username_attr": "u"}, {}),
        ({"username_attr": "u", "hpc_infos_attribute": []}, {}),
    ],
)
def test_identity_of(claims: dict[str, Any], expected: dict[str, tuple[str, ...]]) -> None:
    """Accounts come from the entries with a key of this site, as text or list; the rest is ignored."""
    assert Identity("UID=u", expected) == identity_of(claims, frozenset({"demo"}))


def test_identity_of_nobody() -> None:
    """Without a name there is no identity."""
    assert identity_of({"sub": "1"}, frozenset({"demo"})) is None


class Provider:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.down = False

    async def userinfo(self, request: web.Request) -> web.Response:
        self.calls.append(request.headers["Authorization"])
        if self.down:
            return web.Response(status=500)
        if request.headers["Authorization"] != "Bearer good":
            return web.Response(status=401)
        return web.json_response({"username_attr": "u@x.org", "hpc_infos_attribute": "a1,demo,p1,u@x.org"})


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, UserinfoAuthenticator]]:
    found = Provider()
    app = web.Application()
    app.router.add_get("/userinfo", found.userinfo)
    async with TestServer(app) as server:
        yield found, UserinfoAuthenticator(str(server.make_url("/userinfo")), frozenset({"demo"}))


async def test_good_token_is_remembered_bad_one_is_not(provider: tuple[Provider, UserinfoAuthenticator]) -> None:
    """Five calls with a good token ask once, with a bad one five times; a dead provider does not harm the known."""
    asked, authenticator = provider
    expected = Identity("UID=u@x.org", {"a1": ("p1",)})
    assert [expected] * 5 == [await authenticator("good") for _ in range(5)]
    assert [await authenticator("bad") for _ in range(5)] == [None] * 5
    assert ["Bearer good", *["Bearer bad"] * 5] == asked.calls
    asked.down = True
    assert expected == await authenticator("good")
    with pytest.raises(Unavailable):
        await authenticator("another")


async def test_unreachable_provider() -> None:
    """A refused connection is Unavailable."""
    with pytest.raises(Unavailable):
        await UserinfoAuthenticator("http://127.0.0.1:9/userinfo", frozenset())("token")
