# SPDX-License-Identifier: BSD-3-Clause
"""HTTP to a site: verified, limited in time and size, never redirected; every answer is one of our errors or a document.

Aspects: which servers are spoken to at all; TLS; classes of errors; what an error says; sessions by identity.
"""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from jupyter_jsc.errors import CredentialRefused, InvalidRequest, JSCError, NotFound, SiteRefused, SiteUnavailable
from jupyter_jsc.sites.unicore import transport
from jupyter_jsc.sites.unicore.transport import Caller, Connection, Refused

TOKEN = SecretStr("tok-alice")


class Server:
    """Answers what a test tells it; keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = web.Response()
        self.asked: list[web.Request] = []
        self.patience: asyncio.Event | None = None

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if self.patience is not None:
            await self.patience.wait()
        return self.answer

    @contextlib.asynccontextmanager
    async def serve(self, **how: object) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(app, **({"scheme": "https"} if how else {}))
        await server.start_server(**how)
        try:
            yield str(server.make_url("/X/rest/core"))
        finally:
            if self.patience is not None:
                self.patience.set()
            await server.close()


@pytest.fixture
def server() -> Server:
    return Server()


@contextlib.asynccontextmanager
async def connected(url: str, ca_file: str = "") -> AsyncIterator[Connection]:
    connection = Connection("JUWELS", url, ca_file)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    """A caller of the server, over plain HTTP on this machine."""
    async with server.serve() as url, connected(url) as connection:
        yield connection.as_user(TOKEN, None, None)


@pytest.mark.parametrize("url", ["http://unicore.example.org/X", "http://10.0.0.1/X", "ftp://localhost.evil.org/X"])
def test_tokens_go_to_nobody_in_the_clear(url: str) -> None:
    """Plain HTTP is for this machine only."""
    with pytest.raises(InvalidRequest, match="https"):
        Connection("JUWELS", url, "")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


async def test_a_server_without_a_good_certificate_hears_no_token(server: Server, tmp_path: Path) -> None:
    """pyunicore verifies nothing by default; we do: an unknown authority, and a name that does not fit."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.answer = web.json_response({"server": {}})
    async with server.serve(ssl=context) as url:
        named = url.replace("127.0.0.1", "localhost")
        for address, ca_file in ((named, ""), (url, str(cert))):
            async with connected(address, ca_file) as connection:
                with pytest.raises(SiteUnavailable):
                    await connection.as_user(TOKEN, None, None).get("")
        assert server.asked == []
        async with connected(named, str(cert)) as connection:
            assert await connection.as_user(TOKEN, None, None).get("") == {"server": {}}


async def test_a_server_that_is_down() -> None:
    """Nobody listens: a sentence for the user, and trying again may help."""
    async with connected("http://127.0.0.1:9/X") as connection:
        with pytest.raises(SiteUnavailable) as failed:
            await connection.as_user(TOKEN, None, None).get("")
    assert failed.value.message == "JUWELS does not answer at the moment."


