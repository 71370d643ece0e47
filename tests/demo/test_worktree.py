# SPDX-License-Identifier: BSD-3-Clause
"""The demo's configuration repository, with real git: made once, the user's afterwards."""

import subprocess
from pathlib import Path

import pytest

from jupyter_jsc.config import load
from jupyter_jsc.demo import worktree
from jupyter_jsc.errors import Conflict, NotFound


def git(path: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A User", "-c", "user.email=user@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=path, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A new repository."""
    worktree.ensure(tmp_path / "own")
    return tmp_path / "own"


def test_a_new_one_holds_the_example(own: Path) -> None:
    """One commit on the branch that is followed, nothing uncommitted, no mistake."""
    assert git(own, "status", "--porcelain") == ""
    assert git(own, "log", "--format=%an", worktree.BRANCH) == "jupyter-jsc demo"
    configuration = load.load(own)
    assert configuration.systems == load.load(Path("examples/config")).systems


def test_one_that_is_there_is_the_users(own: Path) -> None:
    """Neither commits nor changes that are not committed are touched by a later start."""
    (own / "portal.yaml").write_text("support: nobody\n", "utf-8")
    git(own, "commit", "--all", "--message", "Mine")
    (own / "groups.yaml").unlink()
    worktree.ensure(own)
    assert git(own, "log", "--format=%s", "--max-count=1") == "Mine"
    assert git(own, "status", "--porcelain") == "D groups.yaml"


def test_new_addresses_are_the_only_thing_committed(own: Path) -> None:
    """What the user has begun elsewhere in the tree stays begun, staged or not."""
    (own / "groups.yaml").write_text("# begun\n", "utf-8")
    (own / "new.yaml").write_text("# staged\n", "utf-8")
    git(own, "add", "new.yaml")
    tree = worktree.addresses(own) | {"hub": "another"}
    worktree.commit_addresses(own, tree)
    assert worktree.addresses(own) == tree
    assert git(own, "show", "--name-only", "--format=%an") == "jupyter-jsc demo\n\naddresses.yaml"
    assert git(own, "status", "--porcelain").split("\n") == ["M groups.yaml", "A  new.yaml"]


def test_another_branch_is_left_alone(own: Path) -> None:
    """A commit must not end up on a branch that nobody follows; the message says what to do."""
    git(own, "checkout", "--quiet", "-b", "try")
    with pytest.raises(Conflict, match=f"checkout {worktree.BRANCH}"):
        worktree.commit_addresses(own, {"hub": "x"})
    assert git(own, "status", "--porcelain") == ""


@pytest.mark.parametrize("content", [None, "hub: [", "\x00"], ids=["missing", "cut", "binary"])
def test_addresses_that_cannot_be_read_are_said(own: Path, content: str | None) -> None:
    """The message says how to bring the file back."""
    path = own / "addresses.yaml"
    path.unlink() if content is None else path.write_text(content, "utf-8")
    with pytest.raises(Conflict, match=r"checkout -- addresses\.yaml"):
        worktree.addresses(own)


def test_without_git_the_demo_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git gets a sentence, not a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="install git"):
        worktree.ensure(tmp_path / "own")


def test_an_interrupted_first_start_leaves_no_half_repository(tmp_path: Path) -> None:
    """What was begun before is begun again."""
    (tmp_path / "own.new" / ".git").mkdir(parents=True)
    worktree.ensure(tmp_path / "own")
    assert load.load(tmp_path / "own").hub == "example"
