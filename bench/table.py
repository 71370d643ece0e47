# SPDX-License-Identifier: BSD-3-Clause
"""Rows of measurements: on the screen as a table, in ``bench/results/`` as JSON."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure: the peer's, ours, and how many times smaller ours is. Without a peer both are None."""

    figure: str
    unit: str
    peer: float | None
    ours: float | None
    ratio: float | None
    runs: int


def row(figure: str, unit: str, ours: float | None, runs: int, *, peer: float | None = None) -> Row:
    """Return a row with its ratio."""
    ratio = peer / ours if peer is not None and ours else None
    return Row(figure, unit, peer, ours, ratio, runs)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that *share* of the values (0 to 1) do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle of the values."""
    return statistics.median(values)


def save(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``bench/results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(list(rows), indent=1) + "\n", "utf-8")


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table with a column for the ratio."""
    table = Table("figure", "unit", title=title, title_justify="left")
    for heading in ("peer", "ours", "peer / ours", "runs"):
        table.add_column(heading, justify="right")
    for line in rows:
        numbers = [_number(line[key]) for key in ("peer", "ours", "ratio")]
        table.add_row(str(line["figure"]), str(line["unit"]), *numbers, str(line["runs"]))
    Console(highlight=False).print(table)


def report(name: str, title: str, rows: Sequence[Row | Mapping[str, Any]]) -> None:
    """Print the rows and write them."""
    plain = [asdict(line) if isinstance(line, Row) else line for line in rows]
    show(title, plain)
    save(name, plain)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
