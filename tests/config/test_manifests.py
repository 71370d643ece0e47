# SPDX-License-Identifier: BSD-3-Clause
"""Manifests filled with what a user chose: typed values in their places, and everything else as it was."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config import manifest_checks
from jupyter_jsc.config.manifests import default_template, fill, reference
from jupyter_jsc.config.privileges import asked
from jupyter_jsc.config.systems import KNOWN_TO_CLUSTERS

NAMES = {
    "image": "registry.example/lab:1",
    "secret": "lab-a",
    "claim.home": "home-u",
    "service_host": "svc-lab-a.labs.svc",
}
NUMBERS = {"cpus": 2, "memory": 8, "home": 10, "runtime": 60, "gpus": 1}
HOSTILE = st.text() | st.sampled_from(["${secret}", "${image}", "a: b", "\n- x", "{{ x }}", "../..", "$(HOME)"])


def filled(**values: Any) -> dict[str, Any]:
    """The portal's own manifests by kind."""
    return {manifest["kind"]: manifest for manifest in fill(default_template(), NAMES | values)}


def lab(**values: Any) -> dict[str, Any]:
    return filled(**values)["Pod"]["spec"]["containers"][0]


def test_the_portals_template_passes_its_own_checks() -> None:
    """It asks for no privilege and refers to what there is."""
    template = default_template()
    assert list(manifest_checks.faults(template, KNOWN_TO_CLUSTERS)) == []
    assert [ask for manifest in template if manifest["kind"] == "Pod" for ask in asked(manifest)] == []


def test_the_portals_template_can_be_an_options_own() -> None:
    """It is plain data, which is written as any other."""
    assert yaml.safe_load(yaml.safe_dump(default_template())) == default_template()


def test_numbers_become_what_kubernetes_means() -> None:
    """Quantities with their unit, and seconds."""
    assert lab(**NUMBERS)["resources"]["limits"] == {"cpu": 2, "memory": "8Gi"}
    assert filled(**NUMBERS)["Pod"]["spec"]["activeDeadlineSeconds"] == 3600
    claim = filled(**NUMBERS)["PersistentVolumeClaim"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "10Gi"}


def test_what_was_not_chosen_is_left_out() -> None:
    """A partition without a resource has no limit of it."""
    assert lab(cpus=1)["resources"] == {"requests": {"cpu": 1}, "limits": {"cpu": 1}}
    assert "activeDeadlineSeconds" not in filled()["Pod"]["spec"]


def test_the_environment_holds_texts() -> None:
    """Kubernetes refuses numbers there."""
    env = [{"name": "A", "value": "${cpus}"}, {"name": "B", "value": "${memory}"}, {"name": "C", "value": "${gpus}"}]
    pod = {"spec": {"containers": [{"env": env}]}}
    [manifest] = fill([pod], {"cpus": 2, "memory": 8})
    assert manifest["spec"]["containers"][0]["env"] == [
        {"name": "A", "value": "2"},
        {"name": "B", "value": "8Gi"},
        {"name": "C"},
    ]


def _outline(node: Any, other: Any) -> Any:
    """*node* where its values are references, as *other* has them."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if reference(value) is None or key in other}
        assert list(kept) == list(other)
        return {key: _outline(value, other[key]) for key, value in kept.items()}
    if isinstance(node, list):
        assert len(node) == len(other)
        return [_outline(item, item_) for item, item_ in zip(node, other, strict=True)]
    return other if reference(node) is not None else node


@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, HOSTILE)),
    st.dictionaries(st.sampled_from([*NUMBERS, "nodes", "kind", "metadata"]), st.integers()),
)
def test_whatever_is_filled_in_reaches_no_key_and_no_fixed_value(
    names: dict[str, str], numbers: dict[str, int]
) -> None:
    """Keys, kinds, labels and commands are the template's; values stand where the references stood, and are not read again."""
    template = default_template()
    before = repr(template)
    made = fill(template, names | numbers)
    assert made == [_outline(manifest, done) for manifest, done in zip(template, made, strict=True)]
    assert before == repr(template)


@pytest.mark.parametrize("text", ["${a} ", "x${a}", "${a}${b}", "${${a}}", "$a", "${a", "", 5, None])
def test_only_a_whole_value_refers(text: object) -> None:
    """What stands inside a text is text."""
    assert reference(text) is None
