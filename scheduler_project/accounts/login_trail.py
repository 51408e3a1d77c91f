"""Log-ins in log and audit trail: who came and went, who failed, and who was locked out.

The log has every failure. The audit trail is kept for ever, so strangers may add only so much to it an hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, TypeGuard

import structlog
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from access_app import audit
from access_app.http.clients import client_address
from scheduler_project.accounts.browsers import browser_of

#: Rows of each kind that failures may add to the audit trail in `WINDOW`.
MOST_ROWS: Final = 200
WINDOW: Final = timedelta(hours=1)
#: What is shown of a name: it is a stranger's text.
LONGEST_NAME: Final = 64

log = structlog.get_logger(__name__)


def printable(name: str, longest: int = LONGEST_NAME) -> str:
    """A name as somebody typed it, without what steers a terminal or turns text round."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name[:longest])


def login_failed(request: HttpRequest, name: str) -> None:
    """A password was wrong, or there is no such account."""
    log.info("login_failed", username=printable(name), address=client_address(request))
    _record_stranger(request, "login_failed", "login:failed", name)


def login_locked(request: HttpRequest, name: str) -> None:
    """It was wrong once too often: no further attempt is looked at for a while."""
    log.warning("login_locked", username=printable(name), address=client_address(request))
    _record_stranger(request, "login_locked", "login:locked", name)


@receiver(user_logged_in)
def note_login(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if not _came_in(request):
        return
    facts = {"address": client_address(request), "knownBrowser": bool(browser_of(request, user.get_username()))}
    log.info("login_succeeded", username=user.get_username(), address=facts["address"])
    audit.record(f"user:{user.get_username()}", "login_succeeded", f"user:{user.get_username()}", detail=facts)


@receiver(user_logged_out)
def note_logout(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if user is None or not _came_in(request):
        return
    log.info("logged_out", username=user.get_username(), address=client_address(request))
    detail = {"address": client_address(request)}
    audit.record(f"user:{user.get_username()}", "logged_out", f"user:{user.get_username()}", detail=detail)


def _came_in(request: HttpRequest | None) -> TypeGuard[HttpRequest]:
    """Whether a client sent it; scripts log people in with requests of their own making."""
    return request is not None and request.resolver_match is not None


def _record_stranger(request: HttpRequest, action: str, target: str, name: str) -> None:
    if _is_full(target):
        return
    address = client_address(request)
    detail = {"username": printable(name), "address": address}
    audit.record(f"address:{address or 'unknown'}", action, target, reason=f"as {printable(name)}", detail=detail)


def _is_full(target: str) -> bool:
    """Whether the row that is `MOST_ROWS` back is younger than `WINDOW`. Served by the index audit_target."""
    oldest = audit.about(target).values_list("at", flat=True)[MOST_ROWS - 1 : MOST_ROWS].first()
    return oldest is not None and oldest > timezone.now() - WINDOW
