"""What a worker holds, shared by its threads."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID, uuid4

from tasks_app.executors.base import Execution, StopReason
from tasks_app.starting import Attempt
from workers_app.processes.held import Held, HeldAttempts


def held(
    task_id: UUID | None = None,
    *,
    attempt: int = 1,
    deadline: float = 60,
    ended: bool = False,
    started_at: str = "2024-01-01 00:00:00+00",
    slots: int = 1,
) -> Held:
    task_id = task_id or uuid4()
    started = Attempt(task_id, attempt, "DUMMY", "{}", 1000, "c", 0, 0, None, False, started_at, slots=slots)
    execution = Execution(task_id, attempt, "DUMMY", {}, timedelta(seconds=1), "c", time.monotonic() + deadline)
    return Held(started, execution, ended)


def holding(*items: Held) -> HeldAttempts:
    made = HeldAttempts()
    for item in items:
        made.add([item])
    return made


class TestHeldAttempts:
    def test_know_the_fence_of_each_task(self) -> None:
        one, other = held(attempt=3), held()
        assert holding(one, other).fences() == {one.attempt.task_id: 3, other.attempt.task_id: 1}

    def test_know_the_attempt_behind_what_runs_also_of_two_of_a_task(self) -> None:
        task_id = uuid4()
        old, new = held(task_id, attempt=1, ended=True), held(task_id, attempt=2)
        all_held = holding(old, new)
        assert [all_held.attempt_of(each.execution) for each in (old, new, held())] == [old.attempt, new.attempt, None]

    def test_keep_a_new_attempt_when_the_old_one_is_removed_late(self) -> None:
        """Recorded, given back and started again before the recorder got round to removing it."""
        task_id = uuid4()
        old, new = held(task_id, attempt=1, ended=True), held(task_id, attempt=2)
        all_held = holding(old, new)
        assert (all_held.fences(), all_held.task_ids(), len(all_held)) == ({task_id: 2}, [task_id, task_id], 2)
        all_held.remove([old.attempt])
        assert (all_held.fences(), all_held.task_ids(), len(all_held)) == ({task_id: 2}, [task_id], 1)
        all_held.remove([new.attempt, held().attempt])
        assert len(all_held) == 0
        assert old.execution.stop_reason is None

    def test_keep_a_new_start_of_an_attempt_that_a_failover_forgot(self) -> None:
        """The promoted standby had not received the first start, and gave its number again."""
        old = held()
        new = held(old.attempt.task_id, started_at="2024-01-01 00:00:01+00")
        all_held = holding(old, new)
        assert (old.execution.stop_reason, old.execution.immediate) == (StopReason.RELEASE, True)
        assert all_held.running() == [new, old]
        all_held.remove([old.attempt])
        assert all_held.running() == [new]
        assert new.execution.stop_reason is None

    def test_occupy_a_slot_until_they_are_recorded(self) -> None:
        ended = held(ended=True)
        all_held = holding(ended)
        assert len(all_held) == 1
        assert all_held.running() == []

    def test_take_the_slots_of_their_tasks(self) -> None:
        task_id = uuid4()
        old, new, other = (
            held(task_id, attempt=1, ended=True, slots=3),
            held(task_id, attempt=2, slots=3),
            held(slots=2),
        )
        all_held = holding(old, new, other)
        assert all_held.slots == 8
        all_held.remove([old.attempt, held(slots=9).attempt])
        assert all_held.slots == 5
        all_held.remove([new.attempt, other.attempt])
        assert all_held.slots == 0

    def test_past_their_deadline_are_those_still_running(self) -> None:
        late, long_since, young, ended = held(deadline=-1), held(deadline=-9), held(), held(deadline=-9, ended=True)
        all_held = holding(late, long_since, young, ended)
        assert all_held.past_deadline() == [late, long_since]
        assert all_held.past_deadline(by=6) == [long_since]

    def test_are_stopped_one_at_a_time_or_all(self) -> None:
        one, other, ended = held(), held(), held(ended=True)
        all_held = holding(one, other, ended)
        all_held.stop(one.attempt.task_id, StopReason.CANCEL)
        all_held.stop(ended.attempt.task_id, StopReason.CANCEL)
        all_held.stop(uuid4(), StopReason.CANCEL)
        assert [h.execution.stop_reason for h in (one, other, ended)] == [StopReason.CANCEL, None, None]
        all_held.stop_all(StopReason.RELEASE, immediate=True)
        assert [h.execution.stop_reason for h in (one, other, ended)] == [StopReason.CANCEL, StopReason.RELEASE, None]
        assert [h.execution.immediate for h in (one, other, ended)] == [True, True, False]
