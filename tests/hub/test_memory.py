# SPDX-License-Identifier: BSD-3-Clause
"""The journal's memory: whatever is entered in whatever order, it tells what a count over all starts would."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.hub.memory import Memory
from jupyter_jsc.hub.records import Start

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def _start(number, user, groups):
    none = dict.fromkeys(("handle", "host", "port", "ends", "outcome", "ended", "last"))
    lab = f"{user}-{number % 3}"
    created = BEGIN + timedelta(minutes=number)
    ids = {"start_id": f"s{number}", "lab_id": lab, "user": user, "server": lab}
    return Start(**ids, **none, options={}, created=created, cleaned=False, groups=groups)


STARTS = st.lists(
    st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from([(), ("a",), ("a", "b")])), max_size=12
).map(lambda rows: [_start(number, *row) for number, row in enumerate(rows)])


@given(STARTS, st.data())
def test_memory_counts_what_is_open(starts, data):
    """Open starts by user and by group, the newest of each lab, and what is not clean."""
    memory = Memory()
    now = {}
    for start in starts:
        now[start.start_id] = start
        memory.enter(start)
        for key in data.draw(st.lists(st.sampled_from(sorted(now)), max_size=3)):
            changed = now[key]
            over = changed.outcome is not None
            now[key] = replace(changed, outcome="stopped", cleaned=over)
            memory.enter(now[key])
    opened = [start for start in now.values() if start.outcome is None]

    assert Counter(group for start in opened for group in start.groups) == memory.open_by_group
    for user in ("alice", "bob"):
        assert [start for start in opened if start.user == user] == memory.open_of(user)
    assert [start for start in now.values() if not start.cleaned] == memory.unfinished()
    for start in starts:
        newest = max((other for other in now.values() if other.lab_id == start.lab_id), key=lambda item: item.created)
        assert newest == memory.latest(start.lab_id)
