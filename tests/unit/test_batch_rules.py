"""How a batch ends, what is made then, and when it fails fast."""

from __future__ import annotations

import pytest

from workflows_app.batch_rules import DONE, BatchStatus, Ends, FollowUp, fails_fast, follow_ups_of, status_of


class TestStatusOf:
    @pytest.mark.parametrize(
        ("ends", "status"),
        [
            (Ends(failed=False, cancelled=False, was_cancelled=False), "SUCCESS"),
            (Ends(failed=True, cancelled=True, was_cancelled=False), "FAILED"),
            (Ends(failed=False, cancelled=True, was_cancelled=False), "CANCELLED"),
            (Ends(failed=True, cancelled=False, was_cancelled=True), "CANCELLED"),
            (Ends(failed=False, cancelled=False, was_cancelled=True), "CANCELLED"),
        ],
    )
    def test_is_the_worst_there_is_unless_it_was_cancelled_as_a_whole(self, ends: Ends, status: str) -> None:
        assert status_of(ends) == status


class TestFollowUpsOf:
    def test_are_made_at_every_end_or_at_one(self) -> None:
        assert {str(status): [str(each) for each in follow_ups_of(status)] for status in sorted(DONE)} == {
            "CANCELLED": [FollowUp.COMPLETE],
            "FAILED": [FollowUp.COMPLETE, FollowUp.FAILURE],
            "SUCCESS": [FollowUp.COMPLETE, FollowUp.SUCCESS],
        }
        assert follow_ups_of(BatchStatus.RUNNING) == (FollowUp.COMPLETE,)


class TestFailsFast:
    @pytest.mark.parametrize(
        ("limit", "percent", "failed", "total", "verdict"),
        [
            (3, False, 2, 0, False),
            (3, False, 3, 0, True),
            (1, True, 0, 100, False),
            (10, True, 9, 100, False),
            (10, True, 10, 100, True),
            (1, True, 1, 3, True),
            (100, True, 2, 3, False),
            (100, True, 3, 3, True),
            (5, True, 0, 0, False),
        ],
    )
    def test_when_so_many_or_so_large_a_part_failed(
        self, limit: int, *, percent: bool, failed: int, total: int, verdict: bool
    ) -> None:
        assert fails_fast(limit, percent=percent, failed=failed, total=total) is verdict
