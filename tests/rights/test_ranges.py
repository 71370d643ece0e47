# SPDX-License-Identifier: BSD-3-Clause
"""Ranges of groups: widened, with one default that fits, and in the label."""

import pytest

from jupyter_jsc.config.groups import Group
from jupyter_jsc.config.systems import Resource
from jupyter_jsc.rights.ranges import resources_for


def group(*ranges):
    place = {"system": "s", "partition": "p", "resource": "nodes"}
    return Group.model_validate(
        {
            "label": "G",
            "members": [{"everybody": True}],
            "ranges": [place | dict(zip(("minimum", "maximum", "default"), one, strict=False)) for one in ranges],
        }
    )


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param([], (4, 20, 8), id="no groups"),
        pytest.param([group()], (4, 20, 8), id="a group without range"),
        pytest.param([group((1, 64))], (1, 64, 7), id="wider, and the default on a step"),
        pytest.param([group((12, 16))], (12, 16, 12), id="narrower: the default moves inside"),
        pytest.param([group((5, 6))], (5, 6, 5), id="narrower: down to the step"),
        pytest.param([group((6, 8)), group((10, 12))], (6, 12, 8), id="both"),
        pytest.param([group((6, 8)), group()], (4, 20, 8), id="a group without range has the partition's own"),
        pytest.param([group((1, 64, 31)), group((1, 9, 4))], (1, 64, 31), id="the first default counts"),
        pytest.param([group((1, 64)), group((1, 9, 4))], (1, 64, 3), id="the first that has one, on a step"),
        pytest.param([group((6, 8), (10, 12))], (6, 12, 8), id="two ranges of a group"),
    ],
)
def test_limits(groups, expected):
    """Minimum of minima, maximum of maxima, and a default that may be chosen."""
    own = Resource(label="Nodes [{minimum}, {maximum}]", minimum=4, maximum=20, default=8, step=2)
    found = resources_for({"nodes": own}, "s", "p", groups)["nodes"]

    assert (expected[0], expected[1]) == (found.minimum, found.maximum)
    assert f"Nodes [{expected[0]}, {expected[1]}]" == found.label.en
    assert 0 == (found.default - found.minimum) % found.step
    assert expected[2] == found.default


def test_ranges_of_other_places_do_not_count():
    """System, partition and resource must be the same."""
    own = Resource(label="Nodes", minimum=1, maximum=2, default=1)

    for system, partition, resource in (("x", "p", "nodes"), ("s", "x", "nodes"), ("s", "p", "gpus")):
        assert {resource: own} == resources_for({resource: own}, system, partition, [group((1, 64))])
