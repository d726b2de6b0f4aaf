"""Logs: one JSON object a line with ts, level, process, event and, in a request, request_id.

Write with `structlog.get_logger(__name__)`, event first, facts as keywords:
`log.info("organisation provisioned", organisation=str(pk), seconds=0.4)`. Lines of Django,
gunicorn, uvicorn and Procrastinate take the same form.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponseBase

from pulsecloud import redaction

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Chatty below warning, and what they say at info is said by our own lines.
QUIET = (
    "procrastinate.blueprints",
    "procrastinate.periodic",
    "procrastinate.worker",  # a sweep every five seconds; what matters our own lines say
    "httpx",
    "httpcore",
    "websockets",
    "asyncio",
    "urllib3",
    "uvicorn.access",
)


def process_name() -> str:
    """web, relay, worker, runtime, up, … : what the supervisor called us, else the command."""
    named = os.environ.get("PULSECLOUD_PROCESS")
    if named:
        return named
    program = Path(sys.argv[0]).name if sys.argv else ""
    if program in ("manage.py", "__main__.py") and len(sys.argv) > 1:
        return sys.argv[1]
    return program or "python"


def configure(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG; `options` is settings.LOGGING: {"level": "INFO"}."""
    name = process_name()

    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = name
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        stamp,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_no_fault_of_ours)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _facts],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redaction.processor,
                _order,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "pulsecloud", False):
            root.removeHandler(old)
    handler.pulsecloud = True  # type: ignore[attr-defined]  # ours: configuring twice replaces it
    root.addHandler(handler)
    root.setLevel(options.get("level", "INFO"))
    for logger in (
        logging.getLogger(n) for n in ("django", "django.server", "uvicorn", "procrastinate")
    ):
        logger.handlers.clear()
        logger.propagate = True
    for chatty in QUIET:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _no_fault_of_ours(record: logging.LogRecord) -> bool:
    """A malformed request is a warning in one line; Django writes an error with its traceback."""
    refused = record.name == "django.request" and getattr(record, "status_code", 500) < 500
    if refused or record.name.startswith("django.security"):
        record.exc_info = record.exc_text = None
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


_extra = structlog.stdlib.ExtraAdder()


def _facts(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`extra=` of the relay's own lines; libraries put whole jobs and colour codes there."""
    ours = str(event.get("logger", "")).startswith("relay.")
    return _extra(logger, method, event) if ours else event


def _order(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The five standard keys first, so that a person can read the lines."""
    first = ("ts", "level", "process", "event", "request_id")
    return {k: event[k] for k in first if k in event} | {
        k: v for k, v in event.items() if k not in first
    }


class RequestLogMiddleware:
    """One line per request, and a request id that the answer and every line of it carry."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.log = structlog.get_logger("pulsecloud.request")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]  # read by the audit trail
        begun = time.monotonic()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
            route = request.resolver_match.route if request.resolver_match else None
            self.log.info(
                "request",
                method=request.method,
                host=request.META.get("HTTP_HOST", ""),
                path=request.path,
                route=route,
                status=response.status_code,
                ms=round((time.monotonic() - begun) * 1000, 1),
            )
        response.headers["X-Request-Id"] = request_id
        return response
