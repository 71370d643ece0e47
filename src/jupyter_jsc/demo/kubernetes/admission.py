# SPDX-License-Identifier: BSD-3-Clause
"""What the API server makes of an object before it is stored: defaults, rules of each kind, Pod Security, quotas.

Called by :mod:`.api`; raises the refusals in the real server's words. Rules and defaults are those that a lab's objects
can meet, not the whole schema.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from jupyter_jsc.demo.kubernetes import quantities
from jupyter_jsc.demo.kubernetes.objects import KINDS, Tree, forbidden, invalid
from jupyter_jsc.demo.kubernetes.settings import Namespace
from jupyter_jsc.demo.kubernetes.store import Key

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_RULE_1123 = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_RULE_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_RULE_LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_Cause = tuple[str, str]


def prepared(key: Key, tree: Tree) -> Tree:
    """Return the object as the server completes it."""
    if key.plural == "secrets" and "stringData" in tree:
        texts = {name: base64.b64encode(text.encode()).decode("ascii") for name, text in tree["stringData"].items()}
        tree = {name: value for name, value in tree.items() if name != "stringData"}
        tree["data"] = {**tree.get("data", {}), **texts}
    return tree


def completed(key: Key, tree: Tree) -> Tree:
    """Return the object with the defaults of its kind; what is there stays."""
    complete = _DEFAULTS.get(key.plural)
    return complete(tree) if complete else tree


def check(key: Key, tree: Tree) -> None:
    """Raise 422 with everything that the object's kind does not allow."""
    causes = list(_named(key, tree))
    if key.plural == "pods":
        causes += _pod(tree.get("spec") or {})
    elif key.plural == "secrets":
        causes += _secret(tree.get("data") or {})
    if causes:
        raise invalid(KINDS[key.plural].name, key.name, causes)


def check_update(key: Key, before: Tree, after: Tree) -> None:
    """Raise 422 if something changes that may not."""
    name = KINDS[key.plural].name
    if key.plural == "pods" and _unchangeable(before) != _unchangeable(after):
        what = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
            "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        raise invalid(name, key.name, [("spec", what)])
    if key.plural == "persistentvolumeclaims" and _claimed(before) != _claimed(after):
        what = (
            "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
            "bound claims"
        )
        raise invalid(name, key.name, [("spec", what)])
    if before.get("immutable") and before.get("data") != after.get("data"):
        raise invalid(name, key.name, [("data", "Forbidden: field is immutable when `immutable` is set")])


def admit(key: Key, tree: Tree, namespace: Namespace, stored: Callable[[str], list[Tree]]) -> None:
    """Raise 403 if Pod Security or a quota of the namespace refuses a new object; *stored* tells what is there, by kind."""
    if key.plural == "pods":
        _pod_security(key, tree["spec"], namespace.pod_security)
    for name, hard in namespace.quotas.items():
        _quota(key, tree, name, hard, stored)


def _named(key: Key, tree: Tree) -> Iterator[_Cause]:
    pattern, rule = (_LABEL, _RULE_1035) if key.plural == "services" else (_SUBDOMAIN, _RULE_1123)
    if not pattern.match(key.name) or len(key.name) > (63 if key.plural == "services" else 253):
        yield "metadata.name", f'Invalid value: "{key.name}": {rule}'
    for value in (tree["metadata"].get("labels") or {}).values():
        if not isinstance(value, str) or not _LABEL_VALUE.match(value):
            yield "metadata.labels", f'Invalid value: "{value}": {_RULE_LABEL}'


def _pod(spec: Tree) -> Iterator[_Cause]:
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    if not spec.get("containers"):
        yield "spec.containers", "Required value"
    for number, container in enumerate(spec.get("containers") or []):
        at = f"spec.containers[{number}]"
        if not container.get("image"):
            yield f"{at}.image", "Required value"
        for place, mount in enumerate(container.get("volumeMounts") or []):
            if mount.get("name") not in volumes:
                yield f"{at}.volumeMounts[{place}].name", f'Not found: "{mount.get("name")}"'
        yield from _resources(f"{at}.resources", container.get("resources") or {})


