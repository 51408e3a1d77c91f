"""API keys: 256 random bits shown once, stored as a SHA-256 hash, with scopes and an expiry.

A plain hash is enough here: the key is random, so there is nothing to guess that a slow hash would slow down.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from tasks_app import access, audit
from tasks_app.models import ApiKey

PREFIX: Final = "ts_"
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
#: How stale ``last_used_at`` may be, so that a request costs a read and not a write.
LAST_USED_RESOLUTION: Final = timedelta(minutes=1)
#: Not built by the ORM: every request of the API runs it, and building it cost more than running it.
_FIND_KEY: Final = (
    "SELECT * FROM api_keys"
    " WHERE key_hash = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > statement_timestamp())"
)


class KeyRefused(ValueError):
    """A key that cannot be created; the text names the field."""


def create_key(
    name: str, scopes: Iterable[str], *, actor: str, expires_in: timedelta | None = None
) -> tuple[ApiKey, str]:
    """Create a key and answer it with its secret, which is not stored and cannot be shown again.

    Raises `KeyRefused` for a bad or used name (names stay taken after a revocation) or an unknown scope.
    """
    wanted = sorted(set(scopes))
    if not NAME.fullmatch(name):
        raise KeyRefused("name: must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
    if unknown := [scope for scope in wanted if scope not in access.scopes()]:
        raise KeyRefused(f"scopes: {', '.join(unknown)} unknown; there are {', '.join(access.scopes())}")
    if not wanted:
        raise KeyRefused(f"scopes: name at least one of {', '.join(access.scopes())}")
    secret = PREFIX + secrets.token_urlsafe(32)
    try:
        with transaction.atomic():
            key = ApiKey.objects.create(
                name=name,
                prefix=secret[: len(PREFIX) + 8],
                key_hash=_hash(secret),
                scopes=wanted,
                created_by=actor,
                expires_at=timezone.now() + expires_in if expires_in else None,
            )
            audit.record(actor, "api_key.created", f"api_key:{name}", detail={"scopes": wanted})
    except IntegrityError:
        raise KeyRefused(f"name: {name} is taken (names of revoked keys stay taken)") from None
    return key, secret


def find_key(secret: str) -> ApiKey | None:
    """The valid key of a secret: not revoked, not expired. One indexed read; a write at most once a minute."""
    if not secret.startswith(PREFIX):
        return None
    key = next(iter(ApiKey.objects.raw(_FIND_KEY, [_hash(secret)])), None)
    if key is not None and (key.last_used_at is None or timezone.now() - key.last_used_at > LAST_USED_RESOLUTION):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=Now())
    return key


def revoke_key(key: ApiKey, *, actor: str) -> None:
    """Refuse a key from now on; its name stays taken, because tasks record it. Safe to repeat."""
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=Now()):
            audit.record(actor, "api_key.revoked", f"api_key:{key.name}")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
