"""API keys: 256 random bits shown once, stored as a SHA-256 hash, with scopes and an expiry.

A plain hash is enough here: the key is random, so there is nothing to guess that a slow hash would slow down.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from access_app import audit
from access_app import rights as access
from access_app.database_faults import leaves_reads
from access_app.models import ApiKey
from access_app.rights import Account, Person
from access_app.sql import statement

PREFIX: Final = "ts_"
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
#: What timelines and audit rows call parts of the system: a key of such a name would act under it.
OUR_NAMES: Final = frozenset({"scheduler", "system"})
#: How stale ``last_used_at`` may be, so that a request costs a read and not a write.
LAST_USED_RESOLUTION: Final = timedelta(minutes=1)
#: For ``expires_in``: valid until it is revoked.
NEVER: Final = timedelta(0)


class KeyRefused(ValueError):
    """A key that cannot be created; the text names the field."""


class KeyState(StrEnum):
    """Whether a key is taken, or why not."""

    VALID = "VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    OWNER_GONE = "OWNER_GONE"


@dataclass(frozen=True, slots=True)
class _Owner:
    """The owner of a key as the look-up reads them, a superuser apart: what `access.Person` asks about."""

    name: str
    permissions: frozenset[str]
    is_superuser: bool = False

    def get_username(self) -> str:
        return self.name

    def has_perm(self, permission: str) -> bool:
        return permission in self.permissions


def create_key(
    name: str, scopes: Iterable[str], *, actor: str, owner: Any = None, expires_in: timedelta | None = None
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which is not stored and cannot be shown again.

    ``owner`` is the account whose rights bound the key's. ``expires_in``: `NEVER`, or None for what the settings say.
    Raises `KeyRefused` for a bad, reserved or used name (names stay taken after a revocation), an unknown scope, an
    owner who is not an active member of staff, or a scope that the owner may not give away.
    """
    wanted = sorted(set(scopes))
    if not NAME.fullmatch(name):
        raise KeyRefused("name: must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
    if name.lower() in OUR_NAMES:
        raise KeyRefused(f"name: {name} is what timelines call a part of the system; choose another")
    _check_scopes(wanted, owner)
    expires_in = settings.SCHEDULER.api_key_default_expiry if expires_in is None else expires_in
    expires_at = timezone.now() + expires_in if expires_in else None
    secret = PREFIX + secrets.token_urlsafe(32)
    detail = {
        "scopes": wanted,
        "owner": owner.get_username() if owner else None,
        "expiresAt": expires_at.isoformat() if expires_at else None,
    }
    try:
        with transaction.atomic():
            key = ApiKey.objects.create(
                name=name,
                prefix=secret[: len(PREFIX) + 8],
                key_hash=_hash(secret),
                scopes=wanted,
                created_by=actor,
                owner=owner,
                expires_at=expires_at,
            )
            audit.record(actor, "api_key.created", f"api_key:{name}", detail=detail)
    except IntegrityError:
        raise KeyRefused(f"name: {name} is taken (names of revoked keys stay taken)") from None
    return key, secret


def _check_scopes(wanted: list[str], owner: Any) -> None:
    if unknown := [scope for scope in wanted if scope not in access.scopes()]:
        raise KeyRefused(f"scopes: {', '.join(unknown)} unknown; there are {', '.join(access.scopes())}")
    if not wanted:
        raise KeyRefused(f"scopes: name at least one of {', '.join(access.scopes())}")
    if owner is None:
        return
    if not (owner.is_active and owner.is_staff):
        raise KeyRefused(f"owner: {owner.get_username()} is not an active member of staff")
    if beyond := [scope for scope in wanted if scope not in access.grantable(Person(owner))]:
        raise KeyRefused(f"scopes: {owner.get_username()} may not give away {', '.join(beyond)}")


def find_key(secret: str, *, address: str = "") -> ApiKey | None:
    """The valid key of a secret, with the scopes that are in effect; None for any other text.

    One indexed read; a write at most once a minute, which notes the time and the client's ``address``. Of the scopes of
    a key that has an owner, those are in effect that the owner could give away now.
    """
    if not secret.startswith(PREFIX):
        return None
    with connection.cursor() as cursor:
        cursor.execute(statement("find_key"), {"key_hash": _hash(secret)})
        found = cursor.fetchone()
        if found is None:
            return None
        row = dict(zip((column.name for column in cursor.description), found, strict=True))
    owner_name, permissions = row.pop("owner_name"), row.pop("owner_permissions")
    key = ApiKey(**row)
    if key.last_used_at is None or timezone.now() - key.last_used_at > LAST_USED_RESOLUTION:
        _note_use(key, address)
    if permissions is not None:
        key.scopes = scopes_in_effect(key.scopes, _Owner(owner_name, frozenset(permissions)))
    return key


def _note_use(key: ApiKey, address: str) -> None:
    """Write when and from where a key was used; a database that cannot be written can still be read with it."""
    try:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=Now(), last_used_address=address or None)
    except DatabaseError as error:
        if connection.in_atomic_block or not leaves_reads(error):
            raise


def scopes_in_effect(scopes: Iterable[str], owner: Account | None) -> list[str]:
    """Those of a key's scopes that its owner could give away now; all of them when it has none."""
    if owner is None:
        return list(scopes)
    may = access.grantable(Person(owner))
    return [scope for scope in scopes if scope in may]


def owners_of(keys: Iterable[ApiKey]) -> dict[Any, Any]:
    """The accounts that keys belong to, by their ids; those that were deleted are missing."""
    return get_user_model().objects.in_bulk({key.owner_id for key in keys} - {None})


def any_key() -> bool:
    """Whether anybody has made a key, valid or not."""
    return ApiKey.objects.exists()


def state_of(key: ApiKey, owner: Any) -> KeyState:
    """What became of a key, given its account of `owners_of`, or None."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if key.expires_at is not None and key.expires_at <= timezone.now():
        return KeyState.EXPIRED
    if key.owner_id and not (owner and owner.is_active and owner.is_staff):
        return KeyState.OWNER_GONE
    return KeyState.VALID


def revoke_key(key: ApiKey, *, actor: str) -> None:
    """Refuse a key from now on; its name stays taken, because tasks record it. Safe to repeat."""
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=Now()):
            audit.record(actor, "api_key.revoked", f"api_key:{key.name}")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
