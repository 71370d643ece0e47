# SPDX-License-Identifier: BSD-3-Clause
"""Bad input at the portal's door: refused with field, value and what is allowed, and nothing submitted."""

import pytest

from bench.portal import PortalUser, Refused
from tests.ring.system import JUWELS

pytestmark = [pytest.mark.ring, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"system": "juqueen"}, "system"),
        ({"account": "bob1"}, "account"),
        ({"partition": "dc-gpu"}, "partition"),
        ({"resources": {"nodes": 1, "runtime": 100000}}, "runtime"),
        ({"resources": {"nodes": "1", "runtime": 60}}, "nodes"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=["unknown-system", "foreign-account", "other-systems-partition", "above-the-limit", "string", "extra-key"],
)
@pytest.mark.parametrize("way", ["save", "start"])
async def test_options_that_are_not_allowed(alice: PortalUser, change: dict, field: str, way: str) -> None:
    """400 naming the field; no start comes of it."""
    with pytest.raises(Refused) as refusal:
        if way == "save":
            await alice.save("wrong", JUWELS | change)
        else:
            await alice.api("POST", f"users/{alice.name}/servers/wrong", {"user_options": JUWELS | change})
    assert refusal.value.status == 400
    assert field in refusal.value.document["message"]
    labs = (await alice.api("GET", f"jsc/labs/{alice.name}"))["labs"]
    assert not [lab for lab in labs if lab["server"] == "wrong" and lab["start"]]
