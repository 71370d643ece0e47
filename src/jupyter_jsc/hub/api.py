# SPDX-License-Identifier: BSD-3-Clause
"""What all handlers of the hub's API share: errors as JSON, bodies as models, who asks.

Used by :mod:`.callbacks`, :mod:`.handlers`, :mod:`.access` and :mod:`.stream`. XSRF protection is JupyterHub's own and
on for every route that takes a cookie.
"""

import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import Scope
from pydantic import BaseModel, ValidationError

from jupyter_jsc import errors
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.rights.tree import OptionTree

Model = TypeVar("Model", bound=BaseModel)
Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

_LARGEST_BODY = 64 * 1024


def answers_errors(method: Method) -> Method:
    """Answer our errors as JSON with message, and with field, value and what is allowed where there are such."""

    @functools.wraps(method)
    async def wrapped(self: "JSCHandler", *args: Any, **kwargs: Any) -> None:
        try:
            await method(self, *args, **kwargs)
        except errors.JSCError as error:
            self.set_status(502 if isinstance(error, errors.HostKeyChanged) else error.status)
            self.set_header("Content-Type", "application/json")
            if error.retry_after_s is not None:
                self.set_header("Retry-After", str(int(error.retry_after_s)))
            self.finish(json.dumps({"status": error.status, "message": error.message} | _plain(error.detail)))

    return cast("Method", wrapped)


def _plain(detail: dict[str, Any]) -> dict[str, str]:
    return {name: str(detail[name]) for name in ("field", "value", "allowed") if name in detail}


class JSCHandler(APIHandler):
    """Base of our API handlers."""

    @property
    def portal(self) -> Portal:
        """The portal that this hub runs."""
        return self.authenticator.portal

    def body(self, model: type[Model], largest: int = _LARGEST_BODY) -> Model:
        """Return the request's JSON as *model*, or raise :class:`errors.InvalidRequest`."""
        if len(self.request.body) > largest:
            raise errors.InvalidRequest(f"The body has more than {largest} bytes.")
        try:
            return model.model_validate_json(self.request.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "body"
            raise errors.InvalidRequest(f"{place}: {first['msg']}", field=place, allowed=first["msg"]) from error

    def caller(self, scope: str) -> Any:
        """Return the user who asks, or raise :class:`errors.Forbidden` without *scope*: a lab's token has none of these."""
        if self.current_user is None or not self.has_scope(f"{scope}!user={self.current_user.name}"):
            raise errors.Forbidden(f"This needs a login, or a token with the scope {scope}.")
        return self.user_of(self.current_user.name)

    def need(self, scope: str) -> None:
        """Raise :class:`errors.Forbidden` unless the caller holds one of our own scopes, unfiltered, as services do."""
        if self.parsed_scopes.get(scope) is not Scope.ALL:
            raise errors.Forbidden(f"This needs the scope {scope}.")

    async def tree(self, user: Any) -> OptionTree:
        """Return what *user* may start now."""
        return self.portal.tree(user, await user.get_auth_state())

    def user_of(self, user_name: str) -> Any:
        """Return JupyterHub's user, or raise :class:`errors.NotFound`."""
        user = self.find_user(user_name)
        if user is None:
            raise errors.NotFound("There is no such user.")
        return user
