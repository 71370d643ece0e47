# SPDX-License-Identifier: BSD-3-Clause
"""More than a thousand broken commits, one after the other: each is refused or harmless, and the next good one heals.

Aspects: the report of each refusal; the last good version stays meanwhile; histories that are rewritten, cut and removed
between the commits. All of them go through git, as those of an operator do.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_jsc.config.repository import Remote
from jupyter_jsc.config.sync import Outcome, Sync
from jupyter_jsc.errors import NotFound
from tests.config import full
from tests.config.git import Bare, Change
from tests.config.mutations import FILES, TEXTS, check, mutated, times

FILE, LINK, SUBMODULE = "100644", "120000", "160000"
LANES = ("one", "other")
"""Branches that are followed at the same time, by one process each: git waits less."""
BATCH = 10
"""A good commit comes after so many mutated ones, at most."""
SUPPORT = [f"healed.{number}@centre.example" for number in range(20)]
"""What tells the good commits from each other."""
PORTAL = (full.FOLDER / "portal.yaml").read_text("utf-8")
WHOLE = {file: (FILE, (full.FOLDER / file).read_bytes()) for file in FILES}


def good(text: str, parent: int | None = 0) -> Change:
    """The whole configuration, with another address of the support."""
    portal = PORTAL.replace("support@centre.example", text).encode()
    return Change(WHOLE | {"portal.yaml": (FILE, portal)}, parent)


def hostile(chance: random.Random) -> dict[str, tuple[str, bytes]]:
    """What takes a file's place, or stands beside the files, and is none."""
    place = chance.choice([*FILES, "more.yaml", "more/deep.yaml", "folder"])
    return chance.choice(
        [
            {place: (LINK, b"/etc/passwd")},
            {place: (LINK, b"../" * chance.randrange(1, 9) + b"etc/passwd")},
            {place: (LINK, b"portal.yaml")},
            {place: (LINK, b".")},
            {place: (LINK, place.encode())},
            {place: (SUBMODULE, b"%040x" % chance.getrandbits(160))},
            {f"{place}.yaml": (FILE, chance.randbytes(2000))},
        ]
    )


KINDS = [*TEXTS, "hostile"]
NEVER_HARMLESS = {"hostile", "explosion", "binary", "10 MB", "1 MB of keys"}


def changed(kind: str, seed: int) -> dict[str, tuple[str, bytes]]:
    """The files that one mutated commit changes."""
    if kind == "hostile":
        return hostile(random.Random(f"{kind} {seed}"))
    file, content = mutated(kind, seed)
    return {file: (FILE, content)}


@dataclass(frozen=True)
class Broken:
    """A mutated commit."""

    seed: int
    commit: str
    change: Change


@dataclass(frozen=True)
class Commits:
    """All that is pushed."""

    good: dict[str, str]
    """By the address of the support in them."""
    broken: dict[str, list[Broken]]
    """By kind."""


@dataclass
class Lane:
    """A branch, the process that follows it, and what it has published."""

    bare: Bare
    branch: str
    sync: Sync

    @property
    def into(self) -> Path:
        return self.sync.folder

    async def push(self, commit: str | None) -> Outcome:
        """Let the branch be at *commit*; return what comes of it."""
        self.bare.point(self.branch, commit)
        return await self.sync.update()

    async def refuses(self, commit: str, change: Change) -> bool:
        """Push a mutated commit; tell whether it was refused, after looking at all that must hold then."""
        before = self.sync.in_force
        outcome = await self.push(commit)
        assert outcome.commit == commit
        if not outcome.mistakes:
            assert self.sync.in_force == commit
            return False
        assert self.sync.in_force == before
        report = json.loads((self.into / "refused.json").read_text("utf-8"))
        assert report["commit"] == commit
        assert report["mistakes"] == [mistake.document() for mistake in outcome.mistakes]
        assert commit in (self.into / "refused.txt").read_text("utf-8")
        for mistake in outcome.mistakes:
            mode, content = (WHOLE | dict(change.files)).get(mistake.file, ("", b""))
            check(mistake, content if mode == FILE else None)
        return True

    async def heals(self, commit: str, text: str) -> None:
        """Push a good commit; it is in force, and nothing is left of the refused ones."""
        outcome = await self.push(commit)
        assert (outcome.mistakes, self.sync.in_force) == ((), commit)
        assert f"support: {text}\n" in (self.into / "current" / "portal.yaml").read_text("utf-8")
        assert sorted(path.name for path in (self.into / "current").rglob("*.yaml")) == sorted(
            Path(file).name for file in FILES
        )
        assert [*self.into.glob("refused*"), *self.into.glob(".tmp-*"), *self.into.glob("versions/.tmp-*")] == []


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("remote") / "remote.git")


