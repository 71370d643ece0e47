# SPDX-License-Identifier: BSD-3-Clause
"""Print relative links and anchors in the documentation that lead nowhere, and fail if there are any."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    titles = _HEADING.findall(_FENCE.sub("", path.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def dead(path: Path) -> Iterator[str]:
    """Yield one line for each link of *path* that leads nowhere in this repository."""
    for link in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists():
            yield f"{path}: {link}: there is no {target}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{path}: {link}: {target} has no such heading"


if __name__ == "__main__":
    pages = [*Path().glob("*.md"), *Path("docs").rglob("*.md")]
    found = [line for page in sorted(pages) for line in dead(page)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
