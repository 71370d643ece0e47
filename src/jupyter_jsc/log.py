# SPDX-License-Identifier: BSD-3-Clause
"""Logging, set up once per process by ``cli``: events with fields, JSON when stdout is no terminal.

``lab_id``, ``start_id`` and ``request_id`` are bound to the context by whoever handles a request.
Secrets are masked by the last processor, whatever key or text they come in.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

_SECRET_KEY = re.compile(r"token|secret|password|credential|authorization|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|\b(?:code|_xsrf|code_verifier|assertion)=[^&\s\"']+"
    r"|\b\w*(?:token|secret|password)[\"']?\s*[=:]\s*[\"']?[^&\s\"',}]+"
    r"|\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
)


def mask_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace values of keys that sound secret, and credentials inside any text."""
    for key, value in event.items():
        event[key] = _masked("" if key == "event" else key, value)
    return event


def _masked(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return "***"
    if isinstance(value, str):
        return _SECRET_TEXT.sub("***", value)
    if isinstance(value, dict):
        return {name: _masked(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_masked("", inner) for inner in value]
    return value


def configure(service: str, *, debug: bool = False) -> None:
    """Set up structlog and the standard library's logging for this process, to stdout."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stdout.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in ("uvicorn.access", "asyncssh", "httpx", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)
