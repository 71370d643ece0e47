# SPDX-License-Identifier: BSD-3-Clause
"""The process that keeps the published configuration: what makes it look, who may tell it to, what it says of itself."""

import asyncio
import contextlib
import hashlib
import hmac
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import yaml

from jupyter_jsc import service
from jupyter_jsc.config.mistakes import ConfigurationRefused
from jupyter_jsc.config.sync import Sync
from jupyter_jsc.configsync import Follower, SyncSettings, create_app, run
from jupyter_jsc.errors import Conflict, InvalidRequest, NotFound, Unavailable
from tests.config import small
from tests.config.git import Git

FAKE_SSH = """\
#!/bin/sh
# An ssh to this machine: the last argument is git's command.
for command; do :; done
exec sh -c "$command"
"""


@pytest.fixture
def git(tmp_path: Path) -> Git:
    git = Git(tmp_path / "remote")
    git.commit_tree(small.tree(support="first"))
    return git


@pytest.fixture
def settings(git: Git, tmp_path: Path) -> SyncSettings:
    (tmp_path / "secret").write_text("s3cr3t\n")
    (tmp_path / "callers.yaml").write_text(yaml.safe_dump({"ci": service.token_hash("token")}))
    return SyncSettings(
        repo=str(git.folder),
        into=tmp_path / "into",
        interval_s=3600,
        webhook_secret_file=tmp_path / "secret",
        callers_file=tmp_path / "callers.yaml",
    )


@contextlib.asynccontextmanager
async def serving(settings: SyncSettings) -> AsyncIterator[httpx.AsyncClient]:
    """The process's HTTP side with its loop, in this one."""
    sync = Sync(settings.remote(), settings.into)
    with sync.held():
        app = create_app(Follower(sync, settings.interval_s), settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://s") as http,
        ):
            yield http


async def until(http: httpx.AsyncClient, holds: Callable[[dict[str, object]], object]) -> dict[str, object]:
    """Return what ``/health/ready`` says once something holds for its details."""
    async with asyncio.timeout(30):
        while not holds(details := (await http.get("/health/ready")).json()["details"]):
            await asyncio.sleep(0.02)
        return details


def in_force(commit: str) -> Callable[[dict[str, object]], object]:
    return lambda details: details["configuration"] == commit


async def test_a_commit_here_is_seen_by_itself(git: Git, settings: SyncSettings) -> None:
    """Forwards, by force, packed: without a webhook, long before the interval ends."""
    async with serving(settings) as http:
        await until(http, in_force(git("rev-parse", "HEAD")))
        for options in ([], ["--amend"], []):
            await until(http, in_force(git.commit_tree(small.tree(support="x"), *options)))
            git("pack-refs", "--all")


async def test_a_refused_commit_is_told(git: Git, settings: SyncSettings) -> None:
    """Health, details and metrics say what is in force and what is not; ready stays ready."""
    async with serving(settings) as http:
        good = git("rev-parse", "HEAD")
        await until(http, in_force(good))
        git.write("all.yaml", "hub: [")
        bad = git.commit()
        details = await until(http, lambda details: details["refused"])
        assert (details["configuration"], details["refused"]) == (good, bad)
        assert "all.yaml" in str(details["mistakes"])
        assert (await http.get("/health/ready")).status_code == 200
        metrics = (await http.get("/metrics")).text
        assert f'jsc_configuration_info{{version="{good}"}} 1.0' in metrics
        assert "jsc_sync_mistakes 0.0" not in metrics
        healed = git.commit_tree(small.tree(support="healed"))
        await until(http, lambda details: (details["configuration"], details["refused"]) == (healed, None))
        assert "jsc_sync_mistakes 0.0" in (await http.get("/metrics")).text


async def test_a_remote_that_is_away(git: Git, settings: SyncSettings) -> None:
    """It is said, waited out, and over as soon as the repository is back."""
    away = git.folder.with_name("away")
    git.folder.rename(away)
    async with serving(settings) as http:
        details = await until(http, lambda details: details["remote"] != "ok")
        assert details["configuration"] is None
        assert (await http.get("/health/ready")).status_code == 503
        assert "jsc_sync_failures 0.0" not in (await http.get("/metrics")).text
        away.rename(git.folder)
        commit = git("rev-parse", "HEAD")
        await until(http, lambda details: (details["configuration"], details["remote"]) == (commit, "ok"))
        assert (await http.get("/health/ready")).status_code == 200


