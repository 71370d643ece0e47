# SPDX-License-Identifier: BSD-3-Clause
"""Server-side apply as the real server does it: owners of fields, conflicts, and no change where nothing changes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.demo.kubernetes import apply
from jupyter_jsc.demo.kubernetes.objects import ApiError

Tree = dict[str, Any]


def config(**content: Any) -> Tree:
    """An object as a client sends it."""
    metadata = {"name": "x", **content.pop("metadata", {})}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, **content}


def live(tree: Tree, manager: str = "us") -> Tree:
    """The object as the server has it after *manager* applied it first."""
    made = apply.created(tree, manager, "Apply")
    return {**made, "metadata": {**made["metadata"], "resourceVersion": "7"}}


def content(tree: Tree) -> Tree:
    """Without what the server keeps."""
    metadata = {
        key: value for key, value in tree["metadata"].items() if key not in {"managedFields", "resourceVersion"}
    }
    return {**tree, "metadata": metadata}


names = st.sampled_from(["a", "b", "c"])
leaves = st.one_of(st.integers(0, 3), st.text(max_size=3), st.booleans())
containers = st.lists(
    st.fixed_dictionaries(
        {"name": names, "image": leaves}, optional={"env": st.builds(lambda: [{"name": "V", "value": "1"}])}
    ),
    unique_by=lambda one: one["name"],
)
configs = st.builds(
    lambda labels, spec, containers: config(metadata={"labels": labels}, spec={**spec, "containers": containers}),
    st.dictionaries(names, leaves, min_size=1),
    st.dictionaries(st.sampled_from(["hostname", "runtime"]), leaves),
    containers,
)


@given(configs)
def test_the_same_again_changes_nothing(tree: Tree) -> None:
    """The very object comes back, so its version stays."""
    there = live(tree)
    assert apply.applied(there, tree, "us", force=True) is there
    assert apply.applied(there, tree, "us", force=False) is there


@given(configs, configs)
def test_a_single_manager_gets_what_it_says(first: Tree, second: Tree) -> None:
    """What it no longer says is gone, whatever it said before; entries of lists keep their order of arrival."""
    after = content(apply.applied(live(first), second, "us", force=False))
    by_name = {one["name"]: one for one in after["spec"].get("containers", [])}
    assert by_name == {one["name"]: one for one in second["spec"]["containers"]}
    assert after["metadata"].get("labels") == second["metadata"]["labels"]
    assert after["spec"].get("runtime") == second["spec"].get("runtime")


@given(configs)
def test_fields_survive_their_way_through_managed_fields(tree: Tree) -> None:
    """What is written into fieldsV1 is what is read."""
    assert set(
        apply.paths(apply.created(tree, "us", "Apply")["metadata"]["managedFields"][0]["fieldsV1"])
    ) == apply.fields(tree)


def test_another_managers_value_conflicts_and_force_takes_it() -> None:
    """409 in the real words, with the field; by force it is ours alone."""
    there = live(config(data={"a": "1", "b": "1"}), "kubectl")
    with pytest.raises(ApiError) as refusal:
        apply.applied(there, config(data={"a": "2"}), "us", force=False)
    assert refusal.value.message == 'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.a'
    assert refusal.value.tree()["details"]["causes"][0]["field"] == ".data.a"
    forced = apply.applied(there, config(data={"a": "2"}), "us", force=True)
    assert forced["data"] == {"a": "2", "b": "1"}
    owners = {entry["manager"]: set(apply.paths(entry["fieldsV1"])) for entry in forced["metadata"]["managedFields"]}
    assert owners == {"kubectl": {("f:data", "f:b")}, "us": {("f:data", "f:a")}}


def test_the_same_value_is_shared_and_stays_while_one_says_it() -> None:
    """No conflict; the field goes with its last owner."""
    there = live(config(data={"a": "1"}), "kubectl")
    shared = apply.applied(there, config(data={"a": "1"}), "us", force=False)
    assert apply.applied(shared, config(), "us", force=False)["data"] == {"a": "1"}
    alone = apply.applied(shared, config(), "kubectl", force=False)
    assert "a" not in apply.applied(alone, config(), "us", force=False).get("data", {})


def test_an_entry_that_is_no_longer_said_is_gone() -> None:
    """Entries of lists with keys belong to who said them."""
    there = live(config(spec={"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}))
    after = apply.applied(there, config(spec={"containers": [{"name": "b", "image": "z"}]}), "us", force=False)
    assert after["spec"]["containers"] == [{"name": "b", "image": "z"}]
