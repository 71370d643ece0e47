# SPDX-License-Identifier: BSD-3-Clause
"""From a branch to the published tree.

Aspects: good, bad and hostile commits; a history that is rewritten; a process that dies after any step; what is kept
and what is not; one process at a time.
"""

import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from jupyter_jsc.config.current import Current
from jupyter_jsc.config.repository import Entry, Remote
from jupyter_jsc.config.sync import Sync, wanted
from jupyter_jsc.errors import Conflict, InvalidRequest, NotFound, Unavailable
from tests.config import small
from tests.config.git import Git

STEPS = ["fetched", "read", "written", "checked", "moved", "flipped", "cleared"]


class Killed(BaseException):
    """The end of the process."""


def dying(step: str) -> Callable[[str], None]:
    """A step hook that ends the process after *step*."""

    def die(done: str) -> None:
        if done == step:
            raise Killed

    return die


@pytest.fixture
def git(tmp_path: Path) -> Git:
    git = Git(tmp_path / "remote")
    git.commit_tree(small.tree(support="first"))
    return git


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "into"


@pytest.fixture
def remote(git: Git) -> Remote:
    return Remote(str(git.folder), "main")


@pytest.fixture
async def sync(remote: Remote, into: Path) -> AsyncIterator[Sync]:
    sync = Sync(remote, into)
    with sync.held():
        yield sync


def support(into: Path) -> str:
    """What a service would say now."""
    return Current(into / "current").configuration.support


