"""The engine against a model of it: what a random story of tasks, workers and people consists of.

Each rule does one thing the way production does it and compares what comes back with what the model expects. After
every step all rows are read again: only published transitions may have happened, each with one version more, and no
query of ``invariants`` may count anything. Races between connections are staged elsewhere; here it is the order of
things, in long stories. ``test_state_machine.py`` plays them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from access_app.versions import Stale
from flow_app import assignment
from flow_app.queues import edit_queue, pause_queue, resume_queue
from tasks_app import selectors, services
from tasks_app.executors.base import Outcome
from tasks_app.expiry import expire_tasks
from tasks_app.sessions import Session
from tasks_app.starting import Attempt, adopt_running
from tasks_app.states import FINAL, WAITING, ExecutionStatus
from tasks_app.transitions import IllegalTransition
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
from tests.support.transitions import is_legal
from workers_app import heartbeats
from workers_app.recorder import finish_attempts

MAX_CRASHES = 2  # so that stories come to it
QUEUES = ("a", "b")
MOST_TASKS, MOST_WORKERS = 30, 3
OUTCOMES = {
    "success": SUCCEEDED, "failed": FAILED, "failed for good": FAILED_FOR_GOOD, "timed out": TIMED_OUT,
    "cancelled": CANCELLED, "released": RELEASED,
}  # fmt: skip


class Row(NamedTuple):
    """What the model knows of a task."""

    id: UUID
    status: str
    version: int
    attempt: int
    worker_id: UUID | None
    retry_count: int
    crash_count: int
    max_retries: int
    cancelling: bool
    on_worker_lost: str
    queue: str
    key: str | None
    due: bool
    place: tuple[int, float, UUID]
    executions: int

    @property
    def suspect(self) -> bool:
        return self.crash_count > 0


READ = """
    SELECT id, status, version, attempt, worker_id, retry_count, crash_count, max_retries,
           cancel_requested_at IS NOT NULL, on_worker_lost, queue, concurrency_key, run_at <= now(),
           -priority, extract(epoch FROM run_at)::float8,
           (SELECT count(*) FROM task_executions x WHERE x.task_id = tasks.id)
      FROM tasks
