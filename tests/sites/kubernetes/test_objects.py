# SPDX-License-Identifier: BSD-3-Clause
"""A lab → objects: what the driver sets stands over whatever a manifest says, and no option reaches further than a value."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import names, wire
from jupyter_jsc.errors import InvalidRequest
from jupyter_jsc.sites.kubernetes import objects
from tests.sites.kubernetes.conftest import configuration, start_lab, system

FORGED = [
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "other", "labels": {"jupyter-jsc/hub": "other", "team": "a"}},
        "data": {"secrets.json": "e30="},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "annotations": {"jupyter-jsc/x": "y", "mine": "z"},
        },
        "spec": {"type": "LoadBalancer", "selector": {}, "ports": [{"port": 22}], "sessionAffinity": "ClientIP"},
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"ownerReferences": [{"uid": "x"}], "finalizers": ["a"]},
        "spec": {"containers": [{"name": "lab", "image": "${image}"}]},
    },
]


def made(lab: wire.StartLab, **container: Any) -> objects.Objects:
    return objects.objects(lab, system(), configuration(system(), **container))


def test_what_is_ours_can_not_be_set_by_a_manifest() -> None:
    """Names, namespace, labels, owners, the Secret's data, the Service's selector, port and type."""
    lab = start_lab()
    found = made(lab, manifests=FORGED)
    assert found.secret["metadata"] == {
        "name": lab.lab_id,
        "labels": {"team": "a", **objects.labels("demo", lab.lab_id, lab.start_id)},
    }
    assert found.secret["data"]["secrets.json"] != "e30="
    assert found.service["metadata"]["name"] == f"svc-{lab.lab_id}"
    assert "namespace" not in found.service["metadata"]
    assert found.service["metadata"]["annotations"] == {"mine": "z"}
    assert (found.service["spec"]["type"], found.service["spec"]["sessionAffinity"]) == ("ClusterIP", "ClientIP")
    assert [port["port"] for port in found.service["spec"]["ports"]] == [8443]
    assert set(found.pod["metadata"]) == {"name", "labels"}
    assert [owner["uid"] for owner in objects.owned(found.pod, "u1")["metadata"]["ownerReferences"]] == ["u1"]


NUMBERS = st.integers(1, 2**40)


@given(
    image=st.sampled_from([None, "base", "other"]),
    resources=st.fixed_dictionaries({}, optional=dict.fromkeys(("cpus", "memory", "home", "runtime"), NUMBERS)),
    user=st.text(max_size=60),
    server=st.text(max_size=30),
)
def test_options_change_values_only(image: str | None, resources: dict[str, int], user: str, server: str) -> None:
    """Whoever chooses whatever: kinds, keys, commands and names' shapes stay; names are valid in Kubernetes."""
    lab = start_lab(user=user, image=image, resources=resources)
    lab = lab.model_copy(update={"lab_id": names.lab_id("demo", user, server)})
    found = made(lab)
    [claim] = found.claims
    assert claim["metadata"]["name"] == f"home-{names.user_id('demo', user)}"
    assert len(claim["metadata"]["name"]) <= 63
    container = found.pod["spec"]["containers"][0]
    assert (container["command"], container["workingDir"]) == (["/bin/bash", "/jsc/start.sh"], "/jsc")
    [volume] = [volume for volume in found.pod["spec"]["volumes"] if "secret" in volume]
    assert volume["secret"] == {"secretName": lab.lab_id, "defaultMode": 0o400}
    assert ("memory" in container["resources"]["limits"]) == ("memory" in resources)
    assert "${" not in json.dumps([found.pod, found.service, claim])
    assert sum(map(len, found.secret["data"].values())) < 1024 * 1024


@pytest.mark.parametrize("hub", [None, "", "a" * 64, "a.", "-a", "a b", "ä"])
def test_a_hub_that_is_no_value_of_a_label(hub: str | None) -> None:
    """It is said, and what is allowed."""
    with pytest.raises(InvalidRequest, match=r"hub: .* Allowed: at most 63"):
        objects.hub_label(hub)


@pytest.mark.parametrize(
    ("hub", "lab_id", "start_id", "expected"),
    [
        ("demo", "L", "S", True),
        ("demo", "L", None, True),
        ("demo", "L", "T", False),
        ("demo", "M", "S", False),
        ("x", "L", "S", False),
    ],
)
def test_whose_an_object_is(hub: str, lab_id: str, start_id: str | None, expected: bool) -> None:
    """All three labels decide; one without labels is nobody's."""
    assert objects.is_of({"metadata": {"labels": objects.labels("demo", "L", "S")}}, hub, lab_id, start_id) is expected
    assert objects.is_of({"metadata": {}}, hub, lab_id, start_id) is False
