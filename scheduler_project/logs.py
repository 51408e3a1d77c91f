"""How every process writes its log: one event a line on stderr, for people (console) or machines (json).

Only the shape is decided here. What is worth a line is decided where it happens, and by ``monitoring_app.receivers``;
what may stand in a line by ``log_values``. A worker wraps its life in ``workers_app.background_logs.in_background``,
so that no pool thread waits for a slow reader of stderr.
"""

from __future__ import annotations

import json as jsonlib
import logging.config
import os
import re
import sys
import threading
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor

from scheduler_project.log_values import as_json, hide_secrets, one_line, plain_values

#: Requests that come every few seconds and say nothing unless they fail.
_PROBE: Final = re.compile(r"(GET|HEAD) /(health/live|health/ready|metrics)/?(\?|$)")
_REQUEST_LOG: Final = "django_structlog.middlewares.request"


def configure(*, level: str, json: bool) -> None:
    """Set up structlog and the standard library's logging alike; safe to repeat."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            quiet_requests,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "events": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *_renderers(json=json),
                        hide_secrets,
                    ],
                    "foreign_pre_chain": shared,
                }
            },
            "handlers": {
                "stderr": {"()": StderrHandler, "formatter": "events"},
                "refusals": {"()": "scheduler_project.web.refusals.RefusalHandler"},
            },
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # One line a request, and one with the traceback for a failed one, is written by django-structlog.
                "django.server": {"level": "ERROR"},
                "django.request": {"level": "CRITICAL"},
                "django.security": {"handlers": ["refusals"], "propagate": False},
                # Each failed log-in several times, in its own form; accounts.login_trail has one event.
                "axes": {"level": "ERROR"},
            },
        }
    )
    logging.captureWarnings(capture=True)
    if json:
        # A traceback printed by the interpreter would be many lines that are no JSON.
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread


def quiet_requests(logger: logging.Logger, _method: str, event: EventDict) -> EventDict:
    """Leave one line a request: starts, and probes that went well, count as DEBUG."""
    if logger.name == _REQUEST_LOG and _is_detail(event) and not logger.isEnabledFor(logging.DEBUG):
        raise structlog.DropEvent
    return event


def _is_detail(event: EventDict) -> bool:
    if event.get("event") == "request_started":
        return True
    return event.get("code", 500) < 400 and _PROBE.match(event.get("request", "")) is not None


class StderrHandler(logging.Handler):
    """Writes lines to whatever `sys.stderr` is now, and never raises: a process does not end with its log's reader."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a bad format string of somebody else's, say
            line = jsonlib.dumps(
                {"event": "log_line_failed", "level": "error", "logger": record.name, "error": type(error).__name__}
            )
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except BrokenPipeError:
            _abandon_stderr()
        except (OSError, ValueError, AttributeError):
            pass  # full, closed, or there is none


def _abandon_stderr() -> None:
    """Send what stderr still holds nowhere: flushing it when the interpreter ends would make its exit status 120."""
    if sys.stderr is not sys.__stderr__:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _renderers(*, json: bool) -> list[Processor]:
    # Never the local variables of a traceback: they hold payloads and passwords.
    if json:
        transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(transform), plain_values, as_json]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr is not None and sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, plain_values, one_line, console]


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        structlog.get_logger(__name__).critical("uncaught_exception", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: Any) -> None:
    if not issubclass(args.exc_type, SystemExit):
        structlog.get_logger(__name__).critical(
            "uncaught_exception",
            thread=args.thread.name if args.thread else None,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )
