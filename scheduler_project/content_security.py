"""What a browser may load and run on a response of this site: nothing but its own files, and nothing inline.

One policy for pages and a bare one for everything else, on every response. None is loosened for a page: what needs an
inline script, a style attribute or ``eval`` is mended instead (Content Security Policy Level 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADER: Final = "Content-Security-Policy"
_EVERYWHERE: Final = "default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
#: Pages. Their icons and those of Swagger UI are drawn from data URLs in style sheets.
PAGE: Final = (
    f"{_EVERYWHERE}; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'"
)
#: What is no page: JSON, metrics, redirects, static files opened by themselves.
DATA: Final = f"{_EVERYWHERE}; form-action 'none'"


class ContentSecurityPolicy:
    """Names the policy on every response, over whatever a view said. The outermost middleware: errors carry it too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if not _is_debugging(response):
            response[HEADER] = PAGE if _is_page(response) else DATA
        return response


def _is_page(response: HttpResponse) -> bool:
    return response.get("Content-Type", "").startswith("text/html")


def _is_debugging(response: HttpResponse) -> bool:
    """Whether this is Django's page of a traceback, which lives on inline styles: never without DEBUG."""
    return settings.DEBUG and response.status_code in (404, 500)
