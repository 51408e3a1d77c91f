"""Long ascending sequences of numbers that are computed, not stored: every hour with every minute, and so on. Pure.

A year of seconds has 31 million members. Here it is a `Product` of a few short sequences, of which any member, and the
place of any number, are found in microseconds.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, overload

#: Up to so many times of a day are stored after all (in 6 kB): looking one up is quicker than computing it.
_MOST_STORED: Final = 1440


class Product(Sequence[int]):
    """``start + big * scale + small``, ascending, for each of two ascending sequences; ``small`` lies in [0, scale)."""

    __slots__ = ("_big", "_scale", "_small", "_start")

    def __init__(self, big: Sequence[int], small: Sequence[int], scale: int, start: int = 0) -> None:
        self._big = big
        self._small = small
        self._scale = scale
        self._start = start

    def __len__(self) -> int:
        return len(self._big) * len(self._small)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        big, small = divmod(index, len(self._small))
        return self._start + self._big[big] * self._scale + self._small[small]

    def place(self, number: int) -> int:
        """How many members are smaller than a number."""
        big, small = divmod(number - self._start, self._scale)
        index = bisect_left(self._big, big)
        if index == len(self._big) or self._big[index] != big:
            return index * len(self._small)
        return index * len(self._small) + place(self._small, small)


class Picked(Sequence[int]):
    """Those members of an ascending sequence that stand at some indexes."""

    __slots__ = ("_indexes", "_members")

    def __init__(self, members: Sequence[int], indexes: Sequence[int]) -> None:
        self._members = members
        self._indexes = indexes

    def __len__(self) -> int:
        return len(self._indexes)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return Picked(self._members, self._indexes[index])
        return self._members[self._indexes[index]]


def place(members: Sequence[int], number: int) -> int:
    """How many members of an ascending sequence are smaller than a number."""
    return members.place(number) if isinstance(members, Product) else bisect_left(members, number)


@lru_cache(maxsize=1024)
def times_of_day(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> Sequence[int]:
    """Every combination, as seconds of the day."""
    return stored(Product(hours, Product(minutes, seconds, 60), 3600))


def stored(times: Sequence[int]) -> Sequence[int]:
    """The same times, stored if they are few."""
    return times if len(times) > _MOST_STORED else array("I", times)


def at_positions(members: Sequence[int], positions: tuple[int, ...]) -> Sequence[int]:
    """The n-th members, counted from 1, or from the end if negative (BYSETPOS); all if there is no position."""
    return Picked(members, _indexes(positions, len(members))) if positions else members


def number_at(positions: tuple[int, ...], length: int) -> int:
    """How many of so many members stand at positions."""
    return len(_indexes(positions, length))


@lru_cache(maxsize=1024)
def _indexes(positions: tuple[int, ...], length: int) -> tuple[int, ...]:
    indexes = {position - 1 if position > 0 else length + position for position in positions}
    return tuple(index for index in sorted(indexes) if 0 <= index < length)
