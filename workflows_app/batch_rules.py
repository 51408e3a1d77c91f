"""How a batch has ended, from how its tasks and the batches in it have; when so many failed that it stops. Pure.

Never counted: whether a batch is done is whether it has an open row.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class BatchStatus(StrEnum):
    """Where a batch stands. OPEN: it is to get more tasks, and is not done before it is closed."""

    OPEN = "OPEN"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class FollowUp(StrEnum):
    """A task that is made when a batch is done, by the field of the batch that says what it is."""

    COMPLETE = "onComplete"
    SUCCESS = "onSuccess"
    FAILURE = "onFailure"


DONE: Final = frozenset({BatchStatus.SUCCESS, BatchStatus.FAILED, BatchStatus.CANCELLED})


class Ends(NamedTuple):
    """What there is in a batch without an open row, and whether it was cancelled itself."""

    failed: bool
    cancelled: bool
    was_cancelled: bool


def status_of(ends: Ends) -> BatchStatus:
    """The end of a batch. What was cancelled as a whole is CANCELLED, whatever had failed before."""
    if ends.was_cancelled:
        return BatchStatus.CANCELLED
    if ends.failed:
        return BatchStatus.FAILED
    return BatchStatus.CANCELLED if ends.cancelled else BatchStatus.SUCCESS


def follow_ups_of(status: BatchStatus) -> tuple[FollowUp, ...]:
    """Those that are made at such an end, where the batch has them."""
    more = {BatchStatus.SUCCESS: (FollowUp.SUCCESS,), BatchStatus.FAILED: (FollowUp.FAILURE,)}
    return (FollowUp.COMPLETE, *more.get(status, ()))


def fails_fast(limit: int, *, percent: bool, failed: int, total: int) -> bool:
    """Whether so many of so many tasks have failed that the rest is not worth running."""
    return failed > 0 and (failed * 100 >= limit * total if percent else failed >= limit)
