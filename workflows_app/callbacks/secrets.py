"""Secrets of endpoints, and signatures made with them, as Standard Webhooks 1.0 describes ``v1``. Pure but for chance.

A secret is kept nowhere. It is made of SECRET_KEY and of a salt, which is random and stored, by HMAC-SHA256; so a copy
of the database has none. Who has another SECRET_KEY makes other secrets: `proof_of` lets him notice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import Final
from uuid import UUID

PREFIX: Final = "whsec_"
_SALT: Final = 16


def new_salt() -> bytes:
    return os.urandom(_SALT)


def key_of(secret_key: str, endpoint: UUID, salt: bytes) -> bytes:
    """The 32 bytes that messages to an endpoint are signed with."""
    return hmac.digest(secret_key.encode(), b"webhook endpoint " + endpoint.bytes + salt, hashlib.sha256)


def shown(key: bytes) -> str:
    """A key as it is given to whoever verifies."""
    return PREFIX + base64.b64encode(key).decode()


def proof_of(key: bytes) -> bytes:
    """By what a key is recognised. Says nothing of it."""
    return hashlib.sha256(b"webhook key " + key).digest()[:_SALT]


def signature(keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one for each key, the newest first."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    made = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return " ".join(f"v1,{each}" for each in made)
