"""Who may scrape while the database is away: whoever has shown a valid key to this process within the last hour.

The key cannot be looked up then, and an outage is when metrics are needed most. What is remembered opens /metrics,
/health and the checks of /health/ready, only while the database is away; a key that is revoked is forgotten.
"""

from __future__ import annotations

import hashlib
import threading
import time
from datetime import timedelta
from typing import Final

from django.utils import timezone

from access_app.http.authentication import ApiKeyAuthentication
from access_app.models import ApiKey
from monitoring_app import metrics
from monitoring_app.health import DATABASE_ERRORS

KEPT_FOR: Final = timedelta(hours=1)
MOST_KEPT: Final = 64


class Remembered:
    """Valid keys by the hash of their secret, and when they were last found valid by the monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[bytes, tuple[ApiKey, float]] = {}

    def note(self, secret: str, key: ApiKey | None) -> None:
        """What the database said about a key: None for one that is not valid."""
        name = _hash(secret)
        with self._lock:
            self._keys.pop(name, None)
            if key is not None:
                self._keys[name] = (key, time.monotonic())
                while len(self._keys) > MOST_KEPT:
                    del self._keys[next(iter(self._keys))]  # the one that was used longest ago

    def find(self, secret: str) -> ApiKey | None:
        """The key, if it was valid lately and has not expired since."""
        with self._lock:
            key, seen = self._keys.get(_hash(secret), (None, 0.0))
        if key is None or time.monotonic() - seen > KEPT_FOR.total_seconds():
            return None
        return key if key.expires_at is None or key.expires_at > timezone.now() else None


remembered: Final = Remembered()


class ScraperAuthentication(ApiKeyAuthentication):
    """As everywhere; while the database is away, by what is remembered."""

    def find(self, secret: str, *, address: str) -> ApiKey | None:
        try:
            key = super().find(secret, address=address)
        except DATABASE_ERRORS:
            metrics.note_away()
            key = remembered.find(secret)
            if key is None:
                raise
            return key
        remembered.note(secret, key)
        return key


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
