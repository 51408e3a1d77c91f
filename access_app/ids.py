"""Time-ordered task ids: UUID version 7 (RFC 9562 §5.7), made by whoever creates the task.

The id carries the creation time in milliseconds, so one primary key serves every listing by time; ``created_at`` is
that same instant, written out for people who read with SQL. Within one process ids grow strictly (§6.2, method 3: the
12 bits after the version hold the fraction of the millisecond, and a tie counts on), also while the clock is set back a
little; after ``MOST_BACK`` they follow the clock, for a clock that was wrong once must not date tasks for days (§6.1).
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTIONS = 4096
MOST_BACK = timedelta(minutes=1)
_MOST_BACK_TICKS = MOST_BACK // timedelta(milliseconds=1) * _FRACTIONS
_lock = threading.Lock()
_last = 0


def new_task_ids(count: int) -> list[UUID]:
    """``count`` fresh ids in rising order. Thread-safe."""
    global _last
    now = time.time_ns() * _FRACTIONS // 1_000_000
    with _lock:
        first = now if _last - now > _MOST_BACK_TICKS else max(now, _last + 1)
        _last = first + count - 1
    noise = os.urandom(8 * count)
    return [_uuid7(first + i, int.from_bytes(noise[8 * i : 8 * i + 8])) for i in range(count)]


def new_task_id() -> UUID:
    """One fresh id, above every other id this process has made unless the clock went far back. Thread-safe."""
    return new_task_ids(1)[0]


def created_at(task_id: UUID) -> datetime:
    """The instant an id was made, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=task_id.int >> 80)


def lowest_id(instant: datetime) -> UUID:
    """The smallest id made in the millisecond of ``instant``: a bound for ranges of creation times."""
    milliseconds = max(0, (instant - _EPOCH) // timedelta(milliseconds=1))
    return UUID(int=min(milliseconds, 2**48 - 1) << 80)


def derived_id(instant: datetime, name: str) -> UUID:
    """An id of the millisecond of ``instant``, made of a name instead of chance: made twice, it is the same."""
    noise = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10])
    return UUID(int=lowest_id(instant).int | 7 << 76 | (noise & 0xFFF) << 64 | 2 << 62 | noise >> 18)


def _uuid7(ticks: int, noise: int) -> UUID:
    milliseconds, fraction = divmod(ticks, _FRACTIONS)
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | noise >> 2)
