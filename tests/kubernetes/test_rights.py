# SPDX-License-Identifier: BSD-3-Clause
"""What K8sMgr asked the API server for in all tests, compared with what the chart grants it. Runs after all others."""

import json

import pytest

from tests.kubernetes.cluster import LABS, RELEASE, is_own
from tests.kubernetes.conftest import Portal
from tools.kubernetes.places import AUDIT

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Every account may ask what it may do.
FREE = {("create", "selfsubjectrulesreviews")}


async def test_what_is_granted_is_what_is_used(portal: Portal) -> None:
    """The audit log has no call of K8sMgr without a right, and the chart grants no right that no call needed."""
    if not is_own():
        pytest.skip("reads the audit log of the API server: only on a cluster of its own")
    calls = [json.loads(line) for line in AUDIT.read_text("utf-8").splitlines()]
    user = f"system:serviceaccount:{RELEASE}:k8smgr"
    ours = [call for call in calls if call["user"]["username"] == user]
    assert {call["objectRef"].get("namespace") for call in ours if _what(call) not in FREE} == {LABS}
    denied = {_what(call) for call in ours if call["annotations"].get("authorization.k8s.io/decision") != "allow"}
    assert denied == set()
    role = await _role(portal)
    used = {_what(call) for call in ours} - FREE
    # Server-side apply is a patch, which needs the right to create when there is no such object yet.
    used |= {("create", resource) for verb, resource in used if verb == "patch"}
    assert used == role


def _what(call: dict) -> tuple[str, str]:
    about = call["objectRef"]
    subresource = about.get("subresource")
    return call["verb"], about["resource"] + (f"/{subresource}" if subresource else "")


async def _role(portal: Portal) -> set[tuple[str, str]]:
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{LABS}/roles/k8smgr"
    answer = await portal.cluster.api.call_api(
        path, "GET", response_types_map={200: "object"}, auth_settings=["BearerToken"], _return_http_data_only=True
    )
    return {(verb, resource) for rule in answer["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
