# SPDX-License-Identifier: BSD-3-Clause
"""A published tree as the services find it, without git: versions that a test makes and puts in force."""

from collections.abc import Mapping
from pathlib import Path

import yaml


class Published:
    """The folder that ``config sync`` would keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "current"

    def write(self, version: str, tree: Mapping[str, object]) -> None:
        """Make a version, without putting it in force."""
        target = self.folder / "versions" / version
        target.mkdir(parents=True)
        (target / "all.yaml").write_text(yaml.safe_dump(dict(tree), sort_keys=False))

    def flip(self, version: str) -> None:
        """Put a version in force."""
        (self.folder / "next").symlink_to(Path("versions") / version)
        (self.folder / "next").replace(self.link)

    def publish(self, version: str, tree: Mapping[str, object]) -> Path:
        """Make a version and put it in force; return the link."""
        self.write(version, tree)
        self.flip(version)
        return self.link
