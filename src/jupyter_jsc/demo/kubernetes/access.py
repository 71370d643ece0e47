# SPDX-License-Identifier: BSD-3-Clause
"""Who calls the API server and what that account may do: bearer tokens, and rights by verb and resource as RBAC has them.

Called by :mod:`.api` for each request, which it also counts.
"""

from collections import Counter
from collections.abc import Mapping

from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.objects import ApiError, Tree
from jupyter_jsc.demo.kubernetes.settings import User


class Access:
    """Authentication, authorisation, and what was asked for."""

    def __init__(self, tokens: Mapping[str, User], faults: Faults) -> None:
        self._tokens = tokens
        self._faults = faults
        self.requests: Counter[tuple[str, str]] = Counter()
        """How often each verb and resource was asked for, refused requests included."""

    def user(self, headers: Mapping[str, str]) -> User:
        """Return the caller; 401 for nobody."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None or self._faults.unauthorized:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def may(self, user: User, verb: str, resource: str) -> bool:
        """Tell whether the user has the right."""
        if (verb, resource) in self._faults.missing_rights:
            return False
        return user.rights is None or verb in user.rights.get(resource, ())

    def rules(self, user: User) -> list[Tree]:
        """Return what the user may do, as a SelfSubjectRulesReview tells it."""
        rights = user.rights if user.rights is not None else {"*": frozenset("*")}
        missing = self._faults.missing_rights
        return [
            {
                "apiGroups": [""],
                "resources": [resource],
                "verbs": sorted(verb for verb in verbs if (verb, resource) not in missing),
            }
            for resource, verbs in rights.items()
        ]

    def require(self, user: User, verb: str, resource: str, namespace: str | None, name: str) -> None:
        """Raise 403 in RBAC's words if the user may not."""
        if self.may(user, verb, resource):
            return
        plural = resource.partition("/")[0]
        what = f'{plural} "{name}"' if name else plural
        where = f'in the namespace "{namespace}"' if namespace is not None else "at the cluster scope"
        why = f'User "{user.name}" cannot {verb} resource "{resource}" in API group "" {where}'
        details = {"kind": plural} | ({"name": name} if name else {})
        raise ApiError(403, "Forbidden", f"{what} is forbidden: {why}", details)
