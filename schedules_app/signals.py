"""What happened to schedules, in the past tense; the rules of sending and listening are in ``tasks_app/signals.py``."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

#: Slots were decided, and committed. ``report``: `firing.FireReport`. Not sent when there were none.
schedules_fired: Final = Signal()
