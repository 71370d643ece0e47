# SPDX-License-Identifier: BSD-3-Clause
"""Reading a branch with git: addresses that are refused, credentials that are seen nowhere, a copy that heals itself."""

import base64
import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from jupyter_jsc.config.repository import Remote, Repository, TooLarge, marks, ssh_command
from jupyter_jsc.errors import InvalidRequest, NotFound, Unavailable
from tests.config.git import Git
from tests.tls import authority


@pytest.fixture
def git(tmp_path: Path) -> Git:
    git = Git(tmp_path / "remote")
    git.write("a.yaml", "a: 1\n")
    git.commit()
    return git


@pytest.fixture
def repository(git: Git, tmp_path: Path) -> Repository:
    (tmp_path / "into").mkdir()
    return Repository(Remote(str(git.folder), "main"), tmp_path / "into" / "repository.git")


@pytest.mark.parametrize(
    "url",
    [
        "https://alice:s3cr3t@example.org/x.git",
        "https://s3cr3t@example.org/x.git",
        "https://example.org/x.git?private_token=s3cr3t",
        "ssh://git:s3cr3t@example.org/x.git",
        "http://example.org/s3cr3t.git",
        "git://example.org/s3cr3t.git",
        "ext::sh -c s3cr3t",
        "ext::s3cr3t",
        "-oProxyCommand=s3cr3t",
        "--upload-pack=s3cr3t",
        "https://[s3cr3t/",
        "/srv/s3cr3t\n",
        "",
    ],
)
def test_an_address_that_must_not_be_used(url: str) -> None:
    """Neither a secret in it nor a protocol that runs programs; the error does not repeat it."""
    with pytest.raises(InvalidRequest, match="repo") as caught:
        Remote(url, "main")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "branch", ["", "-f", "a..b", "a b", "a:b", "a^", "x.lock", "/a", "a/", "a@{1}", "a\n", "a//b", "*"]
)
def test_a_branch_that_is_none(branch: str) -> None:
    """Nothing but a name of a branch becomes part of a refspec."""
    with pytest.raises(InvalidRequest, match="branch"):
        Remote("/srv/x", branch)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/srv/x.git", "/srv/x.git"),
        ("file:///srv/x.git", "/srv/x.git"),
        ("git@example.org:centre/x.git", None),
        ("ssh://git@example.org:22/x.git", None),
        ("https://example.org/x.git", None),
    ],
)
def test_what_is_on_this_machine_is_watched(url: str, folder: str | None) -> None:
    """Paths and file addresses are local, everything else is not."""
    assert Remote(url, "main").folder == (Path(folder) if folder else None)


async def test_the_newest_commit_with_its_files(git: Git, repository: Repository) -> None:
    """Whatever was pushed last, forwards or by force."""
    git.write("b/c.yaml", "b: 2\n")
    first = git.commit()
    assert await repository.fetch() == first
    entries = await repository.entries(first, 10_000)
    assert [(entry.mode, entry.path, entry.size) for entry in entries] == [
        ("100644", b"a.yaml", 5),
        ("100644", b"b/c.yaml", 5),
    ]
    assert await repository.contents(entries) == [b"a: 1\n", b"b: 2\n"]
    forced = git.commit("--amend", "--message=other")
    assert await repository.fetch() == forced


async def test_a_list_that_is_too_long(repository: Repository) -> None:
    """A commit with millions of files is not read to its end."""
    with pytest.raises(TooLarge):
        await repository.entries(await repository.fetch(), 10)


async def test_a_branch_that_is_gone(git: Git, repository: Repository) -> None:
    """Positively not there is another thing than not reachable."""
    await repository.fetch()
    git("checkout", "--quiet", "--detach")
    git("branch", "--quiet", "-D", "main")
    with pytest.raises(NotFound, match="main"):
        await repository.fetch()


async def test_a_repository_that_is_gone_and_comes_back(git: Git, repository: Repository) -> None:
    """An outage says what git said, and heals."""
    commit = await repository.fetch()
    git.folder.rename(git.folder.with_name("away"))
    with pytest.raises(Unavailable, match="cannot be read"):
        await repository.fetch()
    git.folder.with_name("away").rename(git.folder)
    assert await repository.fetch() == commit