@pytest.fixture(scope="module")
def lanes(bare: Bare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    lanes = [
        Lane(bare, name, Sync(Remote(str(bare.folder), name), tmp_path_factory.mktemp("into") / name)) for name in LANES
    ]
    with lanes[0].sync.held(), lanes[1].sync.held():
        yield lanes


@pytest.fixture(scope="module")
def commits(bare: Bare) -> Commits:
    """Made all at once, so that git has them in one pack, as a server has."""
    mutations = [(kind, seed, Change(changed(kind, seed))) for kind in KINDS for seed in range(times(kind))]
    changes = [good(text, None if number == 0 else 0) for number, text in enumerate(SUPPORT)]
    made = iter(bare.make([*changes, *(change for _, _, change in mutations)]))
    commits = Commits(dict(zip(SUPPORT, made, strict=False)), {kind: [] for kind in KINDS})
    for (kind, seed, change), commit in zip(mutations, made, strict=True):
        commits.broken[kind].append(Broken(seed, commit, change))
    return commits


async def follow(lane: Lane, good: Mapping[str, str], broken: Sequence[Broken]) -> int:
    """Let mutated commits pass, and a good one before and after each few; return how many were refused."""
    refused, texts = 0, itertools.cycle(good)
    for at in range(0, len(broken), BATCH):
        text = next(texts)
        await lane.heals(good[text], text)
        for one in broken[at : at + BATCH]:
            try:
                refused += await lane.refuses(one.commit, one.change)
            except BaseException as error:
                error.add_note(f"seed {one.seed}: {', '.join(one.change.files)}")
                raise
    text = next(texts)
    await lane.heals(good[text], text)
    return refused


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mutated_commit_is_refused_or_harmless(lanes: list[Lane], commits: Commits, kind: str) -> None:
    """Nothing else comes of it: a report with file and line, or a version in force; the next good commit heals."""
    broken = commits.broken[kind]
    parts = [broken[at :: len(lanes)] for at in range(len(lanes))]
    refused = sum(await asyncio.gather(*map(follow, lanes, itertools.repeat(commits.good), parts)))
    assert refused == len(broken) if kind in NEVER_HARMLESS else refused > 0


def test_there_are_more_than_a_thousand() -> None:
    """As many as asked for."""
    assert sum(map(times, KINDS)) >= 1000


@pytest.mark.parametrize("seed", range(2))
async def test_a_branch_with_any_history(lanes: list[Lane], seed: int) -> None:
    """Wound back, begun anew, cut off, removed, in any order: the last good version of the branch is in force."""
    chance, lane = random.Random(seed), lanes[seed % len(lanes)]
    changes = [good(f"{number}@centre.example", chance.choice([None, 0]) if number else None) for number in range(6)]
    changes += [Change(changed(chance.choice([*NEVER_HARMLESS]), number)) for number in range(6)]
    changes += [Change({"portal.yaml": (FILE, b"hub: [")}, None), Change({"README.md": (FILE, b"empty")}, None)]
    made = lane.bare.make(changes)
    await lane.heals(made[0], "0@centre.example")
    for at in chance.choices([*range(len(changes)), None, None], k=40):
        before = lane.sync.in_force
        if at is None:
            with pytest.raises(NotFound, match=lane.branch):
                await lane.push(None)
            assert lane.sync.in_force == before
        elif at < 6:
            await lane.heals(made[at], f"{at}@centre.example")
        else:
            outcome = await lane.push(made[at])
            assert outcome.mistakes
            assert lane.sync.in_force == before