"""


@dataclass(frozen=True)
class Started:
    """An attempt in the hands of a worker; it may be stale long since."""

    worker_id: UUID
    attempt: Attempt


@dataclass
class Incarnation:
    slots: int
    prefetch: int
    queues: list[str] | None
    state: str = "ACTIVE"

    def serves(self, queue: str) -> bool:
        return self.state == "ACTIVE" and (self.queues is None or queue in self.queues)


#: Which one of the things there are; most rules prefer those they can do something to.
some = st.integers(0, 59)


class EngineMachine(RuleBasedStateMachine):
    session: ClassVar[Session]

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(self.session)
        self.rows: dict[UUID, Row] = {}
        self.incarnations: dict[UUID, Incarnation] = {}
        self.paused: set[str] = set()
        self.most_of_a_key = dict.fromkeys(QUEUES, 1)
        self.started: list[Started] = []
        for table in ("tasks", "task_executions", "audit_events", "queues", "worker_heartbeats"):
            self.session.execute(f"DELETE FROM {table}")

    @initialize()
    def begin(self) -> None:
        for slots, queues, prefetch in [(4, None, 0), (1, ["a"], 1)]:
            self.register(slots, queues, prefetch)
        for count, queue, priority, key in [(5, "a", 1, None), (2, "a", 0, None), (1, "b", 0, None), (2, "a", 0, "k")]:
            self.engine.create_many(count, queue=queue, priority=priority, concurrency_key=key)

    # People

    @rule(
        queue=st.sampled_from(QUEUES),
        key=st.sampled_from([None, "k"]),
        priority=st.integers(-1, 1),
        max_retries=st.integers(0, 2),
        on_worker_lost=st.sampled_from(["retry", "retry", "fail"]),
        count=st.integers(1, 3),
    )
    def create(self, queue: str, key: str | None, count: int, **fields: Any) -> None:
        if len(self.rows) < MOST_TASKS:
            self.engine.create_many(count, queue=queue, concurrency_key=key, **fields)

    @rule(
        which=some, priority=st.integers(-2, 2), queue=st.sampled_from(QUEUES), later=st.booleans(), stale=st.booleans()
    )
    def edit(self, which: int, priority: int, queue: str, later: bool, stale: bool) -> None:
        before = self.task(which, "PENDING", "SCHEDULED")
        changes: dict[str, Any] = {"priority": priority, "queue": queue}
        if later:
            changes["schedule_at"] = self.session.fetch("SELECT now() + interval '1 hour'")[0][0]
        with self.expecting(stale=stale, legal=before.status in WAITING):
            services.edit_task(before.id, changes, actor="person", versions={before.version - stale})

    @rule(which=some, stale=st.booleans())
    def cancel(self, which: int, stale: bool) -> None:
        before = self.task(which, "RUNNING")
        with self.expecting(stale=stale, legal=before.status not in FINAL):
            after = services.cancel_task(before.id, actor="person", versions={before.version - stale})
            running = before.status == "RUNNING"
            assert (after.status, after.cancel_requested_at is not None) == (
                ("RUNNING", True) if running else ("CANCELLED", False)
            )

    @rule(which=some)
    def retry(self, which: int) -> None:
        before = self.task(which, *FINAL)
        with self.expecting(stale=False, legal=before.status in FINAL):
            after = services.retry_task(before.id, actor="person")
            assert (after.status, after.attempt, after.retry_count, after.crash_count) == (
                "PENDING", before.attempt, 0, 0,
            )  # fmt: skip

    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        if queue in self.paused:
            resume_queue(queue, actor="person")
        else:
            pause_queue(queue, actor="person")
        self.paused ^= {queue}

    @rule(queue=st.sampled_from(QUEUES), most=st.integers(1, 3))
    def limit_keys(self, queue: str, most: int) -> None:
        edit_queue(queue, {"perKey": {"maxConcurrency": most}}, actor="person")
        self.most_of_a_key[queue] = most

    # Time

    @rule()
    def let_an_hour_pass(self) -> None:
        self.session.execute("UPDATE tasks SET run_at = run_at - interval '2 hours' WHERE finished_at IS NULL")

    @rule(which=some)
    def expire(self, which: int) -> None:
        before = self.task(which, "SCHEDULED")
        if before.status in WAITING:
            self.engine.move(before.id, expires_at=-timedelta(seconds=1))
        assert expire_tasks(self.session) == (before.status in WAITING)

    # Schedulers

    @rule()
    def make_one_pass(self) -> None:
        self.passed_in_order(self.engine.assign)

    @rule(limit=st.integers(1, 2))
    def make_a_small_pass(self, limit: int) -> None:
        assert self.engine.assign(limit=limit).assigned <= limit * 3 * 2  # of each class of workers, and of suspects

    @rule()
    def assign_all(self) -> None:
        """Pass until nothing moves; then whoever still waits must have a reason to."""
        for _ in range(50):
            if not self.engine.assign().moved:
                break
        else:
            raise AssertionError("passes go on moving for ever")
        rows = self.read()
        for row in rows.values():
            if row.status == "PENDING" and row.due:
                assert self.may_wait(row, rows), row

    @rule()
    def recover(self) -> None:
        expected = {
            row.id: self.after_loss(row)
            for row in self.rows.values()
            if row.status in ("SCHEDULED", "RUNNING") and not self.lives(row.worker_id)
        }
        assert {row.task_id: row.next_status for row in self.engine.recover()} == expected

    @rule()
    def hand_back_stale(self) -> None:
        """As if every assignment were old: their times stay as they are, for the timeline."""
        stale = {
            "worker_id": None,
            "queue": None,
            "target": None,
            "key": None,
            "frozen": False,
            "older_than": -60.0,
            "limit": 1000,
            "actor": "scheduler",
            "reason": "x",
        }
        self.session.rows("hand_back_assigned", stale)

    @rule()
    def keep_house(self) -> None:
        """The slower chores: idle keys, and the rows of workers that have ended and own nothing."""
        self.session.rows("release_idle_keys", {"queue": "", "key": "", "limit": 1000})
        self.session.rows("prune_processes", {"age": -1.0})
        left = {worker_id for (worker_id,) in self.session.fetch("SELECT worker_id FROM worker_heartbeats")}
        owners = {row.worker_id for row in self.rows.values() if row.status in ("SCHEDULED", "RUNNING")}
        live = {worker_id for worker_id in self.incarnations if self.lives(worker_id)}
        assert live <= left <= live | owners

    # Workers

    @rule(slots=st.integers(1, 4), queues=st.sampled_from([None, ["a"], ["b", "c"]]), prefetch=st.integers(0, 2))
    def register(self, slots: int, queues: list[str] | None, prefetch: int) -> None:
        if sum(map(self.lives, self.incarnations)) < MOST_WORKERS:
            worker_id = self.engine.worker(slots=slots, queues=queues, prefetch=prefetch)
            self.incarnations[worker_id] = Incarnation(slots, prefetch, queues)

    @rule(which=some, wanted=st.integers(1, 4), reply_lost=st.booleans())
    def start(self, which: int, wanted: int, reply_lost: bool) -> None:
        self.start_on(self.worker(which), wanted, reply_lost=reply_lost)

    def start_on(self, worker: UUID, wanted: int, *, reply_lost: bool = False) -> None:
        incarnation = self.incarnations[worker]
        mine = [row for row in self.rows.values() if row.worker_id == worker]
        held = [row.id for row in mine if row.status == "RUNNING"]
        ready = sorted((row for row in mine if row.status == "SCHEDULED" and row.due), key=lambda row: row.place)
        limit = max(0, min(wanted, incarnation.slots - len(held)))
        attempts = self.engine.start(worker, limit=limit)
        if reply_lost:
            attempts = adopt_running(self.session, worker_id=worker, held=held, timeline=self.engine.timeline)
        expected = ready[:limit] if incarnation.state == "ACTIVE" else []
        assert [attempt.task_id for attempt in attempts] == [row.id for row in expected]
        assert [attempt.attempt for attempt in attempts] == [row.attempt + 1 for row in expected]
        self.started += [Started(worker, attempt) for attempt in attempts]

    @rule(wanted=st.integers(1, 4))
    def let_everybody_work(self, wanted: int) -> None:
        """What happens most of the time: passes are made, and workers start what they were given."""
        self.assign_all()
        self.rows = self.read_checked()
        for worker in [worker for worker in self.incarnations if self.lives(worker)]:
            self.start_on(worker, wanted)

    @rule(outcomes=st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=4))
    def let_everybody_finish(self, outcomes: list[str]) -> None:
        for work in [work for work in self.started if self.after_finish(work, SUCCEEDED)]:
            outcome = OUTCOMES[outcomes[work.attempt.attempt % len(outcomes)]]
            expected = self.after_finish(work, outcome)
            assert self.engine.finish(work.worker_id, work.attempt, outcome) == expected

    @rule(which=some, outcome=st.sampled_from(sorted(OUTCOMES)))
    def finish(self, which: int, outcome: str) -> None:
        """Also what is stale, what was resent, and what its worker's successor has long since finished."""
        if work := self.work(which):
            expected = self.after_finish(work, OUTCOMES[outcome])
            assert self.engine.finish(work.worker_id, work.attempt, OUTCOMES[outcome]) == expected
            if expected is None:
                self.keep_late(work, outcome)

    @rule(which=some, size=st.integers(2, 5), outcome=st.sampled_from(sorted(OUTCOMES)))
    def finish_a_batch(self, which: int, size: int, outcome: str) -> None:
        """All that one worker ever held, old and new mixed."""
        worker = self.worker(which)
        batch = [work for work in reversed(self.started) if work.worker_id == worker][:size]
        expected = [self.after_finish(work, OUTCOMES[outcome]) for work in batch]
        assert expected == finish_attempts(
            self.session, worker, endings([work.attempt for work in batch], OUTCOMES[outcome])
        )

    def keep_late(self, work: Started, outcome: str) -> None:
        found = self.session.fetch(
            "SELECT worker_id, status, late IS NULL FROM task_executions WHERE task_id = %s AND attempt = %s",
            [work.attempt.task_id, work.attempt.attempt],
        )
        taken_away = found and found[0][1] in ("LOST", "RELEASED")
        expected = bool(taken_away and found[0][0] == work.worker_id and found[0][2] and outcome != "released")
        assert self.engine.keep_late(work.worker_id, work.attempt, OUTCOMES[outcome]) is expected

    @rule(which=some, size=st.integers(0, 4))
    def beat(self, which: int, size: int) -> None:
        worker = self.worker(which)
        incarnation = self.incarnations[worker]
        works = [work for work in reversed(self.started) if work.worker_id == worker]
        held = {work.attempt.task_id: work.attempt.attempt for work in works[:size]}
        answer = heartbeats.beat(self.session, worker, held=held, prefetch=incarnation.prefetch)
        if not self.lives(worker):
            assert answer is None
            return
        assert answer is not None
        owned = Counter(row.status for row in self.rows.values() if row.worker_id == worker)
        mine = {task_id for task_id, attempt in held.items() if self.owns(worker, task_id, attempt)}
        assert (answer.state, answer.assigned, answer.running) == (
            incarnation.state, owned["SCHEDULED"], owned["RUNNING"],
        )  # fmt: skip
        assert set(answer.drops) == held.keys() - mine
        assert set(answer.cancels) == {
            task_id for task_id in mine if self.rows[task_id].cancelling and self.rows[task_id].status not in FINAL
        }

    @rule(which=some)
    def drain(self, which: int) -> None:
        worker = self.worker(which)
        assert heartbeats.begin_drain(self.session, worker) is (self.incarnations[worker].state == "ACTIVE")
        if self.lives(worker):
            self.incarnations[worker].state = "DRAINING"
        expected = sum(row.worker_id == worker and row.status == "SCHEDULED" for row in self.rows.values())
        assert assignment.hand_back_assigned(self.session, worker_id=worker, reason="drains") == expected
        self.replace(worker)

    @rule(which=some, outdated=st.booleans())
    def die(self, which: int, outdated: bool) -> None:
        """Marked by a scheduler that watched its beats, or by one whose watching is out of date."""
        worker = self.worker(which)
        beats = self.session.fetch("SELECT beat FROM worker_heartbeats WHERE worker_id = %s", [worker])
        beat = beats[0][0] if beats else 0
        marked = heartbeats.mark_dead(self.session, worker, beat=beat - outdated)
        assert (marked is not None) is (self.lives(worker) and not outdated)
        if marked:
            self.incarnations[worker].state = "DEAD"
            self.replace(worker)

    @rule(which=some)
    def fall_over(self, which: int) -> None:
        """The usual way to die: marked, its tasks taken, another one in its place."""
        self.die(which, outdated=False)
        self.recover()

    @rule(which=some)
    def leave(self, which: int) -> None:
        worker = self.worker(which)
        owns = any(row.worker_id == worker and row.status in ("SCHEDULED", "RUNNING") for row in self.rows.values())
        assert heartbeats.mark_stopped(self.session, worker) is self.lives(worker)
        if self.lives(worker):
            self.incarnations[worker].state = "DEAD" if owns else "STOPPED"
            self.replace(worker)

    def replace(self, worker: UUID) -> None:
        """Somebody starts another one in its place."""
        old = self.incarnations[worker]
        self.register(old.slots, old.queues, old.prefetch)

    # Choosing

    def task(self, which: int, *preferred: str) -> Row:
        rows = sorted(self.rows.values(), key=lambda row: row.id)
        liked = [row for row in rows if row.status in preferred]
        return (liked if liked and which % 4 else rows)[which % len(liked if liked and which % 4 else rows)]

    def worker(self, which: int) -> UUID:
        workers = list(self.incarnations)
        live = [worker for worker in workers if self.lives(worker)]
        candidates = live if live and which % 4 else workers
        return candidates[which % len(candidates)]

    def work(self, which: int) -> Started | None:
        current = [work for work in self.started if self.after_finish(work, SUCCEEDED)]
        candidates = current if current and which % 3 else self.started
        return candidates[which % len(candidates)] if candidates else None

    # What must hold after every step

    @invariant()
    def nothing_unpublished_has_happened(self) -> None:
        self.rows = self.read_checked()

    def read_checked(self) -> dict[UUID, Row]:
        rows = self.read()
        assert rows.keys() >= self.rows.keys(), "a task vanished"
        for task_id, before in self.rows.items():
            self.check_change(before, rows[task_id])
        for row in rows.values():
            self.check_row(row)
        return rows

    @invariant()
    def no_promise_is_broken(self) -> None:
        assert self.engine.violations() == {}

    @invariant()
    def states_of_workers_are_as_expected(self) -> None:
        rows = dict(self.session.fetch("SELECT worker_id, state FROM worker_heartbeats"))
        for worker_id, incarnation in self.incarnations.items():
            assert rows.get(worker_id, "DEAD") == incarnation.state or not self.lives(worker_id)

    @invariant()
    def no_worker_has_more_than_its_room(self) -> None:
        owned = Counter(row.worker_id for row in self.rows.values() if row.status in ("SCHEDULED", "RUNNING"))
        for worker_id, count in owned.items():
            incarnation = self.incarnations[worker_id]  # type: ignore[index]
            assert count <= incarnation.slots + incarnation.prefetch

    def teardown(self) -> None:
        """At the end of a story each task can tell its own, without a gap."""
        for row in list(self.read().values())[:6]:
            events = selectors.timeline(self.engine.task(row.id))
            told = [(event.from_status, event.to_status) for event in events]
            assert told[0] == (None, "PENDING")
            assert all(before[1] == after[0] for before, after in pairwise(told)), told
            assert told[-1][1] == row.status, told
            assert [event.attempt for event in events] == sorted(event.attempt for event in events), events

    def check_change(self, before: Row, after: Row) -> None:
        change = f"{before} -> {after}"
        if before.status != after.status:
            assert is_legal(before.status, after.status), change
            assert after.version == before.version + 1, change
        if after.version == before.version:
            volatile = {"due": after.due, "place": after.place}
            assert before._replace(**volatile) == after, change
        assert after.version - before.version in (0, 1), change
        began = after.status == "RUNNING" != before.status
        assert after.attempt == before.attempt + began, change
        assert after.retry_count <= max(after.max_retries, before.retry_count), change
        if began:
            assert not before.cancelling, change
        if before.cancelling and before.status == "RUNNING":
            assert after.status in ("RUNNING", "CANCELLED", "SUCCESS"), change

    def check_row(self, row: Row) -> None:
        assert row.executions == row.attempt - (row.status == "RUNNING"), row
        assert not (row.status == "SCHEDULED" and row.queue in self.paused), row
        assert row.crash_count <= MAX_CRASHES, row
        assert not (row.cancelling and row.status in ("PENDING", "SCHEDULED")), row

    # The model

    def read(self) -> dict[UUID, Row]:
        return {row[0]: Row(*row[:13], (row[13], row[14], row[0]), row[15]) for row in self.session.fetch(READ)}

    def lives(self, worker_id: UUID | None) -> bool:
        incarnation = self.incarnations.get(worker_id)  # type: ignore[arg-type]
        return incarnation is not None and incarnation.state in ("ACTIVE", "DRAINING")

    def owns(self, worker_id: UUID, task_id: UUID, attempt: int) -> bool:
        row = self.rows[task_id]
        return row.worker_id == worker_id and row.attempt == attempt

    def after_finish(self, work: Started, outcome: Outcome) -> str | None:
        row = self.rows[work.attempt.task_id]
        if row.status != "RUNNING" or not self.owns(work.worker_id, row.id, work.attempt.attempt):
            return None
        if outcome.status == ExecutionStatus.SUCCESS:
            return "SUCCESS"
        if outcome.status == ExecutionStatus.CANCELLED or row.cancelling:
            return "CANCELLED"
        if outcome.status == ExecutionStatus.RELEASED and row.on_worker_lost == "fail":
            return "FAILED"
        if outcome.status == ExecutionStatus.RELEASED or (outcome.retryable and row.retry_count < row.max_retries):
            return "PENDING"
        return "FAILED"

    def after_loss(self, row: Row) -> str:
        if row.status == "SCHEDULED":
            return "PENDING"
        if row.cancelling:
            return "CANCELLED"
        return "FAILED" if row.on_worker_lost == "fail" or row.crash_count + 1 >= MAX_CRASHES else "PENDING"

    def may_wait(self, row: Row, rows: dict[UUID, Row]) -> bool:
        """Whether a due task has a reason to be PENDING after every pass has been made."""
        if row.queue in self.paused:
            return True
        if row.key is not None:
            same = [r for r in rows.values() if (r.queue, r.key) == (row.queue, row.key)]
            free = self.most_of_a_key[row.queue] - sum(r.status in ("SCHEDULED", "RUNNING") for r in same)
            if free <= 0:
                return True
            line = sorted((r for r in same if r.status == "PENDING" and r.due), key=lambda r: r.place)
            if row not in line[:free]:
                return all(self.may_wait(first, rows) for first in line[:free])
        owned = [r for r in rows.values() if r.status in ("SCHEDULED", "RUNNING")]
        for worker_id, incarnation in self.incarnations.items():
            mine = [r for r in owned if r.worker_id == worker_id]
            has_room = len(mine) < incarnation.slots + incarnation.prefetch
            if incarnation.serves(row.queue) and has_room and not (row.suspect and any(r.suspect for r in mine)):
                return False
        return True

    def passed_in_order(self, make_pass: Any) -> None:
        """Among tasks that wait for nothing but room, none may be assigned before one that comes first."""
        make_pass()
        after = self.read()
        plain = [
            row for row in self.rows.values() if row.status == "PENDING" and row.due and not row.key and not row.suspect
        ]
        for queue in QUEUES:
            mine = sorted((row for row in plain if row.queue == queue), key=lambda row: row.place)
            flags = [after[row.id].status == "SCHEDULED" for row in mine]
            assert flags == sorted(flags, reverse=True), mine

    class expecting:  # noqa: N801 - reads as a word of the rules
        """What a person must be told: that the task has changed, that its status forbids it, or nothing."""

        def __init__(self, *, stale: bool, legal: bool) -> None:
            self.error = Stale if stale else None if legal else IllegalTransition

        def __enter__(self) -> None: ...

        def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
            assert kind is self.error or (kind is not None and not issubclass(kind, (Stale, IllegalTransition))), kind
            return kind is self.error