def _resources(at: str, resources: Tree) -> Iterator[_Cause]:
    amounts: dict[str, dict[str, Fraction]] = {"requests": {}, "limits": {}}
    for side, found in amounts.items():
        for name, value in (resources.get(side) or {}).items():
            try:
                found[name] = quantities.parse(value)
            except ValueError:
                yield f"{at}.{side}.{name}", f'Invalid value: "{value}": quantities must match the regular expression'
    for name, value in amounts["requests"].items():
        if value > amounts["limits"].get(name, value):
            limit = resources["limits"][name]
            wanted = resources["requests"][name]
            what = f'Invalid value: "{wanted}": must be less than or equal to {name} limit of {limit}'
            yield f"{at}.requests", what


def _secret(data: Mapping[str, str]) -> Iterator[_Cause]:
    if sum(len(value) * 3 // 4 for value in data.values()) > 1024**2:
        yield "data", "Too long: may not be more than 1048576 bytes"


def _unchangeable(pod: Tree) -> Tree:
    spec = {key: value for key, value in pod["spec"].items() if key not in {"activeDeadlineSeconds", "tolerations"}}
    containers = [{**container, "image": ""} for container in spec.get("containers", [])]
    return {**spec, "containers": containers}


def _claimed(claim: Tree) -> Tree:
    return {key: value for key, value in claim["spec"].items() if key not in {"resources", "volumeName"}}


def _pod_defaults(tree: Tree) -> Tree:
    spec = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "serviceAccountName": "default",
        "enableServiceLinks": True,
        "securityContext": {},
        "priority": 0,
        **(tree.get("spec") or {}),
    }
    spec["containers"] = [_container(container) for container in spec.get("containers") or []]
    return {**tree, "spec": spec, "status": tree.get("status") or {"phase": "Pending", "qosClass": _qos(spec)}}


def _container(container: Tree) -> Tree:
    image = str(container.get("image") or "")
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    resources = dict(container.get("resources") or {})
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    defaults = {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always" if latest else "IfNotPresent",
    }
    ports = [{"protocol": "TCP", **port} for port in container.get("ports") or []]
    return {**defaults, **container, "resources": resources, **({"ports": ports} if ports else {})}


def _qos(spec: Tree) -> str:
    sides = [container.get("resources") or {} for container in spec["containers"]]
    if not any(side.get("requests") for side in sides):
        return "BestEffort"
    whole = all(
        {"cpu", "memory"} <= set(side.get("limits") or {}) and side["limits"] == side["requests"] for side in sides
    )
    return "Guaranteed" if whole else "Burstable"


def _service_defaults(tree: Tree) -> Tree:
    spec = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", **tree.get("spec", {})}
    spec["ports"] = [{"protocol": "TCP", "targetPort": port.get("port"), **port} for port in spec.get("ports", [])]
    return {**tree, "spec": spec, "status": tree.get("status") or {"loadBalancer": {}}}


def _claim_defaults(tree: Tree) -> Tree:
    spec = {"storageClassName": "standard", "volumeMode": "Filesystem", **tree.get("spec", {})}
    return {**tree, "spec": spec, "status": tree.get("status") or {"phase": "Pending"}}


_DEFAULTS: Mapping[str, Callable[[Tree], Tree]] = {
    "pods": _pod_defaults,
    "services": _service_defaults,
    "secrets": lambda tree: {"type": "Opaque", **tree},
    "persistentvolumeclaims": _claim_defaults,
}


def _pod_security(key: Key, spec: Tree, level: str) -> None:
    if level == "privileged":
        return
    found = list(_baseline(spec)) + (list(_restricted(spec)) if level == "restricted" else [])
    if found:
        raise forbidden("pods", key.name, f'violates PodSecurity "{level}:latest": ' + ", ".join(found))


