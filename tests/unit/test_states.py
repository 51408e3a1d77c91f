"""That the published transitions are these and no others."""

from __future__ import annotations

import re

from tasks_app.states import (
    FINAL,
    LIVE_WORKER_STATES,
    WAITING,
    ErrorCode,
    ExecutionStatus,
    TaskStatus,
    WorkerState,
)
from tests.support.environment_names import ROOT
from tests.support.transitions import TRANSITIONS, is_legal

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def documented() -> set[tuple[str, str]]:
    """The changes in the table of states of `docs/architecture.md`."""
    section = ARCHITECTURE.partition("## States")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z, ]+) \| ([A-Z, ]+) \|", section, re.MULTILINE)
    return {
        (source, target)
        for sources, targets in rows
        for source in sources.split(", ")
        for target in targets.split(", ")
    }


class TestTransitions:
    """The table that the engine and its model are held against."""

    def test_are_the_documented_ones(self) -> None:
        assert documented() == TRANSITIONS

    def test_start_an_attempt_from_scheduled_only(self) -> None:
        assert [source for source in TaskStatus if is_legal(source, "RUNNING")] == [TaskStatus.SCHEDULED]

    def test_succeed_from_running_only(self) -> None:
        assert [source for source in TaskStatus if is_legal(source, "SUCCESS")] == [TaskStatus.RUNNING]

    def test_lead_out_of_a_final_status_by_manual_retry_only(self) -> None:
        assert {target for source, target in TRANSITIONS if source in FINAL} == {TaskStatus.PENDING}


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
            " TASK_FAILED DEPENDENCY_FAILED INPUT_MISSING INPUT_INVALID INPUT_TOO_LARGE BATCH_FAILED"
            " REJECTED APPROVAL_TIMEOUT INTERNAL"
        )
