"""What may be done to many tasks at once: which are left alone, and why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tasks_app.acts import RUNS, BulkAction, Candidate, Skip, Target, skip_by_status, skip_of
from tasks_app.states import TaskStatus

LEFT_ALONE = {
    BulkAction.CANCEL: {"SUCCESS": Skip.ENDED, "FAILED": Skip.ENDED, "CANCELLED": Skip.ENDED},
    BulkAction.RETRY: dict.fromkeys(("PENDING", "SCHEDULED", "RUNNING"), Skip.NOT_ENDED),
    **{
        action: {"RUNNING": Skip.RUNNING, **dict.fromkeys(("SUCCESS", "FAILED", "CANCELLED"), Skip.ENDED)}
        for action in (BulkAction.REPRIORITISE, BulkAction.MOVE, BulkAction.EXPIRE)
    },
}


def candidate(**columns: Any) -> Candidate:
    row = {"id": UUID(int=1), "type": "SHELL", "status": "PENDING", "priority": 3, "queue": "a"}
    keys = {"concurrency_key": None, "unique_key": None, "worker_id": None, "stopping": False, "awaited": False}
    return Candidate(**{**row, **keys, **columns})


class TestSkipByStatus:
    @pytest.mark.parametrize("action", BulkAction)
    def test_says_which_statuses_an_action_leaves_alone(self, action: BulkAction) -> None:
        found = {str(status): skip for status in TaskStatus if (skip := skip_by_status(action, status))}
        assert found == LEFT_ALONE[action]


class TestSkipOf:
    @pytest.mark.parametrize("action", BulkAction)
    def test_leaves_types_alone_that_the_caller_may_not_make_run(self, action: BulkAction) -> None:
        """Stopping them is for everybody, as it is for one task."""
        status = "FAILED" if action is BulkAction.RETRY else "PENDING"
        found = skip_of(action, candidate(status=status), Target(priority=9, queue="b"), {"SHELL"})
        assert found is (Skip.TYPE_NOT_ALLOWED if action in RUNS else None)

    def test_leaves_alone_what_is_so_already(self) -> None:
        assert skip_of(BulkAction.REPRIORITISE, candidate(), Target(priority=3), ()) is Skip.UNCHANGED
        assert skip_of(BulkAction.MOVE, candidate(), Target(queue="a"), ()) is Skip.UNCHANGED
        assert skip_of(BulkAction.CANCEL, candidate(status="RUNNING", stopping=True), Target(), ()) is Skip.STOPPING
        assert skip_of(BulkAction.CANCEL, candidate(status="RUNNING"), Target(), ()) is None
