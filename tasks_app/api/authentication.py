"""Who is calling: an API key (``Authorization: Bearer …``) or the session of somebody who may use the admin.

Either becomes a `Caller` in ``request.auth``. What a caller may do is decided in ``permissions``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import structlog
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tasks_app.access import Scope
from tasks_app.keys import find_key

CHALLENGE: Final = 'Bearer realm="task-scheduler"'
#: What RFC 6750 §2.1 calls b64token; anything else is refused before the database is asked.
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.ASCII | re.IGNORECASE)
#: Django's model permissions that give staff a scope; tasks:shell runs commands and is for superusers alone.
_PERMISSIONS: Final = {
    Scope.TASKS_READ: ("tasks_app.view_task",),
    Scope.TASKS_WRITE: ("tasks_app.add_task", "tasks_app.change_task"),
    Scope.ADMIN: ("tasks_app.change_queue", "workers_app.change_worker"),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who has proved who they are. ``name`` is what ``createdBy`` and the audit trail record."""

    name: str
    scopes: frozenset[str]


class ApiKeyAuthentication(BaseAuthentication):
    """One indexed read per request; a key that is unknown, revoked or expired is refused, never passed over."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        match = _BEARER.fullmatch(header.strip())
        key = find_key(match[1]) if match else None
        if key is None:
            raise AuthenticationFailed("The API key is unknown, revoked or expired.")
        return None, _seen(Caller(key.name, frozenset(key.scopes)))

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class AdminSessionAuthentication(SessionAuthentication):
    """The admin's session, with CSRF protection. Its name has a colon, which no key's name may have."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        plain = request._request
        user = getattr(plain, "user", None)
        if user is None or not (user.is_active and user.is_staff):
            return None
        # Not DRF's request: the check looks for a form field, and DRF would read the body to have one.
        self.enforce_csrf(plain)  # type: ignore[arg-type]
        return user, _seen(Caller(f"user:{user.get_username()}", _scopes_of(user)))


def _scopes_of(user: Any) -> frozenset[str]:
    if user.is_superuser:
        return frozenset(Scope)
    return frozenset(scope for scope, names in _PERMISSIONS.items() if user.has_perms(names))


def _seen(caller: Caller) -> Caller:
    structlog.contextvars.bind_contextvars(caller=caller.name)
    return caller