def refused(into: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((into / "refused.json").read_text())
    return found


async def test_a_good_commit_is_put_in_force(git: Git, sync: Sync, into: Path) -> None:
    """The link leads to a folder named for the commit, which services read."""
    commit = git("rev-parse", "HEAD")
    outcome = await sync.update()
    assert (outcome.commit, outcome.mistakes, sync.in_force) == (commit, (), commit)
    assert (into / "current").readlink() == Path("versions") / commit
    assert (support(into), Current(into / "current").version) == ("first", commit)


async def test_only_files_of_the_configuration_are_published(git: Git, sync: Sync, into: Path) -> None:
    """No readme, no script, nothing hidden."""
    for path in ("README.md", "run.sh", ".gitlab-ci.yml", ".github/workflows/test.yaml", "docs/a.txt"):
        git.write(path, "x: [")
    git.write("systems/deep/er.yml", "support: deep\n")
    git.write("all.yaml", (git.folder / "all.yaml").read_text().replace("support: first\n", ""))
    commit = git.commit()
    await sync.update()
    found = {str(path.relative_to(into / "versions" / commit)) for path in (into / "versions" / commit).rglob("*.*")}
    assert found == {"all.yaml", "systems/deep/er.yml"}
    assert support(into) == "deep"


async def test_a_bad_commit_changes_nothing_and_the_next_good_one_heals(git: Git, sync: Sync, into: Path) -> None:
    """The report has commit, time and every mistake with its file and line, for programs and for people."""
    good = (await sync.update()).commit
    git.write("all.yaml", "hub: demo\nsupprt: x\n")
    bad = git.commit()
    outcome = await sync.update()
    assert outcome.commit == bad
    assert (sync.in_force, support(into)) == (good, "first")
    report = refused(into)
    assert (report["commit"], report["when"][:2]) == (bad, "20")
    assert ("all.yaml", 2, "supprt") in {(one["file"], one["line"], one["path"]) for one in report["mistakes"]}
    text = (into / "refused.txt").read_text()
    assert bad in text
    assert all(str(mistake) in text for mistake in outcome.mistakes)
    assert sorted(path.name for path in (into / "versions").iterdir()) == [good]
    git.commit_tree(small.tree(support="second"))
    assert (await sync.update()).mistakes == ()
    assert support(into) == "second"
    assert list(into.glob("refused*")) == []


async def test_the_log_says_what_is_published_and_what_is_refused(git: Git, sync: Sync) -> None:
    """One line each, with the commit; of a refused one how much is wrong and the first mistake."""
    with capture_logs() as lines:
        good = (await sync.update()).commit
        git.write("all.yaml", "hub: demo\nsupprt: x\n")
        bad = git.commit()
        await sync.update()
        await sync.update()
    published, not_published = (
        [line for line in lines if line["event"] == f"configuration {what}"] for what in ("published", "refused")
    )
    assert [line["version"] for line in published] == [good]
    assert [line["version"] for line in not_published] == [bad]
    assert not_published[0]["mistakes"] > 1
    assert "missing" in not_published[0]["first"]


async def test_a_refused_commit_is_looked_at_once(git: Git, sync: Sync, into: Path) -> None:
    """Nothing is done again until the branch moves."""
    git.write("all.yaml", "hub: [")
    git.commit()
    first = await sync.update()
    (into / "refused.json").unlink()
    assert await sync.update() is first
    assert not (into / "refused.json").exists()


async def test_a_new_process_looks_at_a_refused_commit_again(git: Git, remote: Remote, into: Path) -> None:
    """Another release may understand it."""
    git.write("all.yaml", "hub: [")
    git.commit()
    for _ in range(2):
        sync = Sync(remote, into)
        with sync.held():
            await sync.update()
        (into / "refused.json").unlink()


async def test_history_that_is_rewritten(git: Git, sync: Sync, into: Path) -> None:
    """Force-pushed, reverted by force, begun anew: the branch is what it is now."""
    first = (await sync.update()).commit
    git.commit_tree(small.tree(support="second"))
    await sync.update()
    git.commit_tree(small.tree(support="amended"), "--amend")
    await sync.update()
    assert support(into) == "amended"
    git("reset", "--quiet", "--hard", first)
    assert (await sync.update()).commit == first
    assert support(into) == "first"
    git("checkout", "--quiet", "--orphan", "new")
    git.commit_tree(small.tree(support="orphan"))
    git("branch", "--force", "main", "new")
    await sync.update()
    assert support(into) == "orphan"


async def test_a_branch_that_is_deleted(git: Git, sync: Sync, into: Path) -> None:
    """The last good version stays; the branch may come back."""
    await sync.update()
    git("branch", "--move", "main", "other")
    with pytest.raises(NotFound):
        await sync.update()
    assert support(into) == "first"
    git("branch", "--move", "other", "main")
    git.commit_tree(small.tree(support="back"))
    await sync.update()
    assert support(into) == "back"


def commit_bytes(git: Git) -> None:
    (git.folder / os.fsdecode(b"\xff.yaml")).write_bytes(b"x: 1")
    git.commit()


HOSTILE: dict[str, tuple[Callable[[Git], object], str]] = {
    "link to a file": (lambda git: git.commit_entries(("120000", git.blob(b"/etc/passwd"), "x.yaml")), "x.yaml"),
    "link to a folder": (lambda git: git.commit_entries(("120000", git.blob(b".."), "up")), "up"),
    "submodule": (lambda git: git.commit_entries(("160000", "1" * 40, "module")), "module"),
    "a megabyte": (lambda git: (git.write("big.yaml", b"# " + b"x" * 1_100_000), git.commit()), "big.yaml"),
    "ten megabytes": (lambda git: [git.write(f"{n}.yaml", b"#" * 999_999) for n in range(11)] + [git.commit()], ""),
    "many files": (lambda git: [git.write(f"{n}.yaml", "") for n in range(1001)] + [git.commit()], ""),
    "binary": (lambda git: (git.write("x.yaml", bytes(range(256))), git.commit()), "x.yaml"),
    "a name with a line break": (lambda git: (git.write("a\nb.yaml", "x: 1"), git.commit()), "a?b.yaml"),
    "a name that is no text": (commit_bytes, "?xff.yaml"),
    "nothing at all": (lambda git: ((git.folder / "all.yaml").unlink(), git.commit()), ""),
    "only other files": (
        lambda git: ((git.folder / "all.yaml").rename(git.folder / "all.json"), git.commit()),
        "",
    ),
}


@pytest.mark.parametrize(("act", "said"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_commit_is_refused(
    git: Git, sync: Sync, into: Path, act: Callable[[Git], object], said: str
) -> None:
    """With the path in the report; nothing of it is written, and the next good commit heals."""
    good = (await sync.update()).commit
    act(git)
    outcome = await sync.update()
    assert any(said in mistake.file for mistake in outcome.mistakes), outcome
    assert refused(into)["commit"] == git("rev-parse", "main")
    assert [path.name for path in (into / "versions").iterdir()] == [good]
    assert support(into) == "first"
    git("reset", "--quiet", "--hard", good)
    git.commit_tree(small.tree(support="healed"))
    await sync.update()
    assert support(into) == "healed"


@pytest.mark.parametrize(
    "path",
    [
        b"../x.yaml",
        b"a/../x.yaml",
        b"/x.yaml",
        b"a//x.yaml",
        b"./x.yaml",
        b"a\x00.yaml",
        b"a\\b.yaml",
        b"\xff.yaml",
        b"a/" * 30 + b"x.yaml",
        b"a" * 300 + b".yaml",
    ],
    ids=repr,
)
def test_a_path_that_leads_elsewhere_is_refused(path: bytes) -> None:
    """Git does not make such commits; whoever writes objects by hand does."""
    with pytest.raises(InvalidRequest, match="leads elsewhere"):
        wanted([Entry("100644", "0" * 40, 1, path)])


async def test_a_link_hides_no_other_mistake(git: Git, sync: Sync) -> None:
    """All that is wrong with a commit is said at once; a link is never followed."""
    (git.folder / "link.yaml").symlink_to("/etc/passwd")
    git.write("more.yaml", "colour: blue\n")
    git.commit()
    said = {mistake.file: mistake.message for mistake in (await sync.update()).mistakes}
    assert "symbolic link" in said["link.yaml"]
    assert "colour" in said["more.yaml"]


async def test_a_commit_with_the_same_path_twice(git: Git, sync: Sync) -> None:
    """A tree object that no honest git writes."""
    one = git.blob(b"x: 1\n")
    git.commit_entries(("100644", one, "x.yaml"), ("100644", one, "x.yaml"))
    outcome = await sync.update()
    assert "twice" in outcome.mistakes[0].message


@pytest.mark.parametrize("step", STEPS)
async def test_a_process_that_dies_after_a_step(git: Git, remote: Remote, into: Path, step: str) -> None:
    """The services never see anything but the last good version or the new one; the next run finishes and tidies."""
    for text in ("first", "second"):
        git.commit_tree(small.tree(support=text))
        before = support(into) if (into / "current").exists() else None
        sync = Sync(remote, into, step=dying(step))
        with contextlib.suppress(Killed), sync.held():
            await sync.update()
        if (into / "current").is_symlink():
            assert support(into) in {before, text}
        again = Sync(remote, into)
        with again.held():
            outcome = await again.update()
        assert (support(into), outcome.mistakes) == (text, ())
        assert list(into.rglob(".tmp-*")) == []


@pytest.mark.parametrize("left", ["versions/.tmp-abc/all.yaml", ".tmp-current", ".tmp-refused.json"])
async def test_what_a_dead_process_left_is_cleared(remote: Remote, into: Path, left: str) -> None:
    """Also what only a power cut leaves."""
    (into / left).parent.mkdir(parents=True)
    (into / left).write_text("x")
    sync = Sync(remote, into)
    with sync.held():
        await sync.update()
    assert support(into) == "first"
    assert list(into.rglob(".tmp-*")) == []


async def test_a_refusal_that_was_cut_short(git: Git, remote: Remote, into: Path) -> None:
    """A report of a commit that is good now does not stay."""
    sync = Sync(remote, into)
    with sync.held():
        await sync.update()
    (into / "refused.json").write_text("{}")
    again = Sync(remote, into)
    with again.held():
        await again.update()
    assert not (into / "refused.json").exists()


async def test_earlier_versions_are_kept_for_their_time(git: Git, sync: Sync, into: Path) -> None:
    """The time counts from the day a version was replaced; the one in force never goes, however old it is."""
    versions = [(await sync.update()).commit]
    for number in range(3):
        os.utime(into / "versions" / versions[-1], (1, 1))
        git.commit_tree(small.tree(support=f"{number}", retention={"versions_days": 30}))
        versions.append((await sync.update()).commit)
    assert {path.name for path in (into / "versions").iterdir()} == set(versions)
    for version in versions:
        os.utime(into / "versions" / version, (1, 1))
    git.commit_tree(small.tree(support="last", retention={"versions_days": 30}))
    last = (await sync.update()).commit
    assert {path.name for path in (into / "versions").iterdir()} == {versions[-1], last}


@pytest.mark.parametrize("broken", ["cut", "more", "changed", "gone"])
async def test_a_version_that_is_damaged_is_written_anew(git: Git, sync: Sync, into: Path, broken: str) -> None:
    """Whatever happened to an earlier version, one that comes back is what the commit says: without its groups it
    would be open to everybody.
    """
    git.write("groups.yaml", "groups: {staff: {label: Staff, members: [{admin: true}]}}\n")
    first = git.commit()
    await sync.update()
    git.commit_tree(small.tree(support="second"))
    await sync.update()
    groups = into / "versions" / first / "groups.yaml"
    if broken in {"cut", "changed"}:
        groups.unlink()
    if broken == "changed":
        groups.write_text("max_labs_per_user: 3\n")
    if broken == "more":
        (groups.parent / "more.yaml").write_text("max_labs_per_user: 3\n")
    if broken == "gone":
        shutil.rmtree(groups.parent)
    git("reset", "--quiet", "--hard", first)
    assert (await sync.update()).mistakes == ()
    configuration = Current(into / "current").configuration
    assert (list(configuration.groups), configuration.max_labs_per_user) == (["staff"], None)
    assert list(into.rglob(".tmp-*")) == []


async def test_a_process_that_dies_while_it_removes_a_version(git: Git, sync: Sync, into: Path) -> None:
    """A version that is removed goes as a whole: no lab that was started with it is served from a part of it."""
    first = (await sync.update()).commit
    git.commit_tree(small.tree(support="second", retention={"versions_days": 30}))
    await sync.update()
    os.utime(into / "versions" / first, (1, 1))
    git.commit_tree(small.tree(support="third", retention={"versions_days": 30}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", _interrupted)
        with pytest.raises(Killed):
            await sync.update()
    assert Current(into / "current").find(first) is None
    assert support(into) == "third"


def _interrupted(folder: Path) -> None:
    if folder.name == ".tmp-gone":
        next(folder.iterdir()).unlink()
        raise Killed


@pytest.mark.parametrize("target", ["../elsewhere", "elsewhere", "versions/nothing"])
async def test_a_link_that_somebody_made_by_hand(sync: Sync, into: Path, target: str) -> None:
    """A link to no version of ours is taken over."""
    (into / "elsewhere").mkdir()
    (into.parent / "elsewhere").mkdir()
    (into / "current").symlink_to(target)
    assert sync.in_force is None
    await sync.update()
    assert support(into) == "first"


async def test_a_folder_in_place_of_the_link(git: Git, sync: Sync, into: Path) -> None:
    """Nothing of anybody else's is removed; once it is out of the way the newest commit is published."""
    (into / "current").mkdir()
    with pytest.raises(Unavailable):
        await sync.update()
    (into / "current").rmdir()
    assert (await sync.update()).commit == git("rev-parse", "HEAD")
    assert support(into) == "first"


async def test_two_processes_on_one_folder(remote: Remote, sync: Sync, into: Path) -> None:
    """The second one is told so, and may begin when the first has ended."""
    with pytest.raises(Conflict, match=str(into)), Sync(remote, into).held():
        raise AssertionError


async def test_services_see_whole_versions_only(git: Git, sync: Sync, into: Path) -> None:
    """Whoever follows the link while commits pass reads a complete version each time."""
    await sync.update()
    for number in range(5):
        git.write("other.yaml", f"max_labs_per_user: {number}\n")
        git.commit_tree(small.tree(support=str(number)))
        await sync.update()
        current = Current(into / "current")
        assert (current.configuration.support, current.configuration.max_labs_per_user) == (str(number), number)
