# SPDX-License-Identifier: BSD-3-Clause
"""Access to the API server: kubeconfigs, service accounts, TLS, and a server that speaks anything but Kubernetes."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from jupyter_jsc.errors import InvalidRequest, JSCError, NotFound, SiteUnavailable
from jupyter_jsc.sites.kubernetes import access
from jupyter_jsc.sites.kubernetes.api import Api
from tests import tls
from tests.sites.kubernetes.conftest import TOKEN, Place, kubeconfig, start_lab

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def answering(handler: Handler, trust: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers everything by *handler*."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http{'s' if trust else ''}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def api_of(path: Path) -> AsyncIterator[Api]:
    api = Api("CLOUD", await access(path), "userlabs")
    await api.open()
    try:
        yield api
    finally:
        await api.close()


@pytest.mark.parametrize(
    "text",
    ["", "not: [yaml", "a: b", "contexts: []\nclusters: []\nusers: []\ncurrent-context: x", "[]", "\x00"],
    ids=["empty", "broken", "other", "hollow", "list", "binary"],
)
async def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    """The manager ends with a sentence that names the file."""
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=f"kubeconfig: the access to the cluster {path} can't be used"):
        await access(path)


async def test_no_kubeconfig_outside_of_a_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a file nor a service account."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidRequest, match="of the pod's service account can't be used"):
        await access(None)
    with pytest.raises(InvalidRequest, match="missing can't be used"):
        await access(tmp_path / "missing")


async def test_tls_is_verified_always(tmp_path: Path) -> None:
    """A kubeconfig that switches it off is refused."""
    path = kubeconfig(tmp_path, "https://127.0.0.1:1", **{"insecure-skip-tls-verify": True})
    with pytest.raises(InvalidRequest, match="insecure-skip-tls-verify"):
        await access(path)


async def test_a_service_account_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its token is renewed by the cluster within the hour; no restart is needed."""
    token, (authority, _) = tmp_path / "token", tls.authority(tmp_path)
    token.write_text("first")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    where = "kubernetes_asyncio.config.incluster_config"
    monkeypatch.setattr(f"{where}.SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(f"{where}.SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(f"{where}.TOKEN_REFRESH_PERIOD", timedelta(0))
    granted = await access(None)
    assert (await granted.auth_settings())["BearerToken"]["value"] == "Bearer first"
    token.write_text("second")
    assert (await granted.auth_settings())["BearerToken"]["value"] == "Bearer second"


@pytest.mark.parametrize(
    ("expired", "trusted", "said"),
    [(True, True, "has expired"), (False, False, "not one that the manager trusts"), (False, True, "")],
    ids=["expired", "unknown", "good"],
)
async def test_the_certificate_of_the_server(tmp_path: Path, expired: bool, trusted: bool, said: str) -> None:
    """What is wrong with it is said to whoever must mend it; nothing is sent to a server that is not trusted."""
    folders = [tmp_path / "own", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    public, context = tls.authority(folders[0], expired=expired)
    other, _ = tls.authority(folders[1])
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.headers["Authorization"])
        return web.json_response({"metadata": {"uid": "u"}})

    async with answering(handler, context) as url:
        path = kubeconfig(tmp_path, url, **{"certificate-authority": str(public if trusted else other)})
        async with api_of(path) as api:
            if said:
                with pytest.raises(SiteUnavailable, match=f"The certificate of CLOUD .*{said}"):
                    await api.get("pods", "x")
                assert heard == []
            else:
                assert await api.get("pods", "x") == {"metadata": {"uid": "u"}}
                assert heard == [f"Bearer {TOKEN}"]


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """A refused connection is a thing that time mends."""
    async with api_of(kubeconfig(tmp_path, "http://127.0.0.1:9")) as api:
        with pytest.raises(SiteUnavailable, match="CLOUD does not answer at the moment"):
            await api.get("pods", "x")


async def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call ends by itself."""
    monkeypatch.setattr("jupyter_jsc.sites.kubernetes.api.CALL_S", 0.1)

    async def handler(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with answering(handler) as url, api_of(kubeconfig(tmp_path, url)) as api:
        for call in (api.get("pods", "x"), api.create("pods", {}), api.log("x", "lab", 10), api.list_all("pods", {})):
            with pytest.raises(SiteUnavailable, match="in time"):
                await call


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"<html>", b"{", b"\xff\xfe", b"[" * 100000], ids=lambda body: repr(body[:6])
)
async def test_a_server_that_speaks_something_else(tmp_path: Path, body: bytes) -> None:
    """Whatever comes with a good status, it is an answer of the API or none at all, also as a line of a watch."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=body + b"\n", content_type="application/json")

    async with answering(handler) as url, api_of(kubeconfig(tmp_path, url)) as api:
        with pytest.raises(SiteUnavailable):
            await api.get("pods", "x")
        with pytest.raises(SiteUnavailable):
            async for _ in api.watch("pods", {}, "1", 1):
                pass


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_no_redirection_is_followed(tmp_path: Path, status: int) -> None:
    """The token goes to the server of the kubeconfig and to no other."""
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.json_response({})

    async with answering(elsewhere) as other:

        async def handler(_request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{other}/steal"})

        async with answering(handler) as url, api_of(kubeconfig(tmp_path, url)) as api:
            with pytest.raises(SiteUnavailable):
                await api.get("pods", "x")
    assert heard == []


async def test_a_list_of_many_pages_is_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many objects there are, each page stays small."""
    monkeypatch.setattr("jupyter_jsc.sites.kubernetes.api.PAGE", 3)
    for number in range(10):
        place.put("secrets", f"s{number}", {"metadata": {"name": f"s{number}", "namespace": "userlabs"}})
    async with api_of(kubeconfig(place.folder, place.url)) as api:
        items, version = await api.list_all("secrets", {})
    assert [item["metadata"]["name"] for item in items] == [f"s{number}" for number in range(10)]
    assert version.isdecimal()
    assert place.cluster.requests["list", "secrets"] == 4


async def test_only_metadata_of_a_secret_is_asked_for(tmp_path: Path) -> None:
    """What tells whose a Secret is needs none of its content on the wire."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept"])
        return web.json_response({"metadata": {}})

    async with answering(handler) as url, api_of(kubeconfig(tmp_path, url)) as api:
        await api.metadata("secrets", "x")
    assert asked[0].startswith("application/json;as=PartialObjectMetadata")


async def test_nothing_secret_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The client's own log of answers stays silent, at whatever level the process logs."""
    caplog.set_level(logging.DEBUG)
    async with place.driver() as driver:
        await driver.start(start_lab(), None)
    assert "s3cr3t" not in caplog.text
    assert TOKEN not in caplog.text


async def test_an_error_is_one_of_ours(place: Place) -> None:
    """And what is not there is positively not there."""
    async with api_of(kubeconfig(place.folder, place.url)) as api:
        with pytest.raises(NotFound):
            await api.get("pods", "nothing")
        with pytest.raises(JSCError):
            await api.create("pods", {"metadata": {}})
