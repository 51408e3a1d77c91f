"""The error pages of the staff UI, in its own look: what happened, that nothing was done, and the way out.

Signed-in staff see them inside the frame, with its navigation. What is broken may be anything, so the pages of 400, 500
and 503, and those of strangers, need no database and no session. The API's are ``access_app.http.fallbacks``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import REASON_NO_CSRF_COOKIE
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme

from access_app.database_faults import fault_of
from access_app.http import fallbacks
from access_app.http.errors import problem_of

_PAGES: Final = ("/admin/", "/static/")


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """``text`` says what to do about it; ``back`` is where the person was, when that is known."""

    status: int
    title: str
    text: str
    back: str = ""


_BAD_REQUEST: Final = ErrorPage(400, "Not understood", "The request cannot be read, so nothing was done.")
_TOO_LARGE: Final = ErrorPage(413, "Too large", "The form is larger than this site reads, so nothing was done.")
_FORBIDDEN: Final = ErrorPage(
    403, "Not allowed", "Your account has no permission for this, so nothing was done. A superuser can grant it."
)
_NOT_FOUND: Final = ErrorPage(404, "Not found", "There is nothing at this address.")
_BROKEN: Final = ErrorPage(
    500, "Something went wrong", "The fault is on our side, and the log has the details. Try again in a moment."
)
_NOTHING_DONE: Final = "Nothing was done. Try again later; whoever runs the site should know."
_LOOK: Final = "Try again in a moment. If you were changing something, look first whether it was done."
_STALE: Final = (
    "This page was open for too long, or you have signed in again since. Nothing was done."
    " Load the page again, and do it once more."
)
_NO_COOKIE: Final = "Your browser sent no cookie. Nothing was done. Allow cookies for this site, and sign in again."
_FOREIGN: Final = (
    "This form was sent from an address that the site does not trust. Nothing was done."
    " If it is the address you know, whoever runs the site has to name it in CSRF_TRUSTED_ORIGINS."
)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler400."""
    if not _is_page(request):
        return fallbacks.bad_request(request, exception)
    problem = problem_of(exception) if exception else None
    return bare(_TOO_LARGE if problem is not None and problem.status == 413 else _BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    return _framed(request, _FORBIDDEN) if _is_page(request) else fallbacks.forbidden(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """handler404."""
    return _framed(request, _NOT_FOUND) if _is_page(request) else fallbacks.not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: the traceback is in the log; a database that is away is not our defect."""
    if not _is_page(request):
        return fallbacks.server_error(request)
    error = sys.exc_info()[1]
    problem = problem_of(error) if isinstance(error, Exception) else None
    fault = fault_of(error) if error else None
    if problem is None or fault is None:
        return bare(_BROKEN)
    response = bare(ErrorPage(503, "Not available", f"{fault.text} {_NOTHING_DONE if fault.leaves_reads else _LOOK}"))
    for name, value in problem.headers.items():
        response[name] = value
    return response


class DatabaseFaults:
    """Responds for views whose database is away, full or read-only, before somebody logs a traceback of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Called by Django while it handles the exception, from the innermost middleware outwards."""
        return server_error(request) if fault_of(error) else None


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: nearly always a page from before a sign-in in another tab."""
    text = _NO_COOKIE if reason == REASON_NO_CSRF_COOKIE else _FOREIGN if _is_foreign(reason) else _STALE
    return _framed(request, ErrorPage(403, "Nothing was done", text, back=_came_from(request)))


def _is_page(request: HttpRequest) -> bool:
    return request.path_info.startswith(_PAGES)


def _is_foreign(reason: str) -> bool:
    """Whether Django's reason is where the form came from."""
    return reason.startswith(("Origin checking failed", "Referer checking failed"))


def _came_from(request: HttpRequest) -> str:
    """The page of ours that the form was on, to be loaded again."""
    address = str(request.META.get("HTTP_REFERER", ""))
    if not url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure()):
        return ""
    parts = urlsplit(address)
    path = "/" + parts.path.lstrip("/")  # two slashes would begin the name of another host
    return path + (f"?{parts.query}" if parts.query else "")


def _framed(request: HttpRequest, page: ErrorPage) -> HttpResponse:
    user = getattr(request, "user", None)
    if user is None or not user.is_staff:
        return bare(page)
    context = {**admin.site.each_context(request), "title": page.title, "page": page}
    return HttpResponse(render_to_string("errors/framed.html", context, request), status=page.status)


def bare(page: ErrorPage) -> HttpResponse:
    """A page that needs no database and no session."""
    return HttpResponse(render_to_string("errors/bare.html", {"page": page}), status=page.status)
