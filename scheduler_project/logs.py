"""How every process writes its log: one event a line on stderr, for people (console) or machines (json).

Only the shape is decided here. What is worth a line is decided where it happens, and by ``monitoring_app.receivers``.
"""

from __future__ import annotations

import logging.config
import sys

import structlog
from structlog.types import Processor


def configure(*, level: str, json: bool) -> None:
    """Set up structlog and the standard library's logging alike; safe to repeat."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
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
                    ],
                    "foreign_pre_chain": shared,
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": sys.stderr, "formatter": "events"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # One line a request is written by django-structlog; these would repeat it.
                "django.server": {"level": "ERROR"},
                "django.request": {"level": "ERROR"},
            },
        }
    )


def _renderers(*, json: bool) -> list[Processor]:
    if not json:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    # Never the local variables of a traceback: they hold payloads and passwords.
    tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    return [tracebacks, structlog.processors.JSONRenderer()]
