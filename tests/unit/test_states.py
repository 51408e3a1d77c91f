"""That the published transitions are these and no others."""

from __future__ import annotations

import pytest

from tasks_app.states import (
    FINAL,
    LIVE_WORKER_STATES,
    TRANSITIONS,
    WAITING,
    ErrorCode,
    ExecutionStatus,
    TaskStatus,
    WorkerState,
    is_legal,
)

PUBLISHED = """
    PENDING   > SCHEDULED CANCELLED FAILED
    SCHEDULED > RUNNING PENDING CANCELLED FAILED
    RUNNING   > SUCCESS FAILED CANCELLED PENDING
    SUCCESS   > PENDING
    FAILED    > PENDING
    CANCELLED > PENDING
"""
LEGAL = {
    (TaskStatus(source.strip()), TaskStatus(target))
    for source, targets in (line.split(">") for line in PUBLISHED.strip().splitlines())
    for target in targets.split()
}


class TestIsLegal:
    @pytest.mark.parametrize("source", TaskStatus)
    @pytest.mark.parametrize("target", TaskStatus)
    def test_answers_what_is_published(self, source: TaskStatus, target: TaskStatus) -> None:
        assert is_legal(source, target) is ((source, target) in LEGAL)


class TestTransitions:
    def test_name_every_status(self) -> None:
        assert set(TRANSITIONS) == set(TaskStatus)

    def test_start_an_attempt_from_scheduled_only(self) -> None:
        assert [source for source in TaskStatus if is_legal(source, TaskStatus.RUNNING)] == [TaskStatus.SCHEDULED]

    def test_succeed_from_running_only(self) -> None:
        assert [source for source in TaskStatus if is_legal(source, TaskStatus.SUCCESS)] == [TaskStatus.RUNNING]

    def test_lead_out_of_a_final_status_by_manual_retry_only(self) -> None:
        assert {target for source in FINAL for target in TRANSITIONS[source]} == {TaskStatus.PENDING}

    def test_are_known_by_the_text_the_database_stores(self) -> None:
        assert is_legal("PENDING", "SCHEDULED")  # type: ignore[arg-type]


class TestSets:
    def test_of_task_statuses_do_not_overlap_and_leave_running(self) -> None:
        assert not FINAL & WAITING
        assert set(TaskStatus) - FINAL - WAITING == {TaskStatus.RUNNING}

    def test_of_worker_states_leave_the_final_ones(self) -> None:
        assert set(WorkerState) - LIVE_WORKER_STATES == {WorkerState.STOPPED, WorkerState.DEAD}


class TestVocabulary:
    """Scripts of users compare these words; the contract lists them."""

    def test_of_executions(self) -> None:
        assert set(ExecutionStatus) == {"SUCCESS", "FAILED", "TIMED_OUT", "CANCELLED", "LOST", "RELEASED"}

    def test_of_errors(self) -> None:
        assert " ".join(ErrorCode) == (
            "EXIT_CODE HTTP_STATUS NETWORK EGRESS_DENIED TIMED_OUT CANCELLED EXPIRED QUARANTINED WORKER_LOST"
            " TASK_FAILED INTERNAL"
        )
