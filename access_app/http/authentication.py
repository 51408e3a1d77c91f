"""Who is calling: an API key (``Authorization: Bearer …``), another credential in its place (``rights.bearers``), or
the session of somebody who may use the admin.

Each becomes a `Caller` in ``request.auth``. What a caller may do is said by the table of ``rights``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import structlog
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from access_app.http.clients import client_address
from access_app.keys import find_key
from access_app.models import ApiKey
from access_app.rights import Caller, KeyCaller, Person, bearers

CHALLENGE: Final = 'Bearer realm="task-scheduler"'
#: What RFC 6750 §2.1 calls b64token; anything else is refused before the database is asked.
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.ASCII | re.IGNORECASE)


class ApiKeyAuthentication(BaseAuthentication):
    """One indexed read per request; a key that is unknown, revoked or expired is refused, never passed over."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        match = _BEARER.fullmatch(header.strip())
        if match and (read := bearers.reader_of(match[1])):
            return None, _seen(_read(read, match[1]))
        key = self.find(match[1], address=client_address(request._request)) if match else None
        if key is None:
            raise AuthenticationFailed("The API key is unknown, revoked or expired, or its owner's account is closed.")
        return None, _seen(KeyCaller(key.name, frozenset(key.scopes)))

    def find(self, secret: str, *, address: str) -> ApiKey | None:
        """The valid key of a secret, used from this address."""
        return find_key(secret, address=address)

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class AdminSessionAuthentication(SessionAuthentication):
    """The admin's session, with CSRF protection."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        plain = request._request
        user = getattr(plain, "user", None)
        if user is None or not (user.is_active and user.is_staff):
            return None
        # Not DRF's request: the check looks for a form field, and DRF would read the body to have one.
        self.enforce_csrf(plain)  # type: ignore[arg-type]
        return user, _seen(Person(user))


def _read(read: bearers.Read, credential: str) -> Caller:
    caller = read(credential)
    if caller is None:
        raise AuthenticationFailed("The token is not one that was given out here.")
    return caller


def _seen(caller: Caller) -> Caller:
    structlog.contextvars.bind_contextvars(caller=caller.name)
    return caller
