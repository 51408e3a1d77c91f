"""What Django refuses about a request (its host, its form, its token) is a client's mistake: one short line at INFO.

Django logs some of it as an error, with a traceback that shows only where it looked.
"""

from __future__ import annotations

import logging
from typing import Final

import structlog

log = structlog.get_logger(__name__)

#: Characters of a reason; it may quote what the client sent.
LONGEST: Final = 200


class RefusalHandler(logging.Handler):
    """For the logger ``django.security`` and all below it."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.name.rpartition(".")[2]
        log.info("request_refused", kind=kind, reason=record.getMessage()[:LONGEST])
