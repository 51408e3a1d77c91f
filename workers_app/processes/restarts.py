"""How long to wait before a process is started again: a guardian its worker, runall its children."""

from __future__ import annotations

from typing import Final

#: A process that lived this long was well; a shorter life makes the next start wait longer.
HEALTHY_LIFE: Final = 10.0
LONGEST_RESTART_DELAY: Final = 30.0


def restart_delay(failures: int) -> float:
    """Seconds to wait after so many short lives in a row."""
    return min(LONGEST_RESTART_DELAY, 2.0 ** (failures - 1)) if failures else 0.0
