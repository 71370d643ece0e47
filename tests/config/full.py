# SPDX-License-Identifier: BSD-3-Clause
"""The configuration in ``full/``, which sets nearly every field: as plain data, and as a folder with changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jupyter_jsc.config import load, source
from jupyter_jsc.config.mistakes import ConfigurationRefused, Mistake

FOLDER = Path(__file__).parent / "full"


def tree() -> dict[str, Any]:
    """The whole configuration, to be changed."""
    return json.loads(json.dumps(source.read_folder(FOLDER).tree))


def copy(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """A copy of the folder in which, of each edit's file, the first old text is the new one."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    for name, old, new in edits:
        text = (folder / name).read_text("utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), "utf-8")
    return folder


def refused(folder: Path) -> tuple[Mistake, ...]:
    """What the folder is refused for."""
    with pytest.raises(ConfigurationRefused) as caught:
        load.load(folder)
    return caught.value.mistakes
