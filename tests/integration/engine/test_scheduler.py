"""One step of a scheduler at a time: its tick assigns, its housekeeper's round finds the dead and keeps house."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings

from access_app.database_faults import DatabaseAway
from flow_app import assignment, outlook, survey
from flow_app.outlook import Outlook
from flow_app.survey import MAX_HEADS
from schedules_app import firing
from schedules_app.models import Schedule, ScheduleFire
from tasks_app import services, wakeups
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.clocks import ticking
from tests.support.ears import Ear
from tests.support.engine import SUCCEEDED, Engine
from tests.support.logs import capture_logs
from tests.support.races import locked, transaction
from tests.support.schedulers import stepped_scheduler
from tests.support.schedules import ledger, make_schedule, move_back, states, tasks_of
from tests.support.waiting import eventually
from workers_app import heartbeats, lease
from workers_app.models import Scheduler as SchedulerRow
from workers_app.processes.housekeeper import Housekeeper
from workers_app.processes.scheduler import FIRE_AGAIN, RECENT, Scheduler
from workers_app.processes.wakeups import Listener
from workers_app.stop_signals import SelfPipe

OpenSession = Callable[[], Session]

CONFIG = settings.SCHEDULER
LEASE = CONFIG.heartbeat_timeout.total_seconds()
NOTHING = timedelta(0)


class Hints(list[object]):
    """Wake-ups asked for, of schedulers."""


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> Hints:
    asked = Hints()
    monkeypatch.setattr(wakeups, "notify_schedulers", lambda session=None, **_: asked.append("schedulers"))
    return asked


@pytest.fixture
def scheduler(engine: Engine, hints: Hints) -> Iterator[Scheduler]:
    with stepped_scheduler() as made:
        yield made


class TestTick:
    def test_assigns_and_wakes_whoever_had_a_free_slot(
        self, engine: Engine, scheduler: Scheduler, open_session: OpenSession
    ) -> None:
        ear = Ear(open_session())
        worker = engine.worker(slots=2)
        tasks = engine.create_many(3)
        scheduler.tick()
        assert sorted(engine.statuses(tasks)) == ["PENDING", "SCHEDULED", "SCHEDULED"]
        assert (wakeups.WORKERS, str(worker)) in ear.hears(lambda heard: wakeups.WORKERS in dict(heard))

    def test_looks_again_at_once_while_there_is_room(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker(slots=3)
        engine.create_many(2)
        assert scheduler.tick() == NOTHING
        assert scheduler.tick() == CONFIG.polling_interval

    def test_rests_until_woken_without_room(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker(slots=1)
        engine.create_many(2)
        assert scheduler.tick() == CONFIG.polling_interval
        assert scheduler._passes == 1

    def test_answers_a_wake_up_without_a_survey_when_the_same_was_due_a_moment_ago(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticking(monkeypatch)
        worker = engine.worker(slots=1)
        engine.create_many(2)
        scheduler.tick()
        engine.finish(worker, engine.start(worker)[0], SUCCEEDED)
        monkeypatch.setattr(scheduler, "_recent_until", time.monotonic() + RECENT)  # however slow this machine is
        monkeypatch.setattr("workers_app.processes.scheduler.survey_due", None)
        assert NOTHING <= scheduler.tick() <= timedelta(seconds=RECENT)
        assert scheduler._assigned == 2

    def test_sees_what_else_fell_due_soon_although_there_is_no_room(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A survey that is remembered knows nothing of a queue that came later."""
        worker = engine.worker(slots=1)
        engine.create_many(3)
        scheduler.tick()
        urgent = engine.create(priority=100)
        monkeypatch.setattr(scheduler, "_recent_until", 0.0)
        engine.finish(worker, engine.start(worker)[0], SUCCEEDED)
        scheduler.tick()
        assert engine.task(urgent).status == "SCHEDULED"

    @pytest.mark.parametrize(("message", "seen"), [("", True), ("*", True), (wakeups.NEW, False)])
    def test_looks_at_everything_when_told_of_more_than_new_tasks(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, message: str, seen: bool
    ) -> None:
        monkeypatch.setattr(outlook, "SLOW", -1.0)
        monkeypatch.setattr(outlook, "HOLDS", 1_000_000_000)
        engine.worker(slots=9)
        engine.create()
        scheduler.tick()
        old = engine.create()
        engine.move(old, run_at=timedelta(hours=-1))
        assert scheduler._hear(message)
        scheduler.tick()
        assert (engine.task(old).status == "SCHEDULED") is seen

    @pytest.mark.parametrize("enabled", [True, False])
    def test_finds_what_a_lost_hint_was_about_in_a_poll_interval_beside_a_held_snapshot(
        self,
        engine: Engine,
        scheduler: Scheduler,
        open_session: OpenSession,
        monkeypatch: pytest.MonkeyPatch,
        *,
        enabled: bool,
    ) -> None:
        """Nobody told of a task that was due long ago, and surveys begin behind it."""
        clock, holder = ticking(monkeypatch), open_session()
        monkeypatch.setattr(outlook, "SLOW", -1.0)
        monkeypatch.setattr(outlook, "HOLDS", 0)
        monkeypatch.setattr(wakeups, "enabled", lambda: enabled)
        with transaction(holder):
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.fetch("SELECT 1 FROM tasks")
            engine.worker(slots=9)
            engine.create()
            scheduler.tick()
            lost = engine.create()
            engine.move(lost, run_at=timedelta(hours=-1))
            scheduler.tick()
            assert engine.task(lost).status == "PENDING"
            clock.now += wakeups.longest_rest().total_seconds()
            scheduler.tick()
            assert engine.task(lost).status == "SCHEDULED"

    def test_rests_a_poll_interval_when_nothing_waits(self, scheduler: Scheduler) -> None:
        assert scheduler.tick() == CONFIG.polling_interval

    def test_rests_until_the_next_task_falls_due(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker()
        engine.create(schedule_at=datetime.now(UTC) + CONFIG.polling_interval / 2)
        assert NOTHING < scheduler.tick() <= CONFIG.polling_interval / 2

    def test_rests_while_another_scheduler_makes_the_pass(
        self, engine: Engine, scheduler: Scheduler, open_session: OpenSession
    ) -> None:
        engine.worker()
        task_id = engine.create()
        with locked(open_session(), "scheduler_pass", "name", "assign"):
            assert scheduler.tick() > NOTHING
        scheduler.tick()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_ends_a_pass_that_another_scheduler_froze_in(
        self, engine: Engine, scheduler: Scheduler, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended: list[float] = []
        clock = ticking(monkeypatch)
        monkeypatch.setattr(assignment, "end_frozen_pass", lambda _: ended.append(clock.now) or 1)
        engine.worker()
        engine.create()
        with locked(open_session(), "scheduler_pass", "name", "assign"):
            for seconds in (0.0, 1.9, 0.2, 1.9, 0.2):
                clock.now += seconds
                scheduler.tick()
        assert len(ended) == 2
        scheduler.tick()
        assert scheduler._elsewhere_since == float("inf")

    def test_reaches_every_queue_however_many_have_something_waiting(
        self, engine: Engine, scheduler: Scheduler
    ) -> None:
        """A queue for each customer, each with a task for tomorrow, and one task is due now."""
        engine.worker()
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        later = [NewTask(type="DUMMY", queue=f"customer-{n}", schedule_at=tomorrow) for n in range(10_010)]
        services.create_tasks(later, created_by="test")
        task_id = engine.create(queue="zebra")
        for _ in range(4):
            scheduler.tick()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_starves_no_queue_however_many_are_full(self, engine: Engine, scheduler: Scheduler) -> None:
        """One slot, more queues than one survey looks at, and the last of them has waited longest."""
        worker = engine.worker(slots=1)
        names = [f"customer-{n}" for n in range(MAX_HEADS + 5)]
        services.create_tasks([NewTask(type="DUMMY", queue=name) for name in names], created_by="test")
        oldest = engine.create(queue="zebra")
        engine.move(oldest, run_at=-timedelta(hours=1))
        for _ in range(4):
            scheduler.tick()
            for attempt in engine.start(worker):
                engine.finish(worker, attempt, SUCCEEDED)
        assert engine.task(oldest).status == "SUCCESS"

    def test_cannot_hold_the_pass_or_a_task_for_long_while_frozen(self, scheduler: Scheduler) -> None:
        for session in (scheduler._session, scheduler._housekeeper._session):
            assert session.fetch("SHOW idle_in_transaction_session_timeout") == [("2s",)]

    def test_outlives_a_connection_that_broke(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker()
        task_id = engine.create()
        engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [scheduler._session.connection.info.backend_pid])
        assert scheduler.step() > NOTHING
        scheduler.step()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_outlives_a_statement_that_is_refused_and_tells_it_once_a_streak(
        self, engine: Engine, scheduler: Scheduler
    ) -> None:
        engine.worker()
        task_id = engine.create()
        for _ in range(2):
            engine.session.execute("ALTER TABLE tasks RENAME COLUMN run_at TO run_at_elsewhere")
            with capture_logs() as lines:
                rests = [scheduler.step() for _ in range(3)]
            engine.session.execute("ALTER TABLE tasks RENAME COLUMN run_at_elsewhere TO run_at")
            assert min(rests) > NOTHING
            [line] = lines
            assert (line["event"], line["log_level"], bool(line["exc_info"])) == ("step_failed", "error", True)
            scheduler.step()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_tells_each_kind_of_failure_in_a_streak(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        errors: list[Exception] = [
            DatabaseAway("gone"),
            DatabaseAway("gone"),
            psycopg.ProgrammingError("no such column"),
        ]

        def fail() -> timedelta:
            raise errors.pop(0)

        with capture_logs() as lines:
            monkeypatch.setattr(scheduler, "tick", fail)
            rests = [scheduler.step() for _ in range(3)]
            monkeypatch.setattr(scheduler, "tick", lambda: NOTHING)
            rests.append(scheduler.step())
        assert [line["event"] for line in lines] == ["database_away", "step_failed", "database_back"]
        assert lines[-1]["failures"] == 3
        assert [rest > NOTHING for rest in rests] == [True, True, True, False]


class TestSchedules:
    def test_are_fired_and_their_tasks_assigned_in_one_tick(self, engine: Engine, scheduler: Scheduler) -> None:
        worker = engine.worker()
        schedule = make_schedule()
        assert scheduler.tick() == NOTHING  # it learns that something is due
        scheduler.tick()
        [task] = tasks_of(schedule)
        assert (task.status, task.worker_id) == ("SCHEDULED", worker)

    def test_end_the_rest_when_they_fall_due(self, engine: Engine, scheduler: Scheduler) -> None:
        schedule = make_schedule(next_fire_at=datetime.now(UTC) + CONFIG.polling_interval / 2)
        assert NOTHING < scheduler.tick() <= CONFIG.polling_interval / 2
        assert ledger(schedule) == []
        Schedule.objects.update(next_fire_at=datetime.now(UTC))
        eventually(lambda: scheduler.tick() and ledger(schedule))

    def test_that_come_meanwhile_are_found_by_the_next_survey(self, engine: Engine, scheduler: Scheduler) -> None:
        assert scheduler.tick() == CONFIG.polling_interval
        schedule = make_schedule()
        assert scheduler.tick() == NOTHING
        scheduler.tick()
        assert states(schedule) == ["FIRED"]

    def test_do_not_keep_tasks_waiting_however_many_are_due(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(firing, "LONGEST_LOOK", -1.0)  # one schedule a pass
        engine.worker(slots=50)
        for _ in range(5):
            make_schedule()
        task_id = engine.create()
        for fired in range(3):
            assert scheduler.tick() == NOTHING
            assert ScheduleFire.objects.count() == fired
        assert engine.task(task_id).status == "SCHEDULED"
        assert Task.objects.filter(status="SCHEDULED").count() == 3

    def test_in_other_hands_are_not_asked_for_again_and_again(
        self, engine: Engine, scheduler: Scheduler, open_session: OpenSession
    ) -> None:
        schedule = make_schedule()
        scheduler.tick()
        with locked(open_session(), "schedules", "id", schedule.pk, strength="NO KEY UPDATE"):
            assert scheduler.tick() > timedelta(seconds=FIRE_AGAIN / 2)
        eventually(lambda: scheduler.tick() is not None and states(schedule) == ["FIRED"])

    def test_that_cannot_be_fired_do_not_keep_tasks_from_being_assigned(
        self, engine: Engine, scheduler: Scheduler
    ) -> None:
        engine.worker()
        schedule, task_id = make_schedule(), engine.create()
        engine.session.execute("ALTER TABLE schedule_fires RENAME COLUMN note TO note_elsewhere")
        with capture_logs() as lines:
            rests = [scheduler.step() for _ in range(3)]
            scheduler._fire_at = 0.0
            scheduler.step()
        engine.session.execute("ALTER TABLE schedule_fires RENAME COLUMN note_elsewhere TO note")
        assert [line["event"] for line in lines] == ["firing_failed"]
        assert rests[-1] > NOTHING
        assert engine.task(task_id).status == "SCHEDULED"
        scheduler._fire_at = 0.0
        scheduler.step()
        assert states(schedule) == ["FIRED"]

    def test_that_start_anew_tell_workers_what_to_stop(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[object] = []
        monkeypatch.setattr(wakeups, "notify_stops", lambda session, ids: told.extend(ids))
        worker = engine.worker()
        schedule = make_schedule(overlap="cancel_running")
        for _ in range(2):
            scheduler.tick()
        engine.start(worker)
        move_back([schedule.pk], timedelta(minutes=1))
        scheduler._fire_at = 0.0
        scheduler.tick()
        assert told == [worker]

    def test_cost_an_idle_scheduler_no_trip_more(self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
        """The look for the next one shares the transaction of the survey, which has one clock."""
        clock = "SELECT extract(epoch FROM now())::float8"
        monkeypatch.setattr(firing, "NEXT_DUE", clock)
        monkeypatch.setattr(survey, "_CLASSES", f"SELECT ARRAY[({clock})::text], false")
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)
        [[asked]] = scheduler._survey().classes  # type: ignore[misc]
        assert scheduler._fire_at == float(asked)


class TestOnce:
    def test_fires_what_is_due_however_much(self, engine: Engine, scheduler: Scheduler) -> None:
        for _ in range(3):
            make_schedule()
        engine.worker(slots=5)
        assert scheduler.once() == {"recovered": 0, "expired": 0, "fired": 3, "assigned": 3, "deleted": 0}

    def test_does_one_round_of_everything_due(self, engine: Engine, scheduler: Scheduler) -> None:
        dead = engine.worker(slots=1)
        engine.running(dead)
        engine.kill(dead)
        expiring = engine.create(expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        engine.move(expiring, expires_at=-timedelta(seconds=1))
        engine.create_many(4)
        engine.worker(slots=3)
        assert scheduler.once() == {"recovered": 1, "expired": 1, "fired": 0, "assigned": 3, "deleted": 0}


class Clock:
    def __init__(self) -> None:
        self.now = 5000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "now", lambda: made.now)
    return made


def woken(pipe: SelfPipe) -> bool:
    return bool(select.select([pipe.reader], [], [], 0)[0])


@pytest.fixture
def housekeeper(engine: Engine, hints: Hints) -> Iterator[Housekeeper]:
    made = Housekeeper(uuid4(), dict, Outlook(), SelfPipe())
    yield made
    made._session.close()


class TestHousekeeper:
    def test_declares_a_silent_worker_dead_after_one_lease_and_takes_its_tasks(
        self, engine: Engine, housekeeper: Housekeeper, clock: Clock, hints: Hints
    ) -> None:
        silent, beating = engine.worker(slots=1), engine.worker(slots=1)
        engine.create_many(2)
        engine.assign()
        lost = [*engine.start(silent), *engine.start(beating)][0].task_id
        housekeeper.round()
        clock.now += LEASE - 0.01
        heartbeats.beat(engine.session, beating, held={}, prefetch=0)
        housekeeper.round()
        assert engine.worker_state(silent) == "ACTIVE"
        hints.clear()
        clock.now += 0.01
        housekeeper.round()
        assert [engine.worker_state(w) for w in (silent, beating)] == ["DEAD", "ACTIVE"]
        assert (engine.task(lost).status, engine.task(lost).crash_count) == ("PENDING", 1)
        assert hints == ["schedulers"]

    def test_looks_at_everything_for_surveys_that_do_not_and_wakes_its_scheduler(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outlook, "SLOW", -1.0)
        monkeypatch.setattr(outlook, "HOLDS", 1_000_000_000)
        housekeeper, interval = scheduler._housekeeper, CONFIG.polling_interval.total_seconds()
        engine.worker(slots=9)
        engine.create()
        assert housekeeper._guarded_round() == CONFIG.failure_detection_interval.total_seconds()
        scheduler.tick()
        assert housekeeper._guarded_round() == interval / 2
        assert not woken(scheduler.pipe)
        lost = engine.create()
        engine.move(lost, run_at=timedelta(hours=-1))
        housekeeper.round()
        assert woken(scheduler.pipe)
        scheduler.tick()
        assert engine.task(lost).status == "SCHEDULED"
        housekeeper._session.close()

    def test_begins_to_watch_anew_when_its_session_broke(
        self, engine: Engine, housekeeper: Housekeeper, clock: Clock
    ) -> None:
        """An outage of the database must not look like the death of every worker."""
        worker = engine.worker()
        housekeeper.round()
        pid = housekeeper._session.connection.info.backend_pid
        engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
        clock.now += LEASE * 3
        assert housekeeper._guarded_round() <= 2
        housekeeper.round()
        assert engine.worker_state(worker) == "ACTIVE"
        clock.now += LEASE
        housekeeper.round()
        assert engine.worker_state(worker) == "DEAD"

    def test_does_not_wait_for_the_lease_of_a_worker_whose_lock_is_free_when_told_so(
        self, engine: Engine, hints: Hints, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "SCHEDULER", replace(CONFIG, fast_death_enabled=True))
        pipe = SelfPipe()
        housekeeper = Housekeeper(uuid4(), dict, Outlook(), pipe)
        killed, holding = engine.worker(), engine.worker()
        listeners = [Listener(wakeups.WORKERS, pipe, lambda _: False, holder=worker) for worker in (killed, holding)]
        for listener in listeners:
            listener.wait(5)
        housekeeper.round()
        clock.now += LEASE
        for worker in (killed, holding):
            heartbeats.beat(engine.session, worker, held={}, prefetch=0)
        housekeeper.round()
        pid = listeners[0]._session.connection.info.backend_pid  # type: ignore[union-attr]
        listeners[0].close()
        eventually(lambda: not engine.session.fetch("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]))
        clock.now += CONFIG.heartbeat_interval.total_seconds() * 2 - 0.01
        housekeeper.round()
        assert engine.worker_state(killed) == "ACTIVE"
        clock.now += 0.01
        housekeeper.round()
        assert [engine.worker_state(worker) for worker in (killed, holding)] == ["DEAD", "ACTIVE"]
        listeners[1].close()
        housekeeper._session.close()
        pipe.close()

    def test_takes_the_tasks_of_whoever_was_marked_by_others(self, engine: Engine, housekeeper: Housekeeper) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.kill(worker)
        housekeeper.round()
        assert engine.task(attempt.task_id).status == "PENDING"

    def test_expires_and_takes_back_stale_assignments(self, engine: Engine, housekeeper: Housekeeper) -> None:
        stale = engine.assigned(engine.worker(slots=1))
        engine.worker(slots=1)
        engine.move(stale, assigned_at=-assignment.STALE_AFTER * 2)
        expired = engine.create(expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        engine.move(expired, expires_at=-timedelta(seconds=1))
        housekeeper.round()
        assert engine.statuses([stale, expired]) == ["PENDING", "FAILED"]

    def test_clears_a_backlog_of_expired_tasks_in_one_round(self, engine: Engine, housekeeper: Housekeeper) -> None:
        """Until they are gone, every assignment pass walks over them."""
        engine.create_many(2500, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        engine.session.execute("UPDATE tasks SET expires_at = now()")
        housekeeper.round()
        assert not Task.objects.filter(status="PENDING").exists()

    def test_releases_stranded_keys_and_forgets_old_processes(self, engine: Engine, housekeeper: Housekeeper) -> None:
        task_id = engine.create(concurrency_key="k")
        Task.objects.filter(pk=task_id).update(gate=Gate.KEY)
        old = engine.worker()
        engine.kill(old)
        engine.session.execute("UPDATE worker_heartbeats SET state_changed_at = now() - interval '25 hours'")
        housekeeper.round()
        assert engine.task(task_id).gate == Gate.OPEN
        assert engine.session.fetch("SELECT 1 FROM worker_heartbeats") == []

    def test_shows_itself_to_people(self, housekeeper: Housekeeper) -> None:
        housekeeper.round()
        first = SchedulerRow.objects.get().last_heartbeat_at
        housekeeper.round()
        assert SchedulerRow.objects.get().last_heartbeat_at > first

    def test_forgets_old_slots_and_follows_new_rules_of_zones(self, engine: Engine, housekeeper: Housekeeper) -> None:
        old, schedule = make_schedule(), make_schedule(due=0, zone_rules="old")
        firing.fire_due(engine.session)
        engine.session.execute("UPDATE schedule_fires SET decided_at = now() - interval '10 years'")
        housekeeper.round()
        assert ledger(old) == []
        assert Schedule.objects.get(pk=schedule.pk).zone_rules != "old"

    def test_goes_on_watching_when_a_chore_fails(
        self, engine: Engine, housekeeper: Housekeeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = engine.worker()
        engine.running(worker)

        def fail(_: Session) -> int:
            raise ZeroDivisionError

        for chore in housekeeper._chores:
            chore.step = fail
        monkeypatch.setattr("workers_app.processes.chores.expire_tasks", fail)
        for chore in (0, 1):
            assert housekeeper._guarded_round() == CONFIG.failure_detection_interval.total_seconds(), chore
            clock.now += LEASE
        assert engine.worker_state(worker) == "DEAD"
