"""What happened to requests, in the past tense; the rules of sending and listening are in ``tasks_app.signals``."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

#: A request was refused by a database that is away, full or read-only. ``fault``: a `database_faults.Fault`.
database_failed: Final = Signal()
