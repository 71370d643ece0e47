# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bench [commits] [latency] …``: measure, print tables, write ``bench/results/``; all by default."""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Sequence

from bench import table

BENCHES = {
    "commits": "Commits in a row while labs run and start: when each process has taken them over",
    "kubernetes": "Labs in a cluster by the driver alone, against the demo's API",
    "latency": "A kernel's answer through each chain",
    "options": "What a user with 200 accounts on 10 systems may start, against asking about every combination",
    "start": "A start from click to first answer; the idle system; the demo's own start",
    "tunnels": "Forwards opened and closed on one master",
}
"""Modules of this package with ``run()``, which returns rows, and the titles of their tables."""


def main(wanted: Sequence[str]) -> int:
    if unknown := set(wanted) - set(BENCHES):
        print(f"There is no {', '.join(sorted(unknown))}; choose from {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    for name in wanted or BENCHES:
        run = importlib.import_module(f"bench.{name}").run
        rows = asyncio.run(run()) if inspect.iscoroutinefunction(run) else run()
        table.report(name, BENCHES[name], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
