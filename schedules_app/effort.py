"""How much looking for slots may cost: steps are counted, not seconds, so that the same question always costs the same.

A step is two or three microseconds of work: a year, a month, a week or a day that is looked at, a slot that is found.
All searches are lazy and keep nothing, so that steps bound memory as well.
"""

from __future__ import annotations

from typing import Final

#: What one question may cost: well below 50 ms. A pass, or a page, asks a few questions of one schedule.
MOST_STEPS: Final = 12_000


class TooCostly(Exception):
    """Looking for slots was given up, because it took too many steps."""

    def __init__(self) -> None:
        super().__init__("its times are too costly to work out")


class Effort:
    """The steps that are left for one question."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Raises `TooCostly` when nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise TooCostly
