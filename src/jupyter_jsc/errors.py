# SPDX-License-Identifier: BSD-3-Clause
"""The error tree. Every error of ours has one HTTP status and travels as an RFC 9457 problem.

::

    JSCError                    500
    ├── InvalidRequest          400  the caller's input; names field, value and what is allowed
    ├── NotAuthenticated        401  no or unknown credential of the calling service
    ├── Forbidden               403  known, but not allowed to do this
    │   └── TargetRefused       403  a tunnel to a host that the system does not allow
    ├── NotFound                404  positively not there (never: "could not find out")
    ├── Conflict                409  another start holds this lab
    ├── SiteRefused             422  the site said no, and will say no again: the user must change something
    ├── CredentialRefused       424  the site does not accept the user's credential (any more)
    ├── HostKeyChanged          495  the jump host showed a key that is not the pinned one
    └── Unavailable             503  could not find out or could not do it now; trying again helps
        └── SiteUnavailable     503  the site does not answer, or answers nonsense

``message`` is one or two sentences for the user: what happened and what to do. It never holds a token,
a response body or a traceback. ``detail`` holds facts for operators under the same rule.
"""

from typing import Any, ClassVar


class JSCError(Exception):
    """Base of all errors of jupyter-jsc."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, /, *, retry_after_s: float | None = None, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.detail = detail

    def problem(self) -> dict[str, Any]:
        """Return the RFC 9457 problem document; :func:`from_problem` makes the same error of it."""
        document: dict[str, Any] = {
            "type": type(self).__name__,
            "title": self.title,
            "status": self.status,
            "detail": self.message,
        }
        if self.retry_after_s is not None:
            document["retry_after_s"] = self.retry_after_s
        return document | {"errors": self.detail} if self.detail else document


class InvalidRequest(JSCError):
    """The caller's input is wrong; ``field``, ``value`` and ``allowed`` stand in the detail."""

    status = 400
    title = "Invalid request"


class NotAuthenticated(JSCError):
    """The calling service has no credential that is known here."""

    status = 401
    title = "Not authenticated"


class Forbidden(JSCError):
    """The caller is known, but may not do this."""

    status = 403
    title = "Forbidden"


class TargetRefused(Forbidden):
    """A tunnel was asked for to a host or port that the configuration does not allow."""

    title = "Target refused"


class NotFound(JSCError):
    """The thing is positively not there."""

    status = 404
    title = "Not found"


class Conflict(JSCError):
    """Something else holds the place."""

    status = 409
    title = "Conflict"


class SiteRefused(JSCError):
    """The site refuses this request for good; repeating it unchanged is useless."""

    status = 422
    title = "Refused by the system"


class CredentialRefused(JSCError):
    """The site does not accept the credential that came with the request."""

    status = 424
    title = "Credential refused by the system"


class HostKeyChanged(JSCError):
    """A jump host showed a host key that is not the pinned one; nothing was sent to it."""

    status = 495
    title = "Host key changed"


class Unavailable(JSCError):
    """It could not be done or found out now; trying again helps."""

    status = 503
    title = "Unavailable"


class SiteUnavailable(Unavailable):
    """The site does not answer in time, or with something that is no answer."""

    title = "System unavailable"


def _tree(cls: type[JSCError]) -> list[type[JSCError]]:
    return [cls, *(child for direct in cls.__subclasses__() for child in _tree(direct))]


def from_problem(document: Any, status: int) -> JSCError:
    """Return the error that *document* describes; anything else becomes an error by its HTTP status.

    A 404 that is not our problem comes from something in between: it never says that a lab is gone.
    """
    known = {cls.__name__: cls for cls in _tree(JSCError)}
    if isinstance(document, dict) and (cls := known.get(str(document.get("type")))):
        retry = document.get("retry_after_s")
        error = cls(str(document.get("detail", "")), retry_after_s=retry if isinstance(retry, int | float) else None)
        detail = document.get("errors")
        error.detail = detail if isinstance(detail, dict) else {}
        return error
    by_status = {cls.status: cls for cls in (InvalidRequest, NotAuthenticated, Forbidden, Conflict)}
    return by_status.get(status, Unavailable)(f"The service answered with HTTP status {status}.")
