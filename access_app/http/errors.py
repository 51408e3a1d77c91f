"""Errors out: the only place that knows which HTTP status belongs to which exception that all apps share.

`problem_response` serves DRF's views; ``fallbacks`` everything else. Nothing internal gets out: an exception
that nobody foresaw is a 500 without details, and its traceback goes to the log.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import psycopg
import structlog
from django.core import exceptions as django
from django.db import DataError, connection
from django.http import Http404, HttpResponse
from django.http.request import UnreadablePostError
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from access_app import audit, signals
from access_app.database_faults import DatabaseAway, Fault, Kind, fault, fault_of, short
from access_app.http.problems import MEDIA_TYPE, Problem
from access_app.http.renderers import dumps
from access_app.idempotency import IdempotencyConflict
from access_app.refusals import InvalidInput, NotFound
from access_app.rights import Refused
from access_app.versions import Stale

log = structlog.get_logger(__name__)

_AGAIN: Final = "Try again; with an Idempotency-Key nothing is created twice."
_KINDS: Final = {
    400: "invalid-request",
    401: "not-authenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    415: "unsupported-media-type",
}


def _unavailable(error: Exception, found: Fault) -> Problem:
    log.warning("database_unavailable", kind=str(found.kind), error=short(error))
    signals.database_failed.send_robust(None, fault=found)
    if found.kind is Kind.READ_ONLY and not connection.in_atomic_block:
        connection.close()  # it works, on a server that only reads: the next one may find the primary
    return Problem(503, "unavailable", f"{found.text} {_AGAIN}", headers={"Retry-After": str(found.retry_after)})


def _refused_value(error: Exception) -> Problem:
    # Our own checks should have said it better; this keeps their gaps from being a 500.
    log.warning("database_refused_value", error=str(error).strip())
    return Problem(400, "invalid-request", "The request holds a value that cannot be stored.")


def _framework(error: APIException) -> Problem:
    status = error.status_code
    challenge = getattr(error, "auth_header", None)
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    kind = _KINDS.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "-")
    return Problem(status, kind, str(error.detail), headers=headers)


#: Exceptions and the problems they become; the first that fits.
Problems = tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Any], Problem]], ...]

_PROBLEMS: Final[Problems] = (
    (Problem, lambda error: error),
    (Refused, lambda error: Problem(403, "forbidden", str(error))),
    (InvalidInput, lambda error: Problem.invalid(error.problems)),
    (NotFound, lambda error: Problem.not_found(sentence(error))),
    (IdempotencyConflict, lambda error: Problem(409, "idempotency-conflict", sentence(error))),
    (Stale, lambda error: Problem(412, "stale-version", sentence(error))),
    (APIException, _framework),
    (Http404, lambda error: Problem.not_found("There is nothing here.")),
    (django.PermissionDenied, lambda error: Problem(403, "forbidden", "This is not allowed.")),
    (django.RequestDataTooBig, lambda error: Problem(413, "body-too-large", "The body is too large.")),
    (UnreadablePostError, lambda error: Problem.malformed("the connection ended before it did")),
    (django.DisallowedHost, lambda error: Problem(400, "bad-request", "The Host header names no host of this site.")),
    (
        (django.SuspiciousOperation, django.BadRequest),
        lambda error: Problem(400, "bad-request", "The request cannot be understood."),
    ),
    ((DataError, psycopg.DataError), _refused_value),
)


def problem_of(error: Exception, more: Problems = ()) -> Problem | None:
    """The problem that an exception is to callers, or None for one that nobody foresaw; a failed database is logged.

    ``more``: the exceptions of another app's domain.
    """
    known = next((make(error) for kinds, make in (*more, *_PROBLEMS) if isinstance(error, kinds)), None)
    found = fault_of(error) if known is None else None
    if found is None and isinstance(error, DatabaseAway):
        found = fault(Kind.UNREACHABLE)
    return known if found is None else _unavailable(error, found)


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. A view may have ``problems`` for exceptions of its app's domain."""
    problem = problem_of(error, getattr(context["view"], "problems", ()))
    if problem is None:
        return None
    return Response(
        problem.document(audit.correlation_id()),
        status=problem.status,
        headers=dict(problem.headers),
        content_type=MEDIA_TYPE,
    )


def plain_response(problem: Problem) -> HttpResponse:
    """The response for a problem that arose outside DRF's views."""
    return HttpResponse(
        dumps(problem.document(audit.correlation_id())),
        status=problem.status,
        headers=dict(problem.headers),
        content_type=MEDIA_TYPE,
    )


def sentence(error: Exception) -> str:
    """The words of an exception, as a sentence of their own."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