async def test_a_server_that_hangs(caller: Caller, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call has an end: reading, submitting and deleting."""
    monkeypatch.setattr(transport, "CALL_S", 0.1)
    server.patience = asyncio.Event()
    for call in (caller.get("/jobs"), caller.post("/jobs", {}), caller.delete("/jobs/a"), caller.text("/x", {})):
        with pytest.raises(SiteUnavailable) as failed:
            await call
        assert failed.value.message == "JUWELS does not answer in time."


HTML = "<html><body>tok-alice at eu.unicore.Server</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "error"),
    [
        (404, "", None, NotFound),
        (404, HTML, "text/html", SiteUnavailable),
        (404, "", "text/html", SiteUnavailable),
        (404, '{"errorMessage": "x"}', "application/json", SiteUnavailable),
        (401, "", None, Refused),
        (403, "", None, Refused),
        (403, HTML, "text/html", Refused),
        (400, '{"errorMessage": "No such queue"}', "application/json", SiteRefused),
        (302, "", None, SiteUnavailable),
        (415, "", None, SiteUnavailable),
        (429, "", None, SiteUnavailable),
        (500, '{"errorMessage": "Limit reached", "status": 500}', "application/json", SiteUnavailable),
        (500, HTML, "text/html", SiteUnavailable),
        (500, "[1]", "application/json", SiteUnavailable),
        (503, '{"message": "Service down", "status": "503"}', "application/json", SiteUnavailable),
        (200, HTML, "text/html", SiteUnavailable),
        (200, '{"jobs": [', "application/json", SiteUnavailable),
        (200, "[]", "application/json", SiteUnavailable),
        (200, "", None, SiteUnavailable),
    ],
)
async def test_what_an_answer_means(
    caller: Caller, server: Server, status: int, body: str, kind: str | None, error: type[JSCError]
) -> None:
    """Only an empty 404 is "not there"; the sentence names the system and repeats nothing of the answer."""
    server.answer = web.Response(status=status, text=body if kind else None, content_type=kind)
    with pytest.raises(JSCError) as failed:
        await caller.get("/jobs")
    assert type(failed.value) is error or (error is SiteUnavailable and isinstance(failed.value, SiteUnavailable))
    assert failed.value.message.startswith("JUWELS ")
    assert failed.value.message.endswith(".")
    whole = failed.value.message + str(failed.value.detail)
    assert [word for word in ("<", "tok-alice", "eu.unicore") if word in whole] == []


async def test_a_servers_own_words_are_kept_for_support_and_cut(caller: Caller, server: Server) -> None:
    """They stand in the details, never in the sentence, and never without an end."""
    server.answer = web.json_response({"errorMessage": "Limit reached. " * 100}, status=500)
    with pytest.raises(SiteUnavailable) as failed:
        await caller.get("/jobs")
    assert len(failed.value.detail["said"]) == 256
    assert "Limit" not in failed.value.message


async def test_a_redirection_is_not_followed(caller: Caller, server: Server) -> None:
    """The token goes to the configured address only."""
    server.answer = web.Response(status=307, headers={"Location": "/elsewhere"})
    with pytest.raises(SiteUnavailable, match="redirection"):
        await caller.post("/jobs", {})
    assert len(server.asked) == 1


async def test_a_file_without_end_is_refused(caller: Caller, server: Server) -> None:
    """What a user's job writes does not fill the manager."""
    server.answer = web.Response(body=b"x" * (8 * 1024 * 1024 + 1))
    with pytest.raises(SiteUnavailable, match="more than fits"):
        await caller.text("/storages/a-uspace/files/stdout", {})


async def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable on the manager's machine does not lead tokens elsewhere."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answer = web.json_response({"jobs": []})
    async with server.serve() as url, connected(url) as connection:
        assert await connection.as_user(TOKEN, None, None).get("/jobs") == {"jobs": []}


async def test_each_identity_and_choice_has_a_session_of_its_own(server: Server) -> None:
    """A session beats the token on the server: one that was another's would act as the other."""
    async with server.serve() as url, connected(url) as connection:
        who = [
            (TOKEN, None, None),
            (TOKEN, "alice1", None),
            (TOKEN, "alice1", "hai"),
            (SecretStr("tok-bob"), None, None),
        ]
        for number, one in enumerate(who * 2):
            session = f"session-{number % len(who)}"
            server.answer = web.json_response({}, headers={"X-UNICORE-SecuritySession": session})
            await connection.as_user(*one).get("/jobs")
        sent = [request.headers.get("X-UNICORE-SecuritySession") for request in server.asked]
        assert sent == [None] * 4 + [f"session-{number}" for number in range(4)]
        chosen = [request.headers.get("X-UNICORE-User-Preferences") for request in server.asked[:4]]
        assert chosen == [None, "uid:alice1", "uid:alice1,group:hai", None]
        server.answer = web.json_response({})
        await connection.anonymous().get("")
        assert not {"Authorization", "X-UNICORE-SecuritySession"} & set(server.asked[-1].headers)


async def test_sessions_are_kept_for_so_many_only(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens change every few minutes for years; the longest unused ones are forgotten."""
    monkeypatch.setattr(transport, "_IDENTITIES", 3)
    async with connected("http://127.0.0.1:9/X") as connection:
        for number in range(10):
            connection.as_user(SecretStr(f"tok-{number}"), None, None)
        assert len(connection._transports) == 3


@pytest.mark.parametrize("credential", [None, SecretStr(""), SecretStr(" \n")])
async def test_without_a_token_nobody_is_asked(credential: SecretStr | None) -> None:
    """Trap 19: an empty token would be an anonymous caller, who sees empty lists."""
    async with connected("http://127.0.0.1:9/X") as connection:
        with pytest.raises(CredentialRefused):
            connection.as_user(credential, "alice1", "hai")
