# SPDX-License-Identifier: BSD-3-Clause
"""Software sets: what is offered where, and what is on by default with which option."""

from pathlib import Path

import pytest

from jupyter_jsc.config.load import load
from jupyter_jsc.config.systems import PartitionKind
from jupyter_jsc.rights.software import Shelf

SHELF = Shelf(load(Path(__file__).parent.parent / "config/full").software)
BATCH, INTERACTIVE = PartitionKind.BATCH, PartitionKind.INTERACTIVE


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("juwels", "jupyterlab-4.6", BATCH), ["git+", "xpra", "julia", "pyquantum", "r+"]),
        (("juwels", "jupyterlab-4.6", INTERACTIVE), ["git+", "julia", "pyquantum"]),
        (("juwels", "jupyterlab-4.3", BATCH), ["git+", "xpra", "julia", "r+"]),
        (("juwels", "quantum", BATCH), ["git+", "xpra", "julia", "pyquantum+"]),
        (("jureca", "jupyterlab-4.6", BATCH), ["git+", "julia", "pyquantum", "r+"]),
        (("cloud", "jupyterlab-4.3", INTERACTIVE), ["git+"]),
    ],
)
def test_what_is_offered(place, expected):
    """Systems, options and the kind of partition decide; ``+`` marks what is on by default."""
    items = [(name, item) for one in SHELF.sets(*place).values() for name, item in one.items.items()]

    assert expected == [name + ("+" if item.default else "") for name, item in items]


def test_sets_stand_in_their_order_and_empty_ones_vanish():
    """Smaller numbers first; where nothing of a set is offered there is no heading."""
    assert ["extensions", "proxies", "modules", "kernels"] == list(SHELF.sets("juwels", "quantum", BATCH))
    assert ["extensions"] == list(SHELF.sets("cloud", "jupyterlab-4.3", INTERACTIVE))


def test_words_reach_the_form():
    """Label, description and documentation of an item, and kind of its set."""
    modules = SHELF.sets("juwels", "quantum", BATCH)["modules"]

    assert ("Modules", "modules") == (modules.label.en, modules.kind.value)
    assert "https://docs.centre.example/julia" == modules.items["julia"].documentation
    assert "Die Sprache Julia." == modules.items["julia"].description.de
    assert not SHELF.sets("juwels", "quantum", BATCH)["extensions"].items["git"].documentation
