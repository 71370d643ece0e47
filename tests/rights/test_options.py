# SPDX-License-Identifier: BSD-3-Clause
"""The tree of choices equals what asking about every combination gives, whatever the configuration."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc.rights.options import options_for
from tests.rights import drawn
from tests.rights.naive import naive_options


def in_order(choice):
    """The keys of all mappings of a tree, in their order, which equality of mappings does not see."""
    if isinstance(choice, dict):
        return [(key, in_order(value)) for key, value in choice.items()]
    return [in_order(value) for value in vars(choice).values()] if hasattr(choice, "__dataclass_fields__") else None


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_tree_equals_the_plain_computation(seed):
    """Every choice, limit, default, order and reason is what the nested loops find, whoever asked before."""
    random = Random(seed)
    configuration, facts = drawn.configuration(random), drawn.facts(random)

    for identity in [drawn.identity(random) for _ in range(3)]:
        expected, tree = naive_options(identity, configuration, facts), options_for(identity, configuration, facts)

        assert expected == tree
        assert in_order(expected) == in_order(tree)
