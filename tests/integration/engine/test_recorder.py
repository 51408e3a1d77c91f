"""Recording ends: only the fence that holds changes a task, and every result is kept somewhere once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from tasks_app import services
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session
from tasks_app.states import ErrorCode
from tests.support.engine import (
    CANCELLED,
    FAILED,
    FAILED_FOR_GOOD,
    RELEASED,
    SUCCEEDED,
    TIMED_OUT,
    Engine,
    endings,
)
from tests.support.races import locked, rival_on, transaction
from workers_app.endings import Ending
from workers_app.late_results import keep_late_results
from workers_app.recorder import Recorder, finish_attempts

OpenSession = Callable[[], Session]

#: A started task as a standby has it that had not received the start when it was promoted.
UNSTARTED = "UPDATE tasks SET status = 'SCHEDULED', attempt = attempt - 1, started_at = NULL WHERE id = %s"

OUTCOMES = {
    "success": SUCCEEDED,
    "failed": FAILED,
    "failed for good": FAILED_FOR_GOOD,
    "timed out": TIMED_OUT,
    "cancelled": CANCELLED,
    "released": RELEASED,
}


class TestFinishAttempts:
    def test_knows_two_starts_of_one_attempt_apart(self, engine: Engine) -> None:
        """A failover that lost a start lets its number be given again, even to the same worker."""
        worker = engine.worker()
        old = engine.running(worker)
        engine.session.execute(UNSTARTED, [old.task_id])
        [new] = engine.start(worker)
        assert (new.task_id, new.attempt) == (old.task_id, old.attempt)
        assert engine.finish(worker, old, FAILED_FOR_GOOD) is None
        assert engine.finish(worker, old, SUCCEEDED) is None
        assert engine.task(old.task_id).status == "RUNNING"
        assert engine.finish(worker, new, SUCCEEDED) == "SUCCESS"

    def test_takes_no_end_of_another_attempt(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        for number in (attempt.attempt - 1, attempt.attempt + 1):
            for outcome in (SUCCEEDED, FAILED_FOR_GOOD):
                assert engine.finish(worker, attempt._replace(attempt=number), outcome) is None
        assert engine.task(attempt.task_id).status == "RUNNING"
        assert engine.finish(worker, attempt, SUCCEEDED) == "SUCCESS"

    @pytest.mark.parametrize(
        ("outcome", "asked", "task_status", "execution_status"),
        [
            ("success", False, "SUCCESS", "SUCCESS"),
            ("failed", False, "PENDING", "FAILED"),
            ("failed for good", False, "FAILED", "FAILED"),
            ("timed out", False, "PENDING", "TIMED_OUT"),
            ("cancelled", False, "CANCELLED", "CANCELLED"),
            ("released", False, "PENDING", "RELEASED"),
            # Once a cancel was requested a task ends CANCELLED, or SUCCESS if it had finished; never PENDING.
            ("success", True, "SUCCESS", "SUCCESS"),
            ("failed", True, "CANCELLED", "FAILED"),
            ("failed for good", True, "CANCELLED", "FAILED"),
            ("timed out", True, "CANCELLED", "TIMED_OUT"),
            ("cancelled", True, "CANCELLED", "CANCELLED"),
            ("released", True, "CANCELLED", "RELEASED"),
        ],
    )
    def test_takes_the_task_where_its_outcome_says(
        self, engine: Engine, outcome: str, asked: bool, task_status: str, execution_status: str
    ) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        if asked:
            services.cancel_task(attempt.task_id, actor="test")
        before = engine.task(attempt.task_id)
        assert engine.finish(worker, attempt, OUTCOMES[outcome]) == task_status
        task, [execution] = engine.task(attempt.task_id), engine.executions(attempt.task_id)
        assert (task.status, execution.status, execution.task_status) == (task_status, execution_status, task_status)
        assert (task.version, task.attempt, execution.attempt) == (before.version + 1, 1, 1)
        assert (task.finished_at is None) == (task_status == "PENDING")
        assert (task.worker_id is None) == (task_status == "PENDING")
        assert task.retry_count == (1 if task_status == "PENDING" and outcome != "released" else 0)
        assert task.crash_count == 0
        assert (execution.worker_id, execution.due_at, execution.started_at) == (
            worker,
            before.run_at,
            before.started_at,
        )
        assert engine.violations() == {}

    def test_writes_result_and_error_to_the_attempts_history(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, FAILED)
        [execution] = engine.executions(attempt.task_id)
        assert (execution.error_code, execution.error_message, execution.result) == (
            "TASK_FAILED",
            "it broke",
            {"seen": 1},
        )

    def test_puts_a_retry_off_by_its_delay_from_now(self, engine: Engine) -> None:
        worker = engine.worker()
        retry = {"backoff": "fixed", "baseDelayMs": 40_000, "maxDelayMs": 40_000, "jitter": False}
        attempt = engine.running(worker, retry=retry)
        engine.finish(worker, attempt, FAILED)
        [(delay, still)] = engine.session.fetch(
            "SELECT extract(epoch FROM run_at - updated_at), schedule_at < now() FROM tasks WHERE id = %s",
            [attempt.task_id],
        )
        assert (float(delay), still) == (40.0, True)
        assert not engine.assign().moved

    def test_gives_a_released_attempt_back_due_as_before(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        due_at = engine.task(attempt.task_id).run_at
        engine.finish(worker, attempt, RELEASED)
        task = engine.task(attempt.task_id)
        assert (task.run_at, task.retry_count, task.crash_count) == (due_at, 0, 0)
        engine.assign()
        [again] = engine.start(worker)
        assert again.attempt == 2

    def test_fails_what_may_run_at_most_once_when_it_is_given_back_in_the_middle(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, on_worker_lost="fail")
        assert engine.finish(worker, attempt, RELEASED) == "FAILED"
        assert engine.task(attempt.task_id).end_reason == "WORKER_LOST"
        assert [e.status for e in engine.executions(attempt.task_id)] == ["RELEASED"]

    def test_gives_back_what_may_run_at_most_once_and_has_not_begun(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, on_worker_lost="fail")
        not_begun = Outcome.not_begun(StopReason.RELEASE, timeout=timedelta(seconds=1))
        assert engine.finish(worker, attempt, not_begun) == "PENDING"

    def test_grants_no_more_retries_than_the_task_has(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, max_retries=2)
        ends = []
        while True:
            ends.append(engine.finish(worker, attempt, FAILED))
            if ends[-1] != "PENDING":
                break
            engine.move(attempt.task_id, run_at=-timedelta(seconds=1))
            engine.assign()
            [attempt] = engine.start(worker)
        task = engine.task(attempt.task_id)
        assert ends == ["PENDING", "PENDING", "FAILED"]
        assert (task.retry_count, task.attempt) == (2, 3)
        assert [e.attempt for e in engine.executions(task.pk)] == [1, 2, 3]

    def test_lets_a_success_stand_beside_a_failure_when_a_cancel_was_requested(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        engine.create_many(2)
        engine.assign()
        good, bad = engine.start(worker)
        for attempt in (good, bad):
            services.cancel_task(attempt.task_id, actor="test")
        batch = [*endings([good]), *endings([bad], FAILED)]
        assert finish_attempts(engine.session, worker, batch) == ["SUCCESS", "CANCELLED"]

    def test_records_a_batch_in_one_go(self, engine: Engine) -> None:
        worker = engine.worker(slots=30)
        engine.create_many(30)
        engine.assign()
        attempts = engine.start(worker)
        mixed = [*endings(attempts[:10]), *endings(attempts[10:20], FAILED), *endings(attempts[20:], FAILED_FOR_GOOD)]
        nexts = finish_attempts(engine.session, worker, mixed)
        assert nexts == ["SUCCESS"] * 10 + ["PENDING"] * 10 + ["FAILED"] * 10
        assert [engine.task(ending.task_id).status for ending in mixed] == nexts
        assert engine.violations() == {}


class TestFinishFence:
    """A write with a stale fence changes no task."""

    def test_refuses_an_old_attempt(self, engine: Engine) -> None:
        worker = engine.worker()
        old = engine.running(worker)
        engine.finish(worker, old, RELEASED)
        engine.assign()
        [new] = engine.start(worker)
        before = engine.task(old.task_id)
        assert engine.finish(worker, old, SUCCEEDED) is None
        assert engine.task(old.task_id).version == before.version
        assert engine.finish(worker, new, SUCCEEDED) == "SUCCESS"

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_refuses_an_attempt_taken_over_by_another_worker(self, engine: Engine, outcome: str) -> None:
        """The lost worker comes back with its result while its successor runs: nothing may move."""
        lost = engine.worker()
        old = engine.running(lost)
        engine.lose(lost)
        successor = engine.worker()
        engine.assign()
        [new] = engine.start(successor)
        before = engine.task(old.task_id)
        assert engine.finish(lost, old, OUTCOMES[outcome]) is None
        after = engine.task(old.task_id)
        assert (after.status, after.version, after.worker_id, after.attempt) == (
            "RUNNING",
            before.version,
            successor,
            2,
        )
        assert engine.finish(successor, new, SUCCEEDED) == "SUCCESS"

    def test_refuses_another_workers_attempt(self, engine: Engine) -> None:
        worker, other = engine.worker(), engine.worker()
        engine.create()
        engine.assign()
        [attempt] = engine.start(worker) or engine.start(other)
        owner = engine.task(attempt.task_id).worker_id
        stranger = other if owner == worker else worker
        for outcome in (SUCCEEDED, FAILED_FOR_GOOD):
            assert engine.finish(stranger, attempt, outcome) is None
            assert engine.finish(uuid4(), attempt, outcome) is None
        assert engine.task(attempt.task_id).status == "RUNNING"

    def test_refuses_an_attempt_that_is_only_assigned_again(self, engine: Engine) -> None:
        """Same worker, same attempt number, but SCHEDULED: it was given back and is not running."""
        worker = engine.worker()
        old = engine.running(worker)
        engine.finish(worker, old, RELEASED)
        engine.assign()
        assert engine.task(old.task_id).status == "SCHEDULED"
        assert engine.finish(worker, old, SUCCEEDED) is None
        assert engine.task(old.task_id).status == "SCHEDULED"

    def test_refuses_a_task_that_is_not_there(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        Task.objects.filter(pk=attempt.task_id).delete()
        assert engine.finish(worker, attempt, SUCCEEDED) is None
        assert not TaskExecution.objects.exists()


class TestResend:
    """A reply that was lost: the worker sends the same ending again, perhaps together with others."""

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_changes_nothing_and_is_not_late(self, engine: Engine, outcome: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, OUTCOMES[outcome])
        before, history = engine.task(attempt.task_id), engine.executions(attempt.task_id)
        assert engine.finish(worker, attempt, OUTCOMES[outcome]) is None
        assert not engine.keep_late(worker, attempt, OUTCOMES[outcome])
        after, [execution] = engine.task(attempt.task_id), engine.executions(attempt.task_id)
        assert (after.version, after.status, after.retry_count) == (before.version, before.status, before.retry_count)
        assert (execution.pk, execution.late) == (history[0].pk, None)

    @pytest.mark.parametrize(("outcome", "status"), [(SUCCEEDED, "SUCCESS"), (FAILED_FOR_GOOD, "FAILED")])
    def test_does_not_hold_up_the_rest_of_its_batch(self, engine: Engine, outcome: Outcome, status: str) -> None:
        worker = engine.worker(slots=3)
        engine.create_many(3)
        engine.assign()
        first, second, third = engine.start(worker)
        engine.finish(worker, second, outcome)
        nexts = finish_attempts(engine.session, worker, endings([first, second, third], outcome))
        assert nexts == [status, None, status]
        assert set(Task.objects.values_list("status", flat=True)) == {status}

    @pytest.mark.parametrize(("outcome", "status"), [(SUCCEEDED, "SUCCESS"), (FAILED_FOR_GOOD, "FAILED")])
    def test_does_not_roll_back_its_batch_when_its_history_row_is_there_already(
        self, engine: Engine, outcome: Outcome, status: str
    ) -> None:
        """History may be ahead of a task on no path we know; one such row must not stop all others for ever."""
        worker = engine.worker(slots=2)
        engine.create_many(2)
        engine.assign()
        first, second = engine.start(worker)
        now = timezone.now()
        TaskExecution.objects.create(
            task_id=first.task_id, attempt=1, worker_id=worker, due_at=now, started_at=now,
            finished_at=now, type="DUMMY", status="SUCCESS", task_status="SUCCESS",
        )  # fmt: skip
        assert finish_attempts(engine.session, worker, endings([first, second], outcome)) == [status, status]
        assert TaskExecution.objects.count() == 2

    def test_twice_in_one_batch_is_recorded_once(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        finish_attempts(engine.session, worker, endings([attempt, attempt]))
        assert engine.task(attempt.task_id).version == 4
        assert len(engine.executions(attempt.task_id)) == 1


class TestKeepLateResults:
    def test_keeps_the_result_of_a_lost_attempt_once(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        assert engine.keep_late(worker, attempt, FAILED)
        assert not engine.keep_late(worker, attempt, SUCCEEDED)
        [execution] = engine.executions(attempt.task_id)
        assert execution.status == "LOST"
        assert {name: execution.late[name] for name in ("outcome", "result", "error")} == {
            "outcome": "FAILED",
            "result": {"seen": 1},
            "error": {"code": "TASK_FAILED", "message": "it broke"},
        }
        assert execution.late["at"].endswith("Z")

    def test_keeps_the_result_of_a_released_attempt_that_ended_all_the_same(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, RELEASED)
        assert engine.keep_late(worker, attempt, SUCCEEDED)
        [execution] = engine.executions(attempt.task_id)
        assert (execution.status, execution.late["outcome"], execution.late["error"]) == ("RELEASED", "SUCCESS", None)

    def test_moves_no_task(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        before = engine.task(attempt.task_id)
        engine.keep_late(worker, attempt, SUCCEEDED)
        after = engine.task(attempt.task_id)
        assert (after.status, after.version) == (before.status, before.version) == ("PENDING", before.version)

    def test_keeps_nothing_of_a_stranger(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        assert not engine.keep_late(uuid4(), attempt, SUCCEEDED)

    def test_does_not_take_a_repeated_release_for_a_result(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        assert not engine.keep_late(worker, attempt, RELEASED)

    def test_keeps_it_on_the_row_of_its_own_attempt(self, engine: Engine) -> None:
        worker = engine.worker()
        first = engine.running(worker)
        engine.finish(worker, first, RELEASED)
        engine.assign()
        [second] = engine.start(worker)
        engine.finish(worker, second, RELEASED)
        assert engine.keep_late(worker, first, SUCCEEDED)
        assert [e.late is not None for e in engine.executions(first.task_id)] == [True, False]

    def test_locks_in_one_order_whatever_the_order_of_its_batch(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Two that resend the same late results in opposite orders would deadlock otherwise."""
        worker = engine.worker(slots=6)
        engine.create_many(6)
        engine.assign()
        attempts = engine.start(worker)
        engine.lose(worker)
        rows = sorted(TaskExecution.objects.values_list("id", "task_id"))
        place = {task_id: row for row, task_id in rows}
        backwards = sorted(attempts, key=lambda attempt: place[attempt.task_id], reverse=True)
        holding, keeping = open_session(), open_session()
        epoch = keeping.epoch + 1
        with locked(holding, "task_executions", "id", rows[0][0], strength="NO KEY UPDATE"):
            late = rival_on(keeping, lambda session: keep_late_results(session, worker, endings(backwards)))
            late.waits(engine.session)
            holding.fetch("SELECT 1 FROM task_executions WHERE id = %s FOR NO KEY UPDATE", [rows[-1][0]])
        assert len(late.answer()) == 6
        assert keeping.epoch == epoch, "a deadlock would have cost the session"

    def test_waits_for_a_rival_and_keeps_one_of_two(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        first, second = open_session(), open_session()
        with transaction(first):
            assert Engine(first).keep_late(worker, attempt, SUCCEEDED)
            other = rival_on(second, lambda session: keep_late_results(session, worker, endings([attempt], FAILED)))
            other.waits(engine.session)
        assert other.answer() == []
        assert engine.executions(attempt.task_id)[0].late["outcome"] == "SUCCESS"


class TestFinishAgainstOthers:
    def test_waits_for_a_cancel_and_obeys_it(self, engine: Engine, open_session: OpenSession) -> None:
        """Whether a cancel was requested is read from the locked row, not from the snapshot."""
        worker = engine.worker()
        attempt = engine.running(worker)
        cancelling, finishing = open_session(), open_session()
        with transaction(cancelling):
            cancelling.execute(
                "UPDATE tasks SET cancel_requested_at = now(), version = version + 1 WHERE id = %s", [attempt.task_id]
            )
            finish = rival_on(finishing, lambda session: Engine(session).finish(worker, attempt, FAILED))
            finish.waits(engine.session)
        assert finish.answer() == "CANCELLED"
        assert engine.task(attempt.task_id).status == "CANCELLED"

    def test_waits_for_recovery_and_is_late(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.kill(worker)
        recovering, finishing = open_session(), open_session()
        with transaction(recovering):
            assert len(Engine(recovering).recover()) == 1
            finish = rival_on(finishing, lambda session: Engine(session).finish(worker, attempt, SUCCEEDED))
            finish.waits(engine.session)
        assert finish.answer() is None
        assert engine.task(attempt.task_id).status == "PENDING"
        assert engine.keep_late(worker, attempt, SUCCEEDED)

    def test_wins_against_a_recovery_that_comes_second(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.kill(worker)
        finishing = open_session()
        with transaction(finishing):
            assert Engine(finishing).finish(worker, attempt, SUCCEEDED) == "SUCCESS"
            assert engine.recover() == []
        assert engine.recover() == []
        assert engine.task(attempt.task_id).status == "SUCCESS"

    @pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED_FOR_GOOD])
    @pytest.mark.parametrize("order", [1, -1])
    def test_locks_in_id_order_whatever_the_order_of_its_batch(
        self, engine: Engine, open_session: OpenSession, order: int, outcome: Outcome
    ) -> None:
        """Another transaction holds the first id and then asks for the last: unordered, the two would deadlock."""
        worker = engine.worker(slots=6)
        engine.create_many(6)
        engine.assign()
        attempts = sorted(engine.start(worker))[::order]
        low, high = min(attempts).task_id, max(attempts).task_id
        holding, finishing = open_session(), open_session()
        epoch = finishing.epoch + 1
        with locked(holding, "tasks", "id", low, strength="NO KEY UPDATE"):
            finish = rival_on(finishing, lambda session: finish_attempts(session, worker, endings(attempts, outcome)))
            finish.waits(engine.session)
            holding.fetch("SELECT 1 FROM tasks WHERE id = %s FOR NO KEY UPDATE", [high])
        assert len(set(finish.answer())) == 1
        assert None not in finish.answer()
        assert finishing.epoch == epoch, "a deadlock would have cost the session"


class RecordedBatches:
    def __init__(self) -> None:
        self.batches: list[list[Ending]] = []

    def __call__(self, batch: Sequence[Ending]) -> None:
        self.batches.append(list(batch))


@pytest.fixture
def recorded() -> RecordedBatches:
    return RecordedBatches()


class TestRecorder:
    def test_tells_what_became_of_each_ending(self, engine: Engine, recorded: RecordedBatches) -> None:
        worker = engine.worker(slots=2)
        engine.create_many(2)
        engine.assign()
        good, bad = engine.start(worker)
        batch = [*endings([good]), *endings([bad], FAILED)]
        Recorder(engine.session, worker, recorded).record(batch)
        assert [ending.next_status for ending in recorded.batches[0]] == ["SUCCESS", "PENDING"]

    def test_keeps_what_came_too_late(self, engine: Engine, recorded: RecordedBatches) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        Recorder(engine.session, worker, recorded).record(endings([attempt]))
        [[ending]] = recorded.batches
        assert ending.next_status is None
        assert engine.executions(attempt.task_id)[0].late["outcome"] == "SUCCESS"

    def test_fails_only_the_culprit_when_the_database_refuses_a_value(
        self, engine: Engine, recorded: RecordedBatches
    ) -> None:
        worker = engine.worker(slots=5)
        engine.create_many(5)
        engine.assign()
        batch = endings(engine.start(worker))
        batch[3].result = '{"nul": "\\u0000"}'
        Recorder(engine.session, worker, recorded).record(batch)
        assert [e.next_status for e in batch] == ["SUCCESS", "SUCCESS", "SUCCESS", "FAILED", "SUCCESS"]
        [execution] = engine.executions(batch[3].task_id)
        assert (execution.status, execution.error_code, execution.result) == ("FAILED", "INTERNAL", None)
        assert "refused" in (execution.error_message or "")
        assert engine.violations() == {}

    def test_survives_a_late_result_that_the_database_refuses(self, engine: Engine, recorded: RecordedBatches) -> None:
        """The recorder is one thread: should it die, its worker loses its lease and all its work."""
        worker = engine.worker(slots=2)
        engine.create_many(2)
        engine.assign()
        late, ordinary = engine.start(worker)
        engine.session.execute("UPDATE tasks SET worker_id = NULL, status = 'PENDING' WHERE id = %s", [late.task_id])
        now = timezone.now()
        TaskExecution.objects.create(
            task_id=late.task_id, attempt=1, worker_id=worker, due_at=now, started_at=now,
            finished_at=now, type="DUMMY", status="LOST", task_status="PENDING",
        )  # fmt: skip
        batch = endings([late, ordinary])
        batch[0].result = '{"nul": "\\u0000"}'
        Recorder(engine.session, worker, recorded).record(batch)
        assert engine.task(ordinary.task_id).status == "SUCCESS"
        assert len(recorded.batches) == 1

    @pytest.mark.parametrize("message", ["no file '\udcff'", "nul \0 in it", "x" * 100_000])
    def test_records_any_error_message(self, engine: Engine, recorded: RecordedBatches, message: str) -> None:
        """Python writes undecodable file names into messages as lone surrogates."""
        worker = engine.worker()
        attempt = engine.running(worker)
        failure = Outcome.failure(ErrorCode.TASK_FAILED, message, retryable=False)
        Recorder(engine.session, worker, recorded).record(endings([attempt], failure))
        assert engine.task(attempt.task_id).status == "FAILED"
        assert engine.executions(attempt.task_id)[0].error_code == "TASK_FAILED"

    def test_sends_a_batch_again_until_the_database_is_back(
        self, engine: Engine, open_session: OpenSession, recorded: RecordedBatches
    ) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        recording = open_session()
        pid = recording.connection.info.backend_pid
        engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
        Recorder(recording, worker, recorded).record(endings([attempt]))
        assert engine.task(attempt.task_id).status == "SUCCESS"
        assert len(recorded.batches) == 1

    def test_finds_its_result_accepted_when_only_the_reply_was_lost(
        self, engine: Engine, open_session: OpenSession, recorded: RecordedBatches
    ) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        Recorder(open_session(), worker, recorded).record(endings([attempt]))
        assert engine.executions(attempt.task_id)[0].late is None
        assert len(recorded.batches) == 1

    def test_writes_what_piles_up_in_one_batch_and_ends_when_closed(
        self, engine: Engine, open_session: OpenSession, recorded: RecordedBatches
    ) -> None:
        worker = engine.worker(slots=50)
        engine.create_many(50)
        engine.assign()
        recorder = Recorder(open_session(), worker, recorded)
        for ending in endings(engine.start(worker)):
            recorder.put(ending)
        recorder.close()
        recorder.start()
        recorder.join(10)
        assert not recorder.is_alive()
        assert [len(batch) for batch in recorded.batches] == [50]
        assert recorder.recorded == 50
