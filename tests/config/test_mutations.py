# SPDX-License-Identifier: BSD-3-Clause
"""Folders with many things wrong at once: refused, each mistake with a file, and a line wherever the file has lines.

What a single mutation does is seen on its way through git, in :mod:`.test_sync_mutations`.
"""

import random
from pathlib import Path

import pytest

from jupyter_jsc.config import load
from jupyter_jsc.config.mistakes import ConfigurationRefused, Mistake
from tests.config import full
from tests.config.mutations import FILES, TEXTS, check


def outcome(folder: Path) -> tuple[Mistake, ...]:
    """Load the folder; return what it is refused for, after looking at each mistake."""
    try:
        load.load(folder)
    except ConfigurationRefused as refused:
        for mistake in refused.mistakes:
            path = folder / mistake.file
            check(mistake, path.read_bytes() if path.is_file() and not path.is_symlink() else None)
        return refused.mistakes
    return ()


@pytest.mark.parametrize("seed", range(20))
def test_many_mutations_at_once_are_refused(tmp_path: Path, seed: int) -> None:
    """Broken files beside each other do not hide that they are broken."""
    chance, folder = random.Random(seed), full.copy(tmp_path)
    for file in FILES:
        mutation = chance.choice([name for name in TEXTS if "MB" not in name])
        changed = TEXTS[mutation](chance, (folder / file).read_text("utf-8"))
        (folder / file).write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    assert outcome(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_stands_there_twice_is_refused(tmp_path: Path, file: str) -> None:
    """Every value has one place."""
    folder = full.copy(tmp_path)
    (folder / "zzz.yaml").write_bytes((folder / file).read_bytes())
    assert {mistake.file for mistake in outcome(folder)} == {"zzz.yaml"}


@pytest.mark.parametrize("file", FILES)
def test_a_link_instead_of_a_file_is_refused(tmp_path: Path, file: str) -> None:
    """Also if the file that it leads to is right, wherever that is."""
    folder = full.copy(tmp_path)
    (folder / file).unlink()
    (folder / file).symlink_to(full.FOLDER / file)
    assert file in {mistake.file for mistake in outcome(folder)}
