"""What becomes of a new task whose concurrency key is busy: the whole table."""

from __future__ import annotations

from uuid import UUID

import pytest

from tasks_app.busy import Verdict, decide

A, B, C = (UUID(int=n) for n in (1, 2, 3))
MADE = Verdict()


class TestDecide:
    @pytest.mark.parametrize(
        ("on_busy", "slots", "open_tasks", "verdict"),
        [
            ("queue", 1, [A, B, C], MADE),
            ("skip", 1, [], MADE),
            ("skip", 1, [A], Verdict(A, "skipped")),
            ("skip", 1, [A, B], Verdict(A, "skipped")),
            ("skip", 2, [A], MADE),
            ("skip", 2, [A, B], Verdict(A, "skipped")),
            ("queue_one", 1, [], MADE),
            ("queue_one", 1, [A], MADE),
            ("queue_one", 1, [A, B], Verdict(B, "queued")),
            ("queue_one", 1, [A, B, C], Verdict(B, "queued")),
            ("queue_one", 2, [A, B], MADE),
            ("queue_one", 2, [A, B, C], Verdict(C, "queued")),
            ("cancel_running", 1, [], MADE),
            ("cancel_running", 1, [A], Verdict(cancel=(A,))),
            ("cancel_running", 1, [A, B], Verdict(cancel=(A, B))),
            ("cancel_running", 2, [A], MADE),
            ("cancel_running", 2, [A, B, C], Verdict(cancel=(A, B))),
        ],
    )
    def test_says(self, on_busy: str, slots: int, open_tasks: list[UUID], verdict: Verdict) -> None:
        assert decide(on_busy, open_tasks, slots) == verdict
