# SPDX-License-Identifier: BSD-3-Clause
"""The API as clients see it: versions, lists, watches, refusals in the real server's form and words."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import watch
from kubernetes_asyncio.client import ApiException

from jupyter_jsc.demo.kubernetes import Namespace, User
from tests.demo.kubernetes.conftest import SPACE, TOKEN, Make, Reach, owned, phase, pod, secret

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc-lab"}, "spec": {"ports": [{"port": 8443}]}}


async def status(reach: Reach, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a GET below the namespace."""
    async with reach.http.get(f"{reach.url}/api/v1/namespaces/{SPACE}/{path}", **options) as answer:
        return answer.status, await answer.json()


async def test_apply_creates_then_changes_then_leaves(reach: Reach) -> None:
    """A repeated apply leaves resourceVersion as it was; a Secret's texts become data."""
    first = await reach.apply(secret("lab", a="1"))
    assert first["data"] == {"a": "MQ=="}
    assert await reach.apply(secret("lab", a="1")) == first
    changed = await reach.apply(secret("lab", a="2"))
    assert int(changed["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert changed["metadata"]["uid"] == first["metadata"]["uid"]


async def test_a_dry_run_stores_nothing(reach: Reach) -> None:
    """The answer is what would be there."""
    assert (await reach.apply(secret("lab", a="1"), dryRun="All"))["data"] == {"a": "MQ=="}
    assert (await status(reach, "secrets/lab"))[0] == 404


async def test_refusals_have_the_real_form(reach: Reach) -> None:
    """Status, reason, message, details: not found, already there, no field manager, nobody, no such namespace."""
    code, tree = await status(reach, "pods/none")
    assert (code, tree["reason"], tree["message"]) == (404, "NotFound", 'pods "none" not found')
    assert tree["details"] == {"name": "none", "kind": "pods"}
    await reach.api.create_namespaced_secret(SPACE, secret("lab", a="1"))
    with pytest.raises(ApiException) as refusal:
        await reach.api.create_namespaced_secret(SPACE, secret("lab", a="1"))
    assert (refusal.value.status, "AlreadyExists" in refusal.value.body) == (409, True)
    assert (await reach.apply(secret("lab"), manager=""))["code"] == 422
    code, tree = await status(reach, "pods", headers={"Authorization": "Bearer wrong"})
    assert (code, tree["message"]) == (401, "Unauthorized")
    with pytest.raises(ApiException) as refusal:
        await reach.api.create_namespaced_secret("elsewhere", secret("lab"))
    assert 'namespaces \\"elsewhere\\" not found' in refusal.value.body


async def test_a_missing_right_is_named(make: Make) -> None:
    """As RBAC says it, with verb, resource and namespace; and in a review of one's rules."""
    user = User("system:serviceaccount:k8smgr:k8smgr", {"pods": frozenset({"list", "get"})})
    async with make(tokens={TOKEN: user}) as reach:
        assert (await status(reach, "pods"))[0] == 200
        reach.cluster.faults.missing_rights.add(("list", "pods"))
        code, tree = await status(reach, "pods")
        assert (code, tree["message"]) == (
            403,
            'pods is forbidden: User "system:serviceaccount:k8smgr:k8smgr" cannot list resource "pods" in API group "" '
            'in the namespace "labs"',
        )
        assert "cannot get resource" in (await status(reach, "secrets/x"))[1]["message"]
        url = f"{reach.url}/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        async with reach.http.post(url, json={"spec": {"namespace": SPACE}}) as answer:
            rules = (await answer.json())["status"]["resourceRules"]
        assert rules == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
        assert reach.cluster.requests["list", "pods"] == 2


async def test_lists_select_and_continue(reach: Reach) -> None:
    """By label and field; in pages that miss nothing that was there all the time; an old continuation is 410."""
    for number in range(5):
        tree = secret(f"s{number}")
        tree["metadata"]["labels"] = {"even": str(number % 2 == 0).lower()}
        await reach.apply(tree)
    found = await reach.api.list_namespaced_secret(SPACE, label_selector="even=true,even notin (x, y),!odd")
    assert [one.metadata.name for one in found.items] == ["s0", "s2", "s4"]
    found = await reach.api.list_namespaced_secret(SPACE, field_selector="metadata.name=s1")
    assert [one.metadata.name for one in found.items] == ["s1"]
    page = await reach.api.list_namespaced_secret(SPACE, limit=2)
    assert (len(page.items), page.metadata.remaining_item_count) == (2, 3)
    await reach.api.delete_namespaced_secret("s0", SPACE)
    rest = await reach.api.list_namespaced_secret(SPACE, limit=5, _continue=page.metadata._continue)
    assert [one.metadata.name for one in rest.items] == ["s2", "s3", "s4"]
    reach.cluster.store.compact()
    with pytest.raises(ApiException) as refusal:
        await reach.api.list_namespaced_secret(SPACE, _continue=page.metadata._continue)
    assert refusal.value.status == 410
    with pytest.raises(ApiException) as refusal:
        await reach.api.list_namespaced_secret(SPACE, field_selector="spec.nonsense=1")
    assert refusal.value.status == 400


async def changes(reach: Reach, **query: Any) -> AsyncIterator[tuple[str, str]]:
    """Types and names that a watch of Secrets tells."""
    follow = watch.Watch()
    async with follow.stream(reach.api.list_namespaced_secret, SPACE, **query) as stream:
        async for change in stream:
            metadata = change["raw_object"]["metadata"]
            yield change["type"], metadata.get("name", "")


async def test_a_watch_goes_on_from_a_version(reach: Reach) -> None:
    """Every change after it, as the selector sees it, then the silent end after its time."""
    await reach.apply(secret("before"))
    version = (await reach.api.list_namespaced_secret(SPACE)).metadata.resource_version
    tree = secret("lab", a="1")
    await reach.apply(tree)
    tree["metadata"]["labels"] = {"mine": "yes"}
    await reach.apply(tree)
    await reach.apply(secret("lab", a="1"))
    await reach.api.delete_namespaced_secret("lab", SPACE)
    seen = [change async for change in changes(reach, resource_version=version, timeout_seconds=1)]
    assert seen == [("ADDED", "lab"), ("MODIFIED", "lab"), ("MODIFIED", "lab"), ("DELETED", "lab")]
    mine = [c async for c in changes(reach, resource_version=version, timeout_seconds=1, label_selector="mine")]
    assert mine == [("ADDED", "lab"), ("DELETED", "lab")]


async def test_a_watch_tells_at_once_and_sends_bookmarks(make: Make) -> None:
    """Without a version it begins with what is there; bookmarks carry the newest version."""
    async with make(bookmark_s=0.05) as reach:
        await reach.apply(secret("first"))
        follow = changes(reach, timeout_seconds=30, allow_watch_bookmarks=True)
        async with asyncio.timeout(30):
            assert await anext(follow) == ("ADDED", "first")
            assert await anext(follow) == ("BOOKMARK", "")
            await reach.apply(secret("second"))
            while (change := await anext(follow)) == ("BOOKMARK", ""):
                pass
            assert change == ("ADDED", "second")
        await follow.aclose()


async def test_a_watch_from_what_is_forgotten_is_410(reach: Reach) -> None:
    """In the stream, as the real server says it; also by a switch."""
    version = (await reach.api.list_namespaced_secret(SPACE)).metadata.resource_version
    await reach.apply(secret("lab"))
    reach.cluster.store.compact()
    with pytest.raises(ApiException) as refusal:
        [change async for change in changes(reach, resource_version=version, timeout_seconds=5)]
    assert (refusal.value.status, "too old resource version" in refusal.value.reason) == (410, True)
    newest = (await reach.api.list_namespaced_secret(SPACE)).metadata.resource_version
    reach.cluster.faults.watches_gone = True
    with pytest.raises(ApiException):
        [change async for change in changes(reach, resource_version=newest, timeout_seconds=5)]


async def test_the_secret_owns_the_others(reach: Reach) -> None:
    """With it everything goes, the pod in its own time; what has no owner any more goes by itself; an orphan stays."""
    owner = await reach.apply(secret("lab"))
    await reach.apply(owned(SERVICE, owner))
    await reach.apply(owned(pod(), owner))
    await reach.until(phase("Running"))
    await reach.api.delete_namespaced_secret("lab", SPACE)
    await reach.gone()
    assert (await status(reach, "services/svc-lab"))[0] == 404
    await reach.apply(owned(SERVICE, owner))
    async with asyncio.timeout(30):
        while (await status(reach, "services/svc-lab"))[0] != 404:
            await asyncio.sleep(0.01)
    owner = await reach.apply(secret("lab"))
    await reach.apply(owned(SERVICE, owner))
    await reach.api.delete_namespaced_secret("lab", SPACE, propagation_policy="Orphan")
    assert (await status(reach, "services/svc-lab"))[1]["metadata"]["ownerReferences"] == []


async def test_the_foreground_waits_for_what_is_owned(reach: Reach) -> None:
    """The owner goes last."""
    owner = await reach.apply(secret("lab"))
    await reach.apply(owned(pod(), owner))
    await reach.until(phase("Running"))
    await reach.api.delete_namespaced_secret("lab", SPACE, propagation_policy="Foreground")
    async with asyncio.timeout(30):
        while (await status(reach, "secrets/lab"))[0] != 404:
            await asyncio.sleep(0.01)
    assert await reach.pod() is None


async def test_a_deletion_of_another_uid_is_refused(reach: Reach) -> None:
    """A precondition that does not hold is a conflict."""
    await reach.apply(secret("lab"))
    with pytest.raises(ApiException) as refusal:
        await reach.api.delete_namespaced_secret("lab", SPACE, body={"preconditions": {"uid": "another"}})
    assert (refusal.value.status, "Precondition failed" in refusal.value.body) == (409, True)


async def test_metadata_alone_can_be_asked_for(reach: Reach) -> None:
    """What is in a Secret is not sent then."""
    await reach.apply(secret("lab", a="1"))
    accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"}
    tree = (await status(reach, "secrets/lab", headers=accept))[1]
    assert (tree["kind"], "data" in tree, tree["metadata"]["name"]) == ("PartialObjectMetadata", False, "lab")


async def test_pod_security_names_every_violation(make: Make) -> None:
    """In a restricted namespace, in the words of the real admission."""
    async with make(namespaces=(Namespace(SPACE, "restricted"),)) as reach:
        answer = await reach.apply(pod(hostNetwork=True))
    assert answer["code"] == 403
    assert answer["message"] == (
        'pods "lab" is forbidden: violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true), '
        'allowPrivilegeEscalation != false (container "lab" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "lab" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "lab" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "lab" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


async def test_a_quota_says_what_is_used_and_what_is_the_most(make: Make) -> None:
    """As the real server says it; what has ended does not count; a limit that is not said is asked for."""
    quotas = {"q": {"limits.memory": "1Gi"}}
    async with make(namespaces=(Namespace(SPACE, "privileged", quotas),)) as reach:
        sized = {"resources": {"limits": {"memory": "800Mi"}}}
        await reach.apply(pod("lab1", container=sized))
        answer = await reach.apply(pod("lab2", container={"resources": {"limits": {"memory": "900Mi"}}}))
        assert (answer["code"], answer["message"]) == (
            403,
            'pods "lab2" is forbidden: exceeded quota: q, requested: limits.memory=900Mi, used: limits.memory=800Mi, '
            "limited: limits.memory=1Gi",
        )
        unsaid = await reach.apply(pod("lab3"))
        assert unsaid["message"] == 'pods "lab3" is forbidden: failed quota: q: must specify limits.memory for: lab'


async def test_what_is_wrong_with_an_object_is_said_with_its_field(reach: Reach) -> None:
    """422: names, labels, containers, mounts, quantities; and what may not be changed any more."""
    bad = pod("Lab_1", container={"volumeMounts": [{"name": "home", "mountPath": "/home"}], "image": ""})
    answer = await reach.apply(bad)
    assert (answer["code"], answer["reason"]) == (422, "Invalid")
    fields = [cause["field"] for cause in answer["details"]["causes"]]
    assert fields == ["metadata.name", "spec.containers[0].image", "spec.containers[0].volumeMounts[0].name"]
    more = {"resources": {"limits": {"memory": "1Gi", "cpu": "x"}, "requests": {"memory": "2Gi"}}}
    assert "must be less than or equal to memory limit of 1Gi" in (await reach.apply(pod(container=more)))["message"]
    await reach.apply(pod())
    changed = await reach.apply(pod("lab", "true"))
    assert "pod updates may not change fields other than" in changed["message"]


async def test_a_webhook_refuses_in_its_own_words(reach: Reach) -> None:
    """As a policy for images would."""
    reach.cluster.faults.webhook = "image registry.example.org/x is not allowed"
    assert "denied the request: image registry.example.org/x is not allowed" in (await reach.apply(pod()))["message"]


async def test_faults_answer_in_the_servers_place(reach: Reach) -> None:
    """429 with Retry-After, any status, HTML of a proxy, half an answer, a lost one."""
    faults = reach.cluster.faults
    faults.too_many = 1
    async with reach.http.get(f"{reach.url}/api/v1/namespaces/{SPACE}/pods") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    faults.answer_status = 503
    assert (await status(reach, "pods"))[0] == 503
    faults.answer_status, faults.html = None, True
    async with reach.http.get(f"{reach.url}/api/v1/namespaces/{SPACE}/pods") as answer:
        assert (answer.status, answer.content_type) == (502, "text/html")
    faults.html, faults.cut = False, 1
    with pytest.raises(aiohttp.ClientError):
        await reach.apply(secret("lab"))
    assert (await status(reach, "secrets/lab"))[0] == 200
    faults.unauthorized = True
    assert (await status(reach, "pods"))[0] == 401
