# SPDX-License-Identifier: BSD-3-Clause
"""Answers of API servers that are no success → our errors. Texts are those of Kubernetes 1.34."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.errors import Conflict, JSCError, NotFound, SiteRefused, SiteUnavailable
from jupyter_jsc.sites.kubernetes.refusals import Expired, refusal


def status(message: str) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}).encode()


SA = "system:serviceaccount:k8smgr:k8smgr"
QUOTA = 'pods "lab2" is forbidden: exceeded quota: q, requested: {0}=900Mi, used: {0}=200Mi, limited: {0}=1Gi'
TABLE: list[tuple[int, str, type[JSCError], str]] = [
    (401, "Unauthorized", SiteUnavailable, "own credential"),
    (
        403,
        f'pods is forbidden: User "{SA}" cannot list resource "pods" in API group "" in the namespace "userlabs"',
        SiteUnavailable,
        "lacks a right on CLOUD: list pods in userlabs",
    ),
    (
        403,
        f'secrets "x" is forbidden: User "{SA}" cannot patch resource "secrets" in API group "" in the namespace "a"',
        SiteUnavailable,
        "patch secrets in a",
    ),
    (403, QUOTA.format("limits.memory"), SiteRefused, "not enough memory left .* quota has limits.memory=1Gi"),
    (403, QUOTA.format("requests.nvidia.com/gpu"), SiteRefused, "not enough GPUs"),
    (403, QUOTA.format("limits.cpu"), SiteRefused, "not enough processor cores"),
    (403, QUOTA.format("pods"), SiteRefused, "not enough labs"),
    (403, QUOTA.format("requests.storage"), SiteRefused, "storage for homes"),
    (
        403,
        'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container '
        '"lab" must set securityContext.allowPrivilegeEscalation=false)',
        SiteRefused,
        r"security rules of CLOUD \(restricted:latest\)",
    ),
    (
        403,
        'admission webhook "img.example.org" denied the request: image not signed.',
        SiteRefused,
        r"\(img.example.org\) refuses this lab: image not signed\. Choose",
    ),
    (
        422,
        "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no latest tag",
        SiteRefused,
        "no latest tag",
    ),
    (
        403,
        'pods "x" is forbidden: maximum memory usage per Container is 2Gi, but limit is 4Gi',
        SiteRefused,
        "at most 2Gi of memory. Choose less",
    ),
    (
        403,
        'secrets "x" is forbidden: unable to create new content in namespace u because it is being terminated',
        SiteRefused,
        "being removed",
    ),
    (403, "", SiteRefused, "does not allow"),
    (404, 'pods "x" not found', NotFound, "does not know"),
    (404, 'namespaces "labs" not found', SiteUnavailable, "no namespace labs"),
    (404, "the server could not find the requested resource", SiteUnavailable, "answer properly"),
    (409, 'pods "x" already exists', Conflict, "at the same time"),
    (410, "too old resource version: 1 (2)", Expired, "far back"),
    (422, 'Pod "x" is invalid: spec.containers[0].image: Required value', SiteRefused, "made of"),
    (400, "bad", SiteRefused, "made of"),
    (429, "", SiteUnavailable, "too much to do"),
    (500, "etcdserver: request timed out", SiteUnavailable, "answer properly"),
    (503, "", SiteUnavailable, "answer properly"),
    (302, "", SiteUnavailable, "answer properly"),
]


@pytest.mark.parametrize(("code", "message", "error", "said"), TABLE)
def test_each_refusal_is_told_apart(code: int, message: str, error: type[JSCError], said: str) -> None:
    """What time or an operator mends is unavailable, what the user must change is refused, and which right is missing is named."""
    found = refusal("CLOUD", code, status(message))
    assert type(found) is error
    assert re.search(said, found.message), found.message


@pytest.mark.parametrize("body", [b'<html>pods "x" not found</html>', b"", b"[]", b"{}", b"\xff"])
def test_a_page_of_something_in_between_is_no_word_of_the_server(body: bytes) -> None:
    """A 404 without a Status does not say that a pod is gone; nothing of the page gets anywhere."""
    found = refusal("CLOUD", 404, body)
    assert type(found) is SiteUnavailable
    assert "html" not in f"{found.message}{found.detail}"


@pytest.mark.parametrize(
    ("header", "wait_s"), [("7", 7.0), ("100000", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), (None, 1.0)]
)
def test_when_to_come_back(header: str | None, wait_s: float) -> None:
    """A number of seconds counts, up to a minute."""
    assert refusal("CLOUD", 429, b"", header).retry_after_s == wait_s


@given(code=st.integers(300, 599), message=st.text(max_size=2000))
def test_any_answer_is_one_of_our_errors_and_short(code: int, message: str) -> None:
    """Whatever a server says, the sentence is short, and what operators see of it is cut."""
    found = refusal("CLOUD", code, status(message))
    assert len(found.message) < 700
    assert len(str(found.detail.get("said", ""))) <= 256