def _baseline(spec: Tree) -> Iterator[str]:
    host = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if host:
        yield f"host namespaces ({', '.join(host)})"
    paths = [volume["name"] for volume in spec.get("volumes") or [] if "hostPath" in volume]
    if paths:
        yield f"hostPath volumes (volume{_named_all(paths)})"
    ports = [c["name"] for c in spec["containers"] if any(port.get("hostPort") for port in c.get("ports") or [])]
    if ports:
        yield f"hostPort (container{_named_all(ports)} uses a hostPort)"
    privileged = [c["name"] for c in spec["containers"] if _context(c).get("privileged")]
    if privileged:
        yield f"privileged (container{_named_all(privileged)} must not set securityContext.privileged=true)"


def _restricted(spec: Tree) -> Iterator[str]:
    containers, pod = spec["containers"], spec.get("securityContext") or {}

    def without(good: Callable[[Tree], bool]) -> str:
        names = [container["name"] for container in containers if not good(_context(container))]
        return f"container{_named_all(names)}" if names else ""

    if bad := without(lambda context: context.get("allowPrivilegeEscalation") is False):
        yield f"allowPrivilegeEscalation != false ({bad} must set securityContext.allowPrivilegeEscalation=false)"
    if bad := without(lambda context: "ALL" in ((context.get("capabilities") or {}).get("drop") or [])):
        yield f'unrestricted capabilities ({bad} must set securityContext.capabilities.drop=["ALL"])'
    if bad := without(lambda context: context.get("runAsNonRoot", pod.get("runAsNonRoot")) is True):
        yield f"runAsNonRoot != true (pod or {bad} must set securityContext.runAsNonRoot=true)"
    if bad := without(lambda context: context.get("runAsUser", pod.get("runAsUser")) != 0):
        yield f"runAsUser=0 ({bad} must not set runAsUser=0)"
    kinds = {"RuntimeDefault", "Localhost"}
    if bad := without(
        lambda context: (context.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") in kinds
    ):
        yield f'seccompProfile (pod or {bad} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'


def _context(container: Tree) -> Tree:
    return container.get("securityContext") or {}


def _named_all(names: list[str]) -> str:
    return ("s " if len(names) > 1 else " ") + ", ".join(f'"{name}"' for name in names)


def _quota(key: Key, tree: Tree, name: str, hard: Mapping[str, str], stored: Callable[[str], list[Tree]]) -> None:
    wanted = {what: amount for what, amount in _use(key.plural, tree).items() if what in hard}
    if key.plural == "pods" and (missing := _unsaid(tree, hard)):
        raise forbidden("pods", key.name, f"failed quota: {name}: must specify {missing}")
    used: dict[str, Fraction] = dict.fromkeys(wanted, Fraction(0))
    for other in stored(key.plural):
        if (other.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}:
            for what, amount in _use(key.plural, other).items():
                if what in used:
                    used[what] += amount
    over = [what for what, amount in sorted(wanted.items()) if used[what] + amount > quantities.parse(hard[what])]
    if over:
        asked = ",".join(f"{what}={quantities.text(wanted[what])}" for what in over)
        have = ",".join(f"{what}={quantities.text(used[what])}" for what in over)
        most = ",".join(f"{what}={hard[what]}" for what in over)
        why = f"exceeded quota: {name}, requested: {asked}, used: {have}, limited: {most}"
        raise forbidden(key.plural, key.name, why)


def _use(plural: str, tree: Tree) -> dict[str, Fraction]:
    """Return what an object takes of a quota."""
    use = {plural: Fraction(1), f"count/{plural}": Fraction(1)}
    if plural == "pods":
        for side in ("requests", "limits"):
            use |= {f"{side}.{what}": amount for what, amount in quantities.of_pod(tree, side).items()}
    if plural == "persistentvolumeclaims":
        use["requests.storage"] = quantities.parse(
            tree["spec"].get("resources", {}).get("requests", {}).get("storage", 0)
        )
    return use


def _unsaid(pod: Tree, hard: Mapping[str, Any]) -> str:
    lines = []
    for what in sorted(hard):
        side, _, resource = what.partition(".")
        if side in {"requests", "limits"} and resource in {"cpu", "memory"}:
            without = [c["name"] for c in pod["spec"]["containers"] if resource not in c["resources"].get(side, {})]
            lines += [f"{what} for: {','.join(without)}"] if without else []
    return "; ".join(lines)
