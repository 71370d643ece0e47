# SPDX-License-Identifier: BSD-3-Clause
"""Print modules above 400 lines and functions above 60 in ``src``, and fail if there are any."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES = 60


def offenders(path: Path) -> Iterator[str]:
    """Yield one line for each thing in *path* that is too long."""
    text = path.read_text("utf-8")
    if (lines := text.count("\n")) > MODULE_LINES:
        yield f"{path}: {lines} lines; a module has at most {MODULE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines; a function has at most {FUNCTION_LINES}"


if __name__ == "__main__":
    found = [line for path in sorted(Path("src").rglob("*.py")) for line in offenders(path)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
