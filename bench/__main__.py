# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bench [latency] [start] [tunnels]``: measure, print tables, write ``bench/results/``; all by default."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import latency, start, table, tunnels

BENCHES: Mapping[str, tuple[str, Callable[[], Sequence[Any]]]] = {
    "latency": ("A kernel's answer through each chain", lambda: asyncio.run(latency.run())),
    "start": ("A start from click to first answer; the idle system", lambda: asyncio.run(start.run())),
    "tunnels": ("1,000 forwards opened and closed", tunnels.run),
}


def main(wanted: Sequence[str]) -> int:
    if unknown := set(wanted) - set(BENCHES):
        print(f"There is no {', '.join(sorted(unknown))}; choose from {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    for name in wanted or BENCHES:
        title, measure = BENCHES[name]
        table.report(name, title, measure())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
