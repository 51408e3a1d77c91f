"""What a housekeeper does by the clock, besides what a round finds to do: slow chores, one batched statement each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from flow_app import assignment, opening, thawing
from flow_app.buckets import end_thaws, mend_buckets
from flow_app.key_buckets import KeyBucketSweeper
from flow_app.outlook import Outlook
from schedules_app import firing
from schedules_app.retention import delete_old_fires
from tasks_app import expiry, grouping, needs, operations
from tasks_app.retention import Retention
from tasks_app.sessions import BATCH, Session
from workflows_app import endings, retention
from workflows_app.callbacks.retention import OrphanedDeliveries

log = structlog.get_logger(__name__)

RETENTION_EVERY: Final = timedelta(minutes=1)
IDLE_KEYS_EVERY: Final = timedelta(seconds=10)
BUCKETS_EVERY: Final = timedelta(minutes=1)
GATES_EVERY: Final = timedelta(seconds=10)
THAWS_EVERY: Final = timedelta(seconds=20)
ZONES_EVERY: Final = timedelta(minutes=1)
NEEDS_EVERY: Final = timedelta(minutes=10)
PRUNE_EVERY: Final = timedelta(minutes=5)
FAILURES_EVERY: Final = timedelta(seconds=2)
DELIVERIES_EVERY: Final = timedelta(minutes=1)
GROUPS_EVERY: Final = timedelta(minutes=10)
#: How long an ended process stays in the tables, for people to see.
PRUNE_AFTER: Final = timedelta(hours=24)


@dataclass(slots=True)
class Chore:
    """Something done every ``interval``; ``step`` returns how many rows it changed, logged as ``event``."""

    event: str
    interval: timedelta
    step: Callable[[Session], int]
    #: By the monotonic clock.
    due_at: float = 0.0

    def do_when_due(self, session: Session, now: float) -> int:
        """Return how many rows were changed. Raises `DatabaseAway`."""
        if now < self.due_at:
            return 0
        self.due_at = now + self.interval.total_seconds()
        return logged(self.event, self.step(session))


#: Chores of apps above this one.
_given: Final[list[Callable[[], Chore]]] = []


def register(make: Callable[[], Chore]) -> None:
    """Add a chore: a hook for apps above, which give theirs when they start. A scheduler makes one for itself.

    A step that returns more than zero wakes schedulers, as it may have made tasks due.
    """
    if make not in _given:
        _given.append(make)


def slow_chores(outlook: Outlook) -> list[Chore]:
    """Fresh ones, all due at once; ``outlook`` is that of the scheduler."""
    return [
        *(make() for make in _given),
        Chore("ended_tasks_deleted", RETENTION_EVERY, Retention().delete),
        Chore("ended_batches_deleted", RETENTION_EVERY, delete_ended_batches),
        Chore("old_fires_deleted", RETENTION_EVERY, delete_ended_fires),
        Chore("old_operations_deleted", RETENTION_EVERY, delete_old_operations),
        Chore("zone_rules_followed", ZONES_EVERY, follow_zone_rules),
        Chore("idle_keys_released", IDLE_KEYS_EVERY, IdleKeys().release),
        Chore("buckets_mended", BUCKETS_EVERY, mend_buckets),
        Chore("targets_opened", GATES_EVERY, opening.Sweeper(outlook).sweep),
        Chore("freezes_followed", GATES_EVERY, thawing.Sweeper(outlook).sweep),
        Chore("old_freezes_deleted", RETENTION_EVERY, delete_old_freezes),
        Chore("key_buckets_removed", GATES_EVERY, KeyBucketSweeper(outlook).sweep),
        Chore("thaws_ended", THAWS_EVERY, end_thaws),
        Chore("unused_needs_deleted", NEEDS_EVERY, delete_unused_needs),
        Chore("orphaned_deliveries_deleted", DELIVERIES_EVERY, OrphanedDeliveries().delete),
        Chore("ended_processes_pruned", PRUNE_EVERY, prune_processes),
        Chore("unused_groups_deleted", GROUPS_EVERY, forget_groups),
        Chore("failures_grouped", FAILURES_EVERY, group_failures),
    ]


def expire_tasks(session: Session) -> int:
    return _until_short(expiry.expire_tasks, session)


def time_out_approvals(session: Session) -> int:
    return _until_short(expiry.time_out_approvals, session)


def hand_back_stale(session: Session) -> int:
    return _until_short(assignment.hand_back_stale, session)


def settle_endings(session: Session) -> int:
    """What was left of ends whose hint was lost, or whose dependents somebody held."""
    total = 0
    while True:
        report = endings.settle_endings(session)
        total += report.opened + report.ended + report.told + report.batches
        if not report.moved:
            return total


def delete_ended_batches(session: Session) -> int:
    return _until_short(retention.delete_ended_batches, session)


def delete_ended_fires(session: Session) -> int:
    return _until_short(delete_old_fires, session)


def delete_old_operations(session: Session) -> int:
    return _until_short(operations.delete_old_operations, session)


def delete_old_freezes(session: Session) -> int:
    return _until_short(thawing.delete_old_freezes, session)


def delete_unused_needs(session: Session) -> int:
    return _until_short(needs.delete_unused_needs, session)


def forget_groups(session: Session) -> int:
    return _until_short(grouping.forget_groups, session)


def group_failures(session: Session) -> int:
    """None of it concerns a scheduler, so it returns 0: nobody is woken, and where much fails no line is written."""
    grouping.group_failures(session)
    return 0


def follow_zone_rules(session: Session) -> int:
    return _until_short(firing.follow_zone_rules, session)


def prune_processes(session: Session) -> int:
    rows = session.rows("prune_processes", {"age": PRUNE_AFTER.total_seconds()})
    return int(rows[0][0])


class IdleKeys:
    """Walks over the concurrency keys, some each time, and releases those whose holder is gone."""

    def __init__(self) -> None:
        self._after: tuple[str, str] = ("", "")

    def release(self, session: Session) -> int:
        last = opening.release_idle_keys(session, after=self._after)
        self._after = (last.queue, last.concurrency_key)
        return last.released


def logged(event: str, count: int) -> int:
    if count:
        log.info(event, count=count)
    return count


def _until_short(step: Callable[[Session], int], session: Session) -> int:
    """Repeat a batched step until a batch is not full; return the sum."""
    total = 0
    while True:
        count = step(session)
        total += count
        if count < BATCH:
            return total