@pytest.mark.parametrize("damage", ["shallow.lock", "config", "objects", "all"])
async def test_a_damaged_copy_is_made_anew(git: Git, repository: Repository, tmp_path: Path, damage: str) -> None:
    """What a killed git or a full disk leaves costs one failed look at most."""
    await repository.fetch()
    copy = tmp_path / "into" / "repository.git"
    if damage == "all":
        shutil.rmtree(copy)
    elif damage == "objects":
        shutil.rmtree(copy / "objects")
    else:
        (copy / damage).write_text("[")
    git.write("a.yaml", "a: 2\n")
    commit = git.commit()
    try:
        found = await repository.fetch()
    except Unavailable:
        found = await repository.fetch()
    assert found == commit
    assert await repository.contents(await repository.entries(commit, 1000)) == [b"a: 2\n"]


async def test_hooks_and_settings_do_nothing(git: Git, repository: Repository, tmp_path: Path) -> None:
    """Neither the remote's attributes nor hooks in the copy run anything."""
    git.write(".gitattributes", "*.yaml filter=lfs\n")
    git.write("big.yaml", "version https://git-lfs.github.com/spec/v1\n")
    git.commit()
    await repository.fetch()
    hooks = tmp_path / "into" / "repository.git" / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    commit = git.commit()
    assert await repository.fetch() == commit
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a repository of somebody else's")
async def test_a_repository_of_another_user(git: Git, repository: Repository) -> None:
    """The operator names the repository, so git's doubts about its owner are settled."""
    for path in [git.folder, *git.folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    assert await repository.fetch()


async def test_marks_change_with_the_branch(git: Git) -> None:
    """A new commit, packed or not, shows without running git."""
    seen = [marks(git.folder, "main")]
    for act in (git.commit, lambda: git("pack-refs", "--all"), git.commit):
        act()
        seen.append(marks(git.folder, "main"))
    assert len(set(seen)) == 4
    assert marks(git.folder, "main") == seen[-1]
    assert marks(git.folder / "nowhere", "main") == (None, None, None)


def test_ssh_believes_no_unknown_host(tmp_path: Path) -> None:
    """ssh itself says what it makes of our options."""
    remote = Remote("git@example.org:x", "main", tmp_path / "a key", tmp_path / "known hosts")
    said = subprocess.run(
        [*ssh_command(remote), "-G", "example.org"], check=True, capture_output=True, text=True
    ).stdout
    settings = dict(line.split(" ", 1) for line in said.splitlines())
    assert settings["stricthostkeychecking"] in {"true", "yes"}
    assert settings["batchmode"] == "yes"
    assert settings["identityfile"] == str(tmp_path / "a key")
    assert settings["userknownhostsfile"] == str(tmp_path / "known hosts")


@pytest.mark.parametrize("name", ['a"b', "a%h", "a$b", "a\\b", "a\nb"])
def test_a_path_that_ssh_would_read_otherwise(name: str) -> None:
    """No way to smuggle an option of ssh or a word of a shell in."""
    with pytest.raises(InvalidRequest):
        Remote("git@example.org:x", "main", ssh_key_file=Path("/k") / name)


async def test_credentials_for_https_come_from_a_file(tmp_path: Path) -> None:
    """They reach the server that the file names, over TLS that a named authority vouches for, and no command line."""
    heard: list[str | None] = []
    arguments: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                arguments.append(path.read_text("utf-8", "replace"))
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})

    ca_file, context = authority(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    credentials = tmp_path / "it's a file"
    credentials.write_text(f"https://alice:s3cr3t@{address}\n")
    (tmp_path / "into").mkdir()
    remote = Remote(f"https://{address}/x.git", "main", credentials_file=credentials, ca_file=ca_file)
    with pytest.raises(Unavailable) as caught:
        await Repository(remote, tmp_path / "into" / "repository.git").fetch()
    untrusted = Remote(f"https://{address}/x.git", "main", credentials_file=credentials)
    with pytest.raises(Unavailable, match="certificate"):
        await Repository(untrusted, tmp_path / "into" / "repository.git").fetch()
    await runner.cleanup()
    assert heard == [None, f"Basic {base64.b64encode(b'alice:s3cr3t').decode()}"]
    assert "s3cr3t" not in str(caught.value) + "".join(arguments)
    assert "s3cr3t" in credentials.read_text(), "a refusal must not make git forget the credentials"
