"""Secrets of endpoints, and signatures made with them, as Standard Webhooks 1.0 describes ``v1``. Pure but for chance.

A secret is stored with its endpoint, as it is: whoever signs needs it, and workers share no SECRET_KEY with the web. It
is in no task, and nothing shows it but the response to whoever made it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
LENGTH: Final = 32


def new_key() -> bytes:
    """What messages to an endpoint are signed with."""
    return os.urandom(LENGTH)


def shown(key: bytes) -> str:
    """A key as it is given to whoever verifies."""
    return PREFIX + base64.b64encode(key).decode()


def signature(keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one for each key, the newest first."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    made = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return " ".join(f"v1,{each}" for each in made)
