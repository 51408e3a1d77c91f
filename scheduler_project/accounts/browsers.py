"""Browsers that somebody has logged in with before, known by a signed cookie.

What strangers try must not keep people out: failures from a known browser are counted apart from all others (OWASP,
"Slow Down Online Guessing Attacks with Device Cookies"). The cookie opens nothing by itself.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

COOKIE: Final = "known_browser"
LASTS: Final = timedelta(days=90)
_SALT: Final = "scheduler_project.accounts.browsers"


def browser_of(request: HttpRequest, username: str | None = None) -> str:
    """The id of a known browser, or an empty text. With ``username``: only if it was they who logged in with it."""
    value = request.get_signed_cookie(COOKIE, default="", salt=_SALT, max_age=LASTS)
    browser, _, owner = str(value).partition(".")
    return browser if username is None or owner == _digest(username) else ""


def remember_browser(request: HttpRequest, response: HttpResponse, username: str) -> None:
    """Have the response to a log-in make its browser known, or known for longer."""
    browser = browser_of(request, username) or secrets.token_hex(16)
    response.set_signed_cookie(
        COOKIE,
        f"{browser}.{_digest(username)}",
        salt=_SALT,
        max_age=LASTS,
        path=reverse("admin:index"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _digest(username: str) -> str:
    return hashlib.sha256(username.encode()).hexdigest()