@pytest.fixture
def elsewhere(git: Git, settings: SyncSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyncSettings:
    """The same repository, reached by ssh."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(FAKE_SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/local/bin:/usr/bin:/bin")
    return settings.model_copy(update={"repo": f"git@example.org:{git.folder}"})


def signed(body: bytes, secret: bytes = b"s3cr3t") -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}


async def test_a_webhook_makes_it_look_at_once(git: Git, elsewhere: SyncSettings) -> None:
    """A repository on another machine says itself when it has moved."""
    async with serving(elsewhere) as http:
        await until(http, in_force(git("rev-parse", "HEAD")))
        commit = git.commit_tree(small.tree(support="pushed"))
        assert (await http.post("/v1/webhook", content=b"{}", headers=signed(b"{}"))).status_code == 202
        await until(http, in_force(commit))


SENDERS = {
    "GitHub": (signed(b"{}"), 202),
    "GitHub, another secret": (signed(b"{}", b"other"), 401),
    "GitHub, another body": (signed(b"{} "), 401),
    "GitHub, no hash": ({"X-Hub-Signature-256": "sha256="}, 401),
    "GitHub, bytes": ({"X-Hub-Signature-256": b"sha256=\xff"}, 401),
    "GitHub, the weaker hash": ({"X-Hub-Signature": "sha1=" + "0" * 40}, 401),
    "GitLab": ({"X-Gitlab-Token": "s3cr3t"}, 202),
    "GitLab, another token": ({"X-Gitlab-Token": "s3cr3"}, 401),
    "GitLab, bytes": ({"X-Gitlab-Token": b"\xff"}, 401),
    "GitLab, empty": ({"X-Gitlab-Token": ""}, 401),
    "a caller": (service.bearer("token"), 202),
    "an unknown caller": (service.bearer("other"), 401),
    "the secret as a caller": (service.bearer("s3cr3t"), 401),
    "a caller with a wrong signature": (service.bearer("token") | signed(b"", b"other"), 401),
    "nobody": ({}, 401),
}


@pytest.mark.parametrize(("headers", "status"), SENDERS.values(), ids=SENDERS)
async def test_who_may_tell(settings: SyncSettings, headers: dict[str, str], status: int) -> None:
    """A signature, a token or a known caller; everybody else is refused and told nothing."""
    async with serving(settings) as http:
        response = await http.post("/v1/webhook", content=b"{}", headers=headers)
    assert response.status_code == status
    assert "s3cr3t" not in response.text


@pytest.mark.parametrize("content", [None, "", "\n"], ids=["none", "empty", "blank"])
async def test_without_a_secret_no_signature_counts(settings: SyncSettings, content: str | None) -> None:
    """A secret that was forgotten is not the empty secret."""
    assert settings.webhook_secret_file
    if content is None:
        settings.webhook_secret_file.unlink()
    else:
        settings.webhook_secret_file.write_text(content)
    async with serving(settings) as http:
        for headers in (signed(b"{}", b""), {"X-Gitlab-Token": ""}, signed(b"{}")):
            assert (await http.post("/v1/webhook", content=b"{}", headers=headers)).status_code == 401
        assert (await http.post("/v1/webhook", headers=service.bearer("token"))).status_code == 202


async def test_other_routes_are_closed(settings: SyncSettings) -> None:
    """Health and metrics are open, and nothing else is."""
    async with serving(settings) as http:
        assert (await http.get("/openapi.json")).status_code == 401
        assert (await http.get("/health/live")).status_code == 200


async def test_once(git: Git, settings: SyncSettings) -> None:
    """The newest commit is published; where it cannot be used the error says all that is wrong."""
    once = settings.model_copy(update={"once": True})
    await run(once)
    good = (settings.into / "current").readlink()
    git.write("all.yaml", "hub: [")
    git.commit()
    with pytest.raises(ConfigurationRefused, match=r"all\.yaml"):
        await run(once)
    assert (settings.into / "current").readlink() == good
    with pytest.raises(NotFound):
        await run(once.model_copy(update={"branch": "other"}))
    with pytest.raises(Unavailable):
        await run(once.model_copy(update={"repo": str(settings.into)}))
    with pytest.raises(InvalidRequest, match="password"):
        await run(once.model_copy(update={"repo": "https://a:b@example.org/x"}))


async def test_one_process_a_folder(settings: SyncSettings) -> None:
    """A second one says so and ends."""
    async with serving(settings):
        with pytest.raises(Conflict):
            await run(settings)


PROGRAM = """\
import asyncio, sys
from jupyter_jsc.configsync import SyncSettings, run
asyncio.run(run(SyncSettings.model_validate_json(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0), (signal.SIGINT, 0)], ids=str
)
async def test_the_process_ends_and_another_goes_on(
    git: Git, settings: SyncSettings, number: signal.Signals, code: int
) -> None:
    """Killed while commits pass or asked to end: the next one takes over at once."""
    for text in ("second", "third"):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, settings.model_dump_json())
        commit = git.commit_tree(small.tree(support=text))
        async with asyncio.timeout(60):
            while not (settings.into / "versions" / commit).exists():
                await asyncio.sleep(0.01)
        process.send_signal(number)
        assert await process.wait() == code
    await run(settings.model_copy(update={"once": True}))
    assert (settings.into / "current").readlink().name == commit
